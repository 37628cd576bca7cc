"""What an honest publisher and a site do together."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import (
    DataClass,
    Placement,
    RefusedError,
    Revocation,
    StorageError,
    UnreachableError,
    UsageError,
    Verdict,
    Where,
    program,
)
from runtimes.sync import Agent, load_active, status, sync
from runtimes.sync.active import bundle_folder
from runtimes.sync.files import only_one

pytestmark = pytest.mark.unit

HOUR = timedelta(hours=1)


@pytest.fixture(params=["folder", "http"])
def site(request: pytest.FixtureRequest) -> Any:
    """The same site with both kinds of source."""
    return request.getfixturevalue("station" if request.param == "folder" else "web_station")


def test_a_first_sync_brings_the_release(site: Any) -> None:
    seen: list[float] = []
    result = site.sync(progress=lambda part, what: seen.append(part))
    assert result.changed
    assert result.active == load_active(site.state)
    assert (result.active.channel, result.active.manifest_version, result.active.profile) == (
        "stable", 1, "edge-x86-vnni",
    )  # fmt: skip
    assert site.content() == "one"
    assert site.tried == ["exception_triage--edge-x86-vnni"]
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_fetched_bytes_are_what_the_source_gave(site: Any) -> None:
    result = site.sync()
    blobs = sum(path.stat().st_size for path in (site.state / "blobs/sha256").iterdir())
    assert blobs < result.fetched_bytes < blobs + 60_000


def test_a_poll_without_news_only_moves_seen(running: Any) -> None:
    before = load_active(running.state)
    links = (running.state / "current").readlink()
    later = before.seen + HOUR
    result = running.sync(later)
    assert not result.changed
    assert result.active == before.model_copy(update={"seen": later}) == load_active(running.state)
    assert (running.state / "current").readlink() == links
    assert running.tried == ["exception_triage--edge-x86-vnni"]


def test_a_poll_without_news_is_two_requests(web_station: Any, web: Any) -> None:
    web_station.sync()
    web.requests.clear()
    result = web_station.sync()
    assert [path for path, _ in web.requests] == ["/metadata/2.root.json", "/metadata/timestamp.json"]
    assert result.fetched_bytes < 1000


def test_an_update_moves_only_what_changed(site: Any) -> None:
    site.sync()
    site.repository.add_bundle("two")
    site.repository.release(2)
    result = site.sync()
    assert result.changed
    assert site.content() == "two"
    base = len(b"the base never changes" * 1000)
    assert result.fetched_bytes < base + 20_000
    assert result.reused_blobs == 1 + 1  # the base, and bundle.json


def test_the_version_before_is_kept_and_the_one_before_that_removed(running: Any) -> None:
    for version, content in ((2, "two"), (3, "three")):
        running.repository.add_bundle(content)
        running.repository.release(version)
        running.sync()
    assert sorted(path.name for path in (running.state / "versions").iterdir()) == [
        "000002-stable-2",
        "000003-stable-3",
    ]
    assert (running.state / "previous").readlink().name == "000002-stable-2"
    kept = {path.name for path in (running.state / "blobs/sha256").iterdir()}
    assert len(kept) == 2 + 2 * (3 + 1)
    # base and bundle.json shared; OCI manifest, signature and model of each, and the manifest that approved it


def test_a_rollback_is_a_new_version_with_older_content(running: Any) -> None:
    first = running.repository.builds.copy()
    running.repository.add_bundle("two")
    running.repository.release(2)
    running.sync()
    running.repository.builds = first
    running.repository.release(3)
    result = running.sync()
    assert (result.active.manifest_version, running.content()) == (3, "one")


def test_blobs_are_shared_with_the_version_not_copied(running: Any) -> None:
    active = load_active(running.state)
    model = bundle_folder(running.state, active, "exception_triage") / "model.onnx"
    assert model.stat().st_nlink == 2
    assert model.stat().st_mode & 0o777 == 0o444


def test_a_disk_without_hard_links_gets_copies(station: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def no_links(*args: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    station.sync()
    active = load_active(station.state)
    model = bundle_folder(station.state, active, "exception_triage") / "model.onnx"
    assert model.stat().st_nlink == 1
    assert station.content() == "one"


@pytest.mark.parametrize(
    ("workflow", "assignment", "build", "reason"),
    [
        ({"placement": Placement(where=Where.CENTRAL, reasons=("needs ERP",))}, {}, {}, "placed centrally: needs ERP"),
        ({"data_classes": (DataClass.PRICING, DataClass.PUBLIC)}, {}, {}, "data class pricing is not allowed"),
        ({}, {"workflows": ("other",)}, {}, "assignment does not name it"),
        ({}, {}, {"verdict": Verdict.INCONCLUSIVE}, "says inconclusive, not pass"),
    ],
)
def test_what_does_not_run_here_is_left_out_with_the_reason(
    station: Any, workflow: dict[str, Any], assignment: dict[str, Any], build: dict[str, Any], reason: str
) -> None:
    station.repository.workflow = workflow
    station.repository.add_bundle("one", **build)
    station.repository.assign(2, **assignment)
    station.repository.release(2)
    result = station.sync()
    assert result.active.workflows == {}
    assert reason in result.active.skipped["exception_triage"]
    fetched = {path.name for path in (station.state / "blobs/sha256").iterdir()}
    assert fetched == set(), "nothing of a workflow that may not be here is even fetched"


def test_a_workflow_that_only_the_assignment_names_is_left_out(station: Any) -> None:
    station.repository.assign(2, workflows=("exception_triage", "invented"))
    station.repository.publish()
    active = station.sync().active
    assert active.skipped == {"invented": "the manifest does not have it"}
    assert list(active.workflows) == ["exception_triage"]


def test_the_central_runtime_takes_what_is_placed_centrally(tmp_path: Path, station: Any) -> None:
    repository = station.repository
    repository.workflow = {"placement": Placement(where=Where.CENTRAL, reasons=("needs ERP",))}
    repository.profiles = {"edge-x86-vnni": repository.profiles["edge-x86-vnni"].model_copy(update={"kind": "central"})}
    repository.assign(1, path_site="headquarters", site="headquarters", kind="central")
    repository.release(2)
    central = type(station)(tmp_path / "central", repository)
    central.enroll(site="headquarters", kind="central")
    assert list(central.sync().active.workflows) == ["exception_triage"]


def test_policy_of_the_manifest_reaches_the_server(station: Any) -> None:
    station.repository.workflow = {
        "roles": ("clerk",),
        "actions": {"reorder": "central-approval"},
        "text_export": "never",
        "data_classes": (DataClass.CUSTOMER,),
    }
    station.repository.assign(2, central="https://central.example")
    station.repository.release(2, max_offline_hours=48)
    active = station.sync().active
    entry = active.workflows["exception_triage"]
    assert (entry.roles, entry.actions, entry.text_export) == (("clerk",), {"reorder": "central-approval"}, "never")
    assert (entry.defer_threshold, entry.where, active.max_offline_hours) == (0.5, Where.HYBRID, 48)
    assert active.central == "https://central.example"


def test_a_new_assignment_alone_is_a_new_version(running: Any) -> None:
    running.repository.assign(2, central="https://central.example")
    running.repository.publish()
    result = running.sync()
    assert result.changed
    assert (result.active.central, result.active.assignment_version) == ("https://central.example", 2)


def test_a_site_moves_to_canary_and_back(running: Any) -> None:
    repository = running.repository
    repository.add_bundle("canary")
    repository.assign(2, channel="canary")
    repository.release(7, "canary")
    assert running.sync().active.channel == "canary"
    assert running.content() == "canary"
    repository.assign(3)
    repository.publish()
    assert (running.sync().active.channel, running.content()) == ("stable", "one")


def test_a_usb_stick_serves_once_with_the_same_checks(running: Any, tmp_path: Path) -> None:
    running.repository.add_bundle("two")
    running.repository.release(2)
    stick = shutil.copytree(running.repository.folder, tmp_path / "stick")
    shutil.rmtree(running.repository.folder)
    assert running.sync(source=f"file://{stick}").changed
    assert running.content() == "two"
    with pytest.raises(UnreachableError, match="is the medium plugged in"):
        running.sync()


def test_an_unreachable_repository_leaves_the_site_serving(web_station: Any, web: Any) -> None:
    web_station.sync()
    before = tree(web_station.state)
    web.close()
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1"):
        web_station.sync()
    assert tree(web_station.state) == before
    last = status(web_station.state).last_sync
    assert (last.ok, last.error_kind) == (False, "UnreachableError")
    assert web_station.content() == "one"


@pytest.mark.parametrize("code", [500, 503, 401, 418])
def test_a_server_that_fails_is_unreachable(web_station: Any, web: Any, code: int) -> None:
    web.status = code
    with pytest.raises(UnreachableError, match=f"HTTP {code}"):
        web_station.sync()


def test_an_address_without_a_tree_says_so(web_station: Any, web: Any) -> None:
    web.status = 404
    with pytest.raises(UnreachableError, match=r"has no metadata/timestamp\.json \(HTTP 404\)"):
        web_station.sync()


def test_a_failed_smoke_case_never_becomes_current(running: Any) -> None:
    running.repository.add_bundle("two")
    running.repository.release(2)
    running.failures = ["smoke case 'short': late expected, found damaged"]
    with pytest.raises(RefusedError, match="fails on this machine: smoke case 'short'"):
        running.sync()
    assert running.content() == "one"
    running.failures = []
    running.repository.add_bundle("three")
    running.repository.release(3)
    running.sync()
    assert running.content() == "three", "a newer release supersedes the stuck one"


def test_no_profile_for_this_machine_leaves_what_runs(running: Any) -> None:
    running.host = running.host.model_copy(update={"features": ("avx2",)})
    running.repository.release(2)
    with pytest.raises(RefusedError, match="isa avx512-vnni is needed, this machine is x86-64-v3"):
        running.sync()
    assert load_active(running.state).manifest_version == 1


def test_two_syncs_at_once(running: Any) -> None:
    with only_one(running.state / "lock"), pytest.raises(StorageError, match="another sync of this site is running"):
        running.sync()
    assert not running.sync().changed


def test_a_folder_that_is_not_enrolled(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not enrolled; run `enroll`"):
        sync(tmp_path)


def test_a_damaged_version_is_put_right_and_not_kept_as_the_way_back(running: Any) -> None:
    active = load_active(running.state)
    (bundle_folder(running.state, active, "exception_triage") / "bundle.json").unlink()
    result = running.sync()
    assert result.changed
    assert running.content() == "one"
    assert [path.name for path in (running.state / "versions").iterdir()] == [result.active.version]


def test_an_altered_blob_on_the_site_is_fetched_again(running: Any) -> None:
    for path in (running.state / "blobs/sha256").iterdir():
        path.chmod(0o600)
        path.write_bytes(b"rot" + path.read_bytes()[3:])
    (running.state / "versions" / "000001-stable-1" / "active.json").write_bytes(b"{}")
    result = running.sync()
    assert result.changed
    assert result.reused_blobs == 0
    assert running.content() == "one"


def test_a_revoked_bundle_stops_even_when_its_successor_cannot_be_fetched(running: Any) -> None:
    repository = running.repository
    old = repository.builds["exception_triage", "edge-x86-vnni"].bundle
    new = repository.add_bundle("two")
    repository.revocations = [Revocation(bundle=old.digest, reason="labels swapped")]
    repository.release(2)
    repository.blob_file(new.signature.digest).unlink()
    with pytest.raises(UnreachableError, match="has no blobs/sha256"):
        running.sync()
    active = load_active(running.state)
    assert active.workflows == {}
    assert active.skipped == {"exception_triage": "its bundle was revoked: labels swapped"}


def test_a_revoked_bundle_is_never_activated(station: Any) -> None:
    repository = station.repository
    ref = repository.add_bundle("other", "other_flow")
    repository.revocations = [Revocation(bundle=ref.digest, reason="leaked key")]
    repository.release(2)
    active = station.sync().active
    assert list(active.workflows) == ["exception_triage"]
    assert active.skipped == {"other_flow": "its bundle was revoked: leaked key"}
    assert station.tried == ["exception_triage--edge-x86-vnni"]


def test_status_says_what_runs(running: Any) -> None:
    active = load_active(running.state)
    report = status(running.state, now=active.seen + 5 * HOUR)
    assert report.enrolment.site == "store-017"
    assert report.active == active
    assert (report.offline_hours, report.offline_hours_left) == (5.0, 715.0)
    assert report.last_sync.ok
    assert report.last_sync.changed
    assert status(running.state, now=active.seen + 9999 * HOUR).offline_hours_left == 0.0


def test_status_names_what_is_damaged(running: Any) -> None:
    (running.state / "versions" / "000001-stable-1" / "active.json").write_bytes(b"{")
    report = status(running.state)
    assert report.active is None
    assert "not a JSON document" in report.problem


def test_status_before_the_first_sync(station: Any) -> None:
    report = status(station.state)
    assert (report.active, report.last_sync, report.problem, report.offline_hours_left) == (None, None, None, None)


def test_a_server_imports_nothing_of_the_update_machinery() -> None:
    code = (
        "import sys; import runtimes.sync; from runtimes.sync.active import load_active; "
        "from runtimes.sync import status; "
        "print(sorted({'tuf','sigstore','model_signing','httpx','securesystemslib','onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_function_stays_itself_after_its_module_was_imported() -> None:
    import runtimes.sync

    names = runtimes.sync.__all__
    assert [name for name in names if isinstance(getattr(runtimes.sync, name), type(sys))] == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        runtimes.sync.nothing  # noqa: B018


def test_the_agent_of_this_machine_is_the_default() -> None:
    agent = Agent()
    assert agent.version == program.version()
    assert agent.facts().cores >= 1


def tree(state: Path) -> dict[str, bytes | str]:
    """Everything of a state folder but the record of the last sync."""
    found: dict[str, bytes | str] = {}
    for path in sorted(state.rglob("*")):
        if path.is_symlink():
            found[str(path)] = str(path.readlink())
        elif path.is_file() and path.name != "last_sync.json":
            found[str(path)] = path.read_bytes()
    return found
