"""The build before a revoked one, with the real client over a real repository: when it comes back, and when it must not."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fleet_manifests import (
    FleetManifest,
    Guardrails,
    Halt,
    IntegrityError,
    LadingError,
    Orders,
    Placement,
    Revocation,
    Stop,
    StorageError,
    Where,
    digest_of,
    dump,
    parse,
)
from runtimes.edge.service import Site
from runtimes.sync import load_active, status
from runtimes.sync.active import ACTIVE_FILE, Active, Before
from runtimes.sync.orders import load_orders

pytestmark = pytest.mark.unit

DAY = timedelta(days=1)
WORKFLOW = "exception_triage"
RETRIEVER = "sop_assistant"
PROFILE = "edge-x86-vnni"


def bundle(site: Any, workflow: str = WORKFLOW) -> str:
    digest: str = site.repository.builds[workflow, PROFILE].bundle.digest
    return digest


def revoke(site: Any, *digests: str, **orders: Any) -> None:
    since = site.repository.expires
    stops = tuple(Stop(bundle=one, reason="wrong labels", by="alice", since=since) for one in digests)
    site.repository.order(Orders(revoked=stops, **orders))


def update(site: Any, content: str, version: int, **build: Any) -> str:
    """Release another build and install it; its digest."""
    site.repository.add_bundle(content, **build)
    site.repository.release(version)
    assert site.sync().changed
    return bundle(site)


def record(site: Any) -> Active:
    active = load_active(site.state)
    assert active is not None
    return active


def blob(site: Any, digest: str) -> Path:
    path: Path = site.state / "blobs/sha256" / digest.removeprefix("sha256:")
    return path


def spoil(path: Path) -> None:
    path.chmod(0o644)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.unlink()
    path.write_bytes(raw)


def rewrite(site: Any, **changes: Any) -> None:
    """Alter what the site notes of the build before."""
    active = record(site)
    before = active.before[WORKFLOW].model_copy(update=changes)
    path = site.state / "versions" / active.version / ACTIVE_FILE
    path.write_bytes(dump(active.model_copy(update={"before": {WORKFLOW: before}})))


def to_the_centre(site: Any, why: str) -> None:
    """After a sync the workflow waits for the centre, the record says why, and the next sync does not change that."""
    active = site.sync().active
    assert WORKFLOW not in active.workflows
    assert WORKFLOW in active.stopped
    assert WORKFLOW not in active.before
    assert why in active.absent[WORKFLOW]
    assert not site.sync().changed
    assert WORKFLOW in record(site).stopped


@pytest.fixture
def updated(running: Any) -> Any:
    """A site that runs release 2 after release 1."""
    running.first = bundle(running)
    running.second = update(running, "two", 2)
    return running


@pytest.fixture
def revised(reading: Any) -> Any:
    """A site that runs release 3, in which only the knowledge pack is another than in release 2."""
    reading.repository.add_pack("second")
    reading.repository.release(3)
    reading.sync()
    return reading


def test_a_site_returns_to_the_build_before_a_revoked_one(updated: Any) -> None:
    revoke(updated, updated.second)
    result = updated.sync()
    assert (updated.content(), result.changed) == ("one", False)
    entry = record(updated).workflows[WORKFLOW]
    assert entry == result.active.workflows[WORKFLOW]
    assert entry.bundle == updated.first
    assert entry.returned is not None
    assert (entry.returned.instead, entry.returned.before.manifest_version) == (updated.second, 1)
    assert (result.active.skipped, result.active.stopped, result.active.before) == ({}, {}, {})
    found = status(updated.state).active
    assert found is not None
    assert found.returned[WORKFLOW].said == (
        "its bundle was revoked: wrong labels; the build before it answers, which stable 1 approved"
    )


def test_it_stays_there_until_a_manifest_says_otherwise(updated: Any) -> None:
    revoke(updated, updated.second)
    updated.sync()
    tried = len(updated.tried)
    for _ in range(2):
        assert not updated.sync().changed
    assert (updated.content(), len(updated.tried)) == ("one", tried)
    third = update(updated, "three", 3)
    assert record(updated).workflows[WORKFLOW].returned is None
    assert record(updated).before[WORKFLOW].bundle == updated.first
    revoke(updated, updated.second, third)
    updated.sync()
    assert updated.content() == "one"


def test_a_manifest_that_still_names_what_was_revoked_leaves_it_there(updated: Any) -> None:
    revoke(updated, updated.second)
    updated.sync()
    updated.repository.release(3)
    result = updated.sync()
    assert (result.changed, updated.content(), result.active.manifest_version) == (True, "one", 3)
    assert result.active.workflows[WORKFLOW].returned.before.manifest_version == 1
    assert not updated.sync().changed


def test_a_site_that_never_ran_what_was_revoked_goes_on_with_what_it_has(running: Any) -> None:
    running.repository.add_bundle("two")
    running.repository.release(2)
    revoke(running, bundle(running))
    result = running.sync()
    assert (result.active.manifest_version, running.content()) == (2, "one")
    assert result.active.workflows[WORKFLOW].returned.instead == bundle(running)


def test_a_running_service_switches_without_a_restart(updated: Any) -> None:
    def load(folder: Path) -> Any:
        label = (folder / "model.onnx").read_bytes()[:3].decode()
        answer = SimpleNamespace(label=label, confidence=0.9, probabilities={label: 0.9}, in_domain=True, abstain=None)
        return SimpleNamespace(classify=lambda text: answer, config=SimpleNamespace(max_characters=1000))

    site = Site(updated.state, load=load, clock=lambda: record(updated).seen)
    try:
        by = site.answer(WORKFLOW, "seal broken", request_id="a").produced_by
        assert (by.bundle, by.manifest_version, by.instead_of) == (updated.second, 2, None)
        revoke(updated, updated.second)
        updated.sync()
        said = site.answer(WORKFLOW, "seal broken", request_id="b")
        assert (said.status, said.label) == ("answered", "one")
        by = said.produced_by
        assert (by.bundle, by.manifest_version, by.instead_of) == (updated.first, 1, updated.second)
        noted = site.outbox.ledger.records(last=1)[0].body["produced_by"]
        assert (noted["bundle"], noted["instead_of"]) == (updated.first, updated.second)
        assert updated.first in site.serving.loaded()
        assert updated.second not in site.serving.loaded()
    finally:
        site.close()


def test_nothing_is_fetched_for_it(updated: Any) -> None:
    """The line is gone once the orders were read: manifest, assignment and blobs can no longer be had."""
    revoke(updated, updated.second)
    for path in [*(updated.repository.folder / "blobs/sha256").iterdir()]:
        path.unlink()
    for path in [*(updated.repository.folder / "metadata").glob("*.sites-bin-*.json")]:
        path.unlink()
    shutil.rmtree(updated.state / "metadata")
    (updated.state / "metadata").mkdir()
    with pytest.raises(LadingError):
        updated.sync()
    assert updated.content() == "one"


def test_it_comes_back_where_the_manifest_has_expired(running: Any) -> None:
    expires = running.repository.expires
    second = update(running, "two", 2)
    running.repository.release(3, expires=expires - 20 * DAY)
    revoke(running, second)
    with pytest.raises(IntegrityError, match="version 3 expired"):
        running.sync(expires - 10 * DAY)
    assert running.content() == "one"


def test_it_comes_back_though_the_channel_is_halted(updated: Any) -> None:
    halted = {"stable": Halt(reason="two sites report", by="alice", since=updated.repository.expires)}
    updated.repository.add_bundle("three")
    updated.repository.release(3)
    revoke(updated, updated.second, halted=halted)
    assert updated.sync().halted is not None
    assert (updated.content(), record(updated).manifest_version) == ("one", 2)


def test_a_manifest_that_revokes_brings_it_back_too(updated: Any) -> None:
    """A fleet from before there were orders says it in the manifest alone."""
    updated.repository.revocations = [Revocation(bundle=updated.second, reason="wrong")]
    updated.repository.release(3)
    result = updated.sync()
    assert (updated.content(), result.active.manifest_version) == ("one", 3)


def test_only_a_revocation_brings_a_build_back(updated: Any) -> None:
    """No failing sync, no expired manifest and no other site's trouble is a way to the build before."""
    updated.repository.release(3, expires=updated.repository.expires - 20 * DAY)
    with pytest.raises(IntegrityError, match="expired"):
        updated.sync(updated.repository.expires - 10 * DAY)
    updated.repository.add_bundle("three", signature=b"{}")
    updated.repository.release(4)
    with pytest.raises(IntegrityError):
        updated.sync()
    revoke(updated, digest_of(b"something else"))
    with pytest.raises(IntegrityError):
        updated.sync()
    assert (updated.content(), record(updated).manifest_version) == ("two", 2)


def test_the_build_before_was_revoked_too(updated: Any) -> None:
    revoke(updated, updated.second, updated.first)
    to_the_centre(updated, "the build before it does not come back: its bundle was revoked: wrong labels")


def test_the_build_before_was_revoked_first(updated: Any) -> None:
    revoke(updated, updated.first)
    updated.sync()
    assert (updated.content(), record(updated).before) == ("two", {})
    revoke(updated, updated.second, updated.first)
    to_the_centre(updated, "wrong labels")


def test_the_build_before_is_revoked_after_it_came_back(updated: Any) -> None:
    revoke(updated, updated.second)
    updated.sync()
    revoke(updated, updated.second, updated.first)
    to_the_centre(updated, "the build before it stops too")


@pytest.mark.parametrize("kind", ["a layer", "the signature", "the OCI manifest", "the signed manifest"])
@pytest.mark.parametrize("harm", ["altered", "gone", "a link"])
def test_a_tampered_build_does_not_come_back(updated: Any, kind: str, harm: str) -> None:
    before = record(updated).before[WORKFLOW]
    repository = updated.repository
    digest = {
        "a layer": digest_of(b"one" * 1000),
        "the signature": _signature(repository, updated.first),
        "the OCI manifest": before.bundle,
        "the signed manifest": before.manifest,
    }[kind]
    path = blob(updated, digest)
    assert digest in before.blobs
    if harm == "altered":
        spoil(path)
    else:
        raw = path.read_bytes()
        path.unlink()
        if harm == "a link":
            aside = updated.state / "aside"
            aside.write_bytes(raw)
            path.symlink_to(aside)
    revoke(updated, updated.second)
    to_the_centre(updated, "the build before it does not come back: ")


def _signature(repository: Any, digest: str) -> str:
    """Digest of the signature of a bundle, as any manifest of the channel names it."""
    manifests = [parse(FleetManifest, path.read_bytes()) for path in (repository.folder / "targets/stable").iterdir()]
    return next(one.bundles()[digest].signature.digest for one in manifests if digest in one.bundles())


def test_a_record_that_names_another_build_than_the_manifest_does(updated: Any) -> None:
    """A bundle that the builder signed under this name, and that the site has, but that manifest 1 did not approve."""
    rewrite(updated, bundle=updated.second)
    revoke(updated, "sha256:" + "5" * 64)
    updated.sync()
    third = update(updated, "three", 3)
    rewrite(updated, manifest=record(updated).before[WORKFLOW].manifest, bundle=updated.first)
    revoke(updated, third)
    to_the_centre(updated, f"{updated.first} was kept")


def test_a_record_that_names_another_manifest(updated: Any) -> None:
    rewrite(updated, manifest=record(updated).manifest_digest)
    revoke(updated, updated.second)
    to_the_centre(updated, "its bundle was revoked")


def test_a_build_by_a_key_that_was_replaced_since(updated: Any) -> None:
    repository = updated.repository
    repository.builder = ec.generate_private_key(ec.SECP256R1())
    repository.set_target("targets", "trust/builder.pub", repository.public_key)
    third = update(updated, "three", 3)
    revoke(updated, third)
    to_the_centre(updated, "Key mismatch")


def test_a_build_of_canary_is_no_way_back_for_stable(station: Any) -> None:
    """One key approves canary; who also has the online key must not bring that to stable sites by a revocation."""
    repository = station.repository
    repository.assign(1, channel="canary")
    repository.add_bundle("canary")
    repository.release(1, "canary")
    assert station.sync().changed
    repository.assign(2)
    repository.add_bundle("two")
    repository.release(2)
    assert station.sync().changed
    assert record(station).before == {}
    revoke(station, bundle(station))
    to_the_centre(station, "wrong labels")


def test_a_build_that_a_release_went_back_from_is_no_way_back(updated: Any) -> None:
    repository = updated.repository
    repository.add_bundle("one")
    repository.release(3)
    assert updated.sync().changed
    assert (updated.content(), record(updated).before) == ("one", {})
    revoke(updated, updated.first)
    to_the_centre(updated, "wrong labels")


def test_an_approval_that_has_expired(running: Any) -> None:
    repository = running.repository
    repository.release(2, expires=repository.expires - 20 * DAY)
    assert running.sync().changed
    update(running, "two", 3)
    assert record(running).before[WORKFLOW].manifest_version == 2
    revoke(running, bundle(running))
    active = running.sync(repository.expires - 10 * DAY).active
    assert active.workflows == {}
    assert "version 2 expired" in active.absent[WORKFLOW]


def test_a_data_class_that_is_not_allowed_here_any_more(running: Any) -> None:
    repository = running.repository
    repository.workflow = {"data_classes": ("customer",)}
    repository.release(2)
    running.sync()
    repository.workflow = {}
    repository.assign(2, data_classes=("internal",))
    second = update(running, "two", 3)
    revoke(running, second)
    to_the_centre(running, "data class customer is not allowed at this site")


def test_a_workflow_that_is_placed_centrally_now(updated: Any) -> None:
    repository = updated.repository
    revoke(updated, updated.second)
    updated.sync()
    repository.workflow = {"placement": Placement(where=Where.CENTRAL, reasons=("a material action",))}
    repository.release(3)
    active = updated.sync().active
    assert (active.workflows, active.stopped, active.before) == ({}, {}, {})
    assert active.skipped == {WORKFLOW: "it is placed centrally: a material action"}


def test_a_workflow_that_the_manifest_no_longer_has(updated: Any) -> None:
    revoke(updated, updated.second)
    updated.sync()
    updated.repository.builds.clear()
    updated.repository.release(3)
    active = updated.sync().active
    assert (active.workflows, active.skipped, active.before) == ({}, {}, {})


def test_it_runs_under_the_policy_of_now_and_the_stricter_guardrails(running: Any) -> None:
    repository = running.repository
    repository.workflow = {"text_export": "always", "guardrails": Guardrails(minimum_confidence=0.8)}
    repository.release(2)
    running.sync()
    repository.workflow = {
        "text_export": "never",
        "roles": ("lead",),
        "guardrails": Guardrails(max_characters=500, max_knowledge_age_days=3),
    }
    second = update(running, "two", 3, defer_threshold=0.1)
    revoke(running, second)
    entry = running.sync().active.workflows[WORKFLOW]
    assert (entry.text_export, entry.roles, entry.defer_threshold) == ("never", ("lead",), 0.5)
    assert entry.guardrails == Guardrails(minimum_confidence=0.8, max_characters=500, max_knowledge_age_days=3)


def test_a_build_that_fails_on_this_machine_now(updated: Any) -> None:
    updated.failures = ["smoke case 1: late expected, found early"]
    revoke(updated, updated.second)
    to_the_centre(updated, "fails on this machine: smoke case 1")


def test_a_version_of_before_sites_kept_builds(updated: Any) -> None:
    """Its record allows nothing to come back, and has no manifest among its blobs."""
    active = record(updated)
    path = updated.state / "versions" / active.version / ACTIVE_FILE
    path.write_bytes(dump(active.model_copy(update={"before": {}, "data_classes": ()})))
    blob(updated, active.manifest_digest).unlink()
    third = update(updated, "three", 3)
    revoke(updated, third)
    to_the_centre(updated, "version 2 of stable/manifest.json is not here")


def test_a_revoked_pack_returns_to_the_pack_before(revised: Any) -> None:
    (pack,) = revised.repository.packs.values()
    revoke(revised, pack.blob.digest)
    active = revised.sync().active
    assert (revised.passages(), revised.content(RETRIEVER)) == ("first", "embeds")
    assert active.workflows[RETRIEVER].returned.reason == "its knowledge pack was revoked: wrong labels"
    assert active.workflows[WORKFLOW].returned is None
    assert not revised.sync().changed


def test_a_revoked_retriever_returns_with_its_own_pack(reading: Any) -> None:
    """Never the old retriever with the pack of the new one."""
    old = record(reading).workflows[RETRIEVER]
    reading.repository.add_retriever("embeds anew")
    reading.repository.add_pack("second")
    reading.repository.release(3)
    reading.sync()
    revoke(reading, bundle(reading, RETRIEVER))
    entry = reading.sync().active.workflows[RETRIEVER]
    assert entry.digests == old.digests
    assert (reading.passages(), reading.content(RETRIEVER)) == ("first", "embeds")


def test_an_old_retriever_whose_record_names_the_pack_of_the_new_one(reading: Any) -> None:
    reading.repository.add_retriever("embeds anew")
    reading.repository.add_pack("second")
    reading.repository.release(3)
    reading.sync()
    active = record(reading)
    assert active.workflows[RETRIEVER].pack is not None
    before = active.before[RETRIEVER].model_copy(update={"pack": active.workflows[RETRIEVER].pack.digest})
    path = reading.state / "versions" / active.version / ACTIVE_FILE
    path.write_bytes(dump(active.model_copy(update={"before": {RETRIEVER: before}})))
    revoke(reading, bundle(reading, RETRIEVER))
    active = reading.sync().active
    assert RETRIEVER in active.stopped
    assert "was kept" in active.absent[RETRIEVER]
    assert WORKFLOW in active.workflows


def test_one_build_of_each_workflow_is_kept_and_no_more(revised: Any) -> None:
    third = update(revised, "two", 4)
    fourth = update(revised, "three", 5)
    active = record(revised)
    assert {name: one.manifest_version for name, one in active.before.items()} == {WORKFLOW: 4, RETRIEVER: 2}
    assert active.before[WORKFLOW].bundle == third
    kept = {f"sha256:{path.name}" for path in (revised.state / "blobs/sha256").iterdir()}
    needed = {digest for entry in active.workflows.values() for digest in entry.needed}
    back = {digest for one in active.before.values() for digest in one.blobs}
    assert kept == needed | back | {active.manifest_digest}
    revoke(revised, fourth)
    revised.sync()
    assert revised.content() == "two"
    left = {f"sha256:{path.name}" for path in (revised.state / "blobs/sha256").iterdir()}
    assert left < kept
    assert fourth not in left


def test_layers_that_both_builds_have_are_kept_once(updated: Any) -> None:
    shared = digest_of(b"the base never changes" * 1000)
    active = record(updated)
    assert shared in active.workflows[WORKFLOW].blobs
    assert shared in active.before[WORKFLOW].blobs
    assert blob(updated, shared).stat().st_nlink == 3, "the blob, the running version and the one before it"


def test_a_full_disk_leaves_the_workflow_to_the_centre_until_there_is_room(
    updated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtimes.sync import stage

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    revoke(updated, updated.second)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "lay_out", full)
        with pytest.raises(StorageError):
            updated.sync()
    assert WORKFLOW in record(updated).stopped
    updated.sync()
    assert updated.content() == "one"


def test_what_a_thief_of_the_online_key_gains_is_one_build_back(updated: Any) -> None:
    """Revoking is the online key's word: it takes a site to the build before, then to the centre, never further back."""
    third = update(updated, "three", 3)
    revoke(updated, third)
    updated.sync()
    assert updated.content() == "two"
    revoke(updated, third, updated.second)
    to_the_centre(updated, "the build before it stops too")
    assert set(load_orders(updated.state).stops) == {third, updated.second}


def test_a_record_survives_being_written_and_read(updated: Any) -> None:
    before = record(updated).before[WORKFLOW]
    assert Before.model_validate_json(dump(before)) == before
