"""Decisions, without a disk or a network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet_manifests import (
    Assignment,
    BuildEntry,
    BundleRef,
    DataClass,
    Descriptor,
    FleetManifest,
    HardwareProfile,
    HostFacts,
    IntegrityError,
    IsaClass,
    LatencyObjective,
    OciManifest,
    Placement,
    RefusedError,
    Task,
    Verdict,
    Where,
    WorkflowEntry,
)
from fleet_manifests.bundle import FILEPATH
from runtimes.sync.active import Active
from runtimes.sync.contents import check_layout
from runtimes.sync.floor import BUILT, Floor, ManifestFloor
from runtimes.sync.plan import (
    check_agent,
    check_assignment,
    check_manifest,
    make_plan,
    version_numbers,
    without_revoked,
)

pytestmark = pytest.mark.unit

NOW = datetime(2027, 1, 4, tzinfo=UTC)
HOST = HostFacts(architecture="x86_64", features=("avx2", "avx512_vnni"), cores=4, memory_mb=8000)
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def blob(digest: str = DIGEST, path: str = "bundle.json") -> Descriptor:
    return Descriptor(media_type="x", digest=digest, size=1, annotations={FILEPATH: path})


LAYOUT = OciManifest(config=blob(), layers=(blob(), blob(OTHER, "model.onnx")))


def entry(profiles: tuple[str, ...] = ("p",), workflow: str = "flow", **changes: Any) -> WorkflowEntry:
    builds = {
        name: BuildEntry(
            bundle=BundleRef(name=f"{workflow}--{name}", manifest=blob(), signature=blob(OTHER)),
            defer_threshold=0.4,
            verdict=Verdict.PASS,
        )
        for name in profiles
    }
    placement = Placement(where=Where.EDGE, reasons=("offline",))
    fields = {"task": Task.CLASSIFY, "title": "Flow", "owner": "ops", "placement": placement, "builds": builds}
    return WorkflowEntry(**(fields | changes))


def profile(name: str, isa: IsaClass = IsaClass.AVX512_VNNI, **changes: Any) -> HardwareProfile:
    return HardwareProfile(name=name, isa=isa, latency=LatencyObjective(milliseconds=1), recipes=("int8",), **changes)


def manifest(**changes: Any) -> FleetManifest:
    fields: dict[str, Any] = {
        "channel": "stable",
        "version": 4,
        "issued": NOW,
        "expires": NOW + timedelta(days=1),
        "profiles": {"p": profile("p"), "q": profile("q", IsaClass.X86_64, preference=-1)},
        "workflows": {"flow": entry()},
    }
    return FleetManifest(**(fields | changes))


def assignment(**changes: Any) -> Assignment:
    fields = {"site": "s", "site_class": "c", "version": 3, "issued": NOW, "channel": "stable"}
    return Assignment(**(fields | changes))


def active(**changes: Any) -> Active:
    made = make_plan(manifest(), DIGEST, assignment(), HOST).record({"flow": LAYOUT}, version="000001-x", now=NOW)
    return made.model_copy(update=changes)


def test_the_preferred_profile_of_the_machine_is_taken() -> None:
    assert make_plan(manifest(), DIGEST, assignment(), HOST).profile.name == "p"
    older = HOST.model_copy(update={"features": ()})
    assert make_plan(manifest(), DIGEST, assignment(), older).profile.name == "q"


def test_the_assignment_may_name_the_profile() -> None:
    plan = make_plan(manifest(), DIGEST, assignment(profile="q"), HOST)
    assert plan.profile.name == "q"
    assert plan.skipped == {"flow": "it has no build for profile q"}
    with pytest.raises(RefusedError, match="no edge profile of stable 4 fits this machine: the manifest lists none"):
        make_plan(manifest(), DIGEST, assignment(profile="z"), HOST)


def test_the_record_says_everything_a_server_needs() -> None:
    record = active()
    served = record.workflows["flow"]
    assert (record.site, record.site_class, record.kind, record.profile) == ("s", "c", "edge", "p")
    assert (record.manifest_version, record.manifest_digest, record.assignment_version) == (4, DIGEST, 3)
    assert (record.activated, record.seen) == (NOW, NOW)
    assert (served.bundle, served.name, served.folder) == (DIGEST, "flow--p", "bundles/flow--p")
    assert served.blobs == (DIGEST, OTHER)


@pytest.mark.parametrize(
    ("changed_manifest", "digest", "changed_assignment"),
    [
        ({}, OTHER, {}),
        ({}, DIGEST, {"version": 4}),
        ({}, DIGEST, {"central": "https://c.example"}),
        ({}, DIGEST, {"site_class": "d"}),
        ({}, DIGEST, {"profile": "q"}),
        ({}, DIGEST, {"workflows": ("flow", "more")}),
        ({"workflows": {}}, DIGEST, {}),
    ],
)
def test_any_difference_is_a_new_version(
    changed_manifest: dict[str, Any], digest: str, changed_assignment: dict[str, Any]
) -> None:
    plan = make_plan(manifest(**changed_manifest), digest, assignment(**changed_assignment), HOST)
    assert not plan.is_running(active())


def test_the_same_is_not() -> None:
    plan = make_plan(manifest(), DIGEST, assignment(), HOST)
    later = NOW + timedelta(days=1)
    assert plan.is_running(active(seen=later, activated=later, version="000009-x"))


def test_revocation_reaches_what_runs() -> None:
    later = NOW + timedelta(hours=1)
    found = without_revoked(active(), {DIGEST: "wrong labels"}, later)
    assert (found.workflows, found.seen) == ({}, later)
    assert found.stopped == active().workflows
    assert found.skipped == {"flow": "its bundle was revoked: wrong labels"}
    assert without_revoked(active(), {}, later) == active(seen=later)
    assert without_revoked(active(seen=later), {}, NOW).seen == later


def test_data_classes_hold_for_every_kind() -> None:
    central = manifest(
        profiles={"p": profile("p", kind="central")},
        workflows={
            "flow": entry(data_classes=(DataClass.PRICING,), placement=Placement(where=Where.CENTRAL, reasons=()))
        },
    )
    plan = make_plan(central, DIGEST, assignment(kind="central"), HOST)
    assert plan.skipped == {"flow": "data class pricing is not allowed at this site"}
    allowed = assignment(kind="central", data_classes=(DataClass.PRICING,))
    assert list(make_plan(central, DIGEST, allowed, HOST).chosen) == ["flow"]


@pytest.mark.parametrize("name", ["../x", "A", "", "x/y", ".x", "x" * 64])
def test_a_workflow_is_a_name(name: str) -> None:
    odd = manifest().model_copy(update={"workflows": {name: entry(workflow=name)}})
    with pytest.raises(IntegrityError, match="is not a name"):
        make_plan(odd, DIGEST, assignment(), HOST)


@pytest.mark.parametrize(("site", "kind"), [("other", "edge"), ("s", "central")])
def test_an_assignment_is_for_one_site(site: str, kind: str) -> None:
    check_assignment(assignment(), site="s", kind="edge")
    with pytest.raises(IntegrityError, match="is the assignment of edge s, this is"):
        check_assignment(assignment(), site=site, kind=kind)


def test_a_manifest_is_for_one_channel_and_for_a_time() -> None:
    check_manifest(manifest(), "stable", NOW)
    with pytest.raises(IntegrityError, match=r"canary/manifest\.json: says it is the manifest of channel stable"):
        check_manifest(manifest(), "canary", NOW)
    with pytest.raises(IntegrityError, match="version 4 expired on 2027-01-05 00:00 UTC"):
        check_manifest(manifest(), "stable", NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("0.1.0", (0, 1)),
        ("1.2.3rc1", (1, 2, 3)),
        ("v2", (2,)),
        ("0", ()),
        ("1.10", (1, 10)),
        ("unknown", None),
        ("", None),
    ],
)
def test_version_numbers(version: str, numbers: tuple[int, ...] | None) -> None:
    assert version_numbers(version) == numbers


@pytest.mark.parametrize(
    ("needed", "have"), [("0.1.0", "0.1.0"), ("0.1", "0.1.0"), ("0.9", "0.10.0"), ("0.2", "1.0.dev1")]
)
def test_new_enough(needed: str, have: str) -> None:
    check_agent(manifest(minimum_agent=needed), have)


@pytest.mark.parametrize(("needed", "have"), [("0.1.1", "0.1.0"), ("1", "0.99"), ("0.1.0", "unknown")])
def test_too_old(needed: str, have: str) -> None:
    with pytest.raises(RefusedError, match="update lading"):
        check_agent(manifest(minimum_agent=needed), have)


def test_a_minimum_agent_that_is_no_version() -> None:
    with pytest.raises(IntegrityError, match="minimum_agent: 'newest' is not a version"):
        check_agent(manifest(minimum_agent="newest"), "0.1.0")


def layout(*paths: str) -> OciManifest:
    return OciManifest(config=blob(), layers=tuple(blob(path=path) for path in paths))


def test_a_layout_is_a_folder_with_a_config() -> None:
    check_layout(layout("bundle.json", "a/b", "a/c", "ab"), "flow")
    with pytest.raises(IntegrityError, match=r"no layer is its bundle\.json"):
        check_layout(layout("a/bundle.json"), "flow")
    with pytest.raises(IntegrityError, match="A is a file and a folder"):
        check_layout(layout("bundle.json", "A", "a/b"), "flow")


def test_the_floor_rises_and_never_falls() -> None:
    first = Floor().raised(NOW, assignment(version=3), manifest(version=4), DIGEST)
    assert first == Floor(seen=NOW, assignment=3, manifests={"stable": ManifestFloor(version=4, digest=DIGEST)})
    canary = manifest(version=9).model_copy(update={"channel": "canary"})
    second = first.raised(NOW - timedelta(days=1), assignment(version=2), canary, OTHER)
    assert (second.seen, second.assignment) == (NOW, 3)
    assert {name: known.version for name, known in second.manifests.items()} == {"stable": 4, "canary": 9}


def test_the_floor_is_per_channel() -> None:
    floor = Floor(manifests={"canary": ManifestFloor(version=9, digest=DIGEST)})
    floor.check_manifest(manifest(version=1), OTHER)
    with pytest.raises(IntegrityError, match="version 8 is offered, this site has accepted 9"):
        floor.check_manifest(manifest(version=8).model_copy(update={"channel": "canary"}), DIGEST)


def test_the_clock_may_stand_still() -> None:
    Floor(seen=NOW).check_clock(NOW)
    Floor().check_clock(BUILT)
    with pytest.raises(IntegrityError, match="set the clock"):
        Floor(seen=NOW).check_clock(NOW - timedelta(seconds=1))
    with pytest.raises(IntegrityError, match="set the clock"):
        Floor().check_clock(BUILT - timedelta(seconds=1))


def test_a_build_for_an_engine_that_is_not_here_is_skipped() -> None:
    builds = {"p": entry().builds["p"].model_copy(update={"engine": "openvino"})}
    offered = manifest(workflows={"flow": entry(builds=builds), "other": entry(workflow="other")})
    plan = make_plan(offered, DIGEST, assignment(), HOST)
    assert set(plan.chosen) == {"other"}
    assert "openvino, which is not here; run: pip install 'lading[openvino]'" in plan.skipped["flow"]
    able = HOST.model_copy(update={"engines": ("openvino",)})
    assert set(make_plan(offered, DIGEST, assignment(), able).chosen) == {"flow", "other"}
