"""Which pack a retriever searches: decisions, without a disk or a network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet_manifests import (
    Assignment,
    BaseRef,
    BuildEntry,
    BundleConfig,
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
    PackConfig,
    PackRef,
    Placement,
    Revocation,
    Task,
    Verdict,
    Where,
    WorkflowEntry,
)
from fleet_manifests.bundle import FILEPATH
from runtimes.sync.active import Active, ActivePack
from runtimes.sync.contents import check_layout, check_pack_config
from runtimes.sync.packs import PackParts, is_encrypted, key_missing
from runtimes.sync.plan import Plan, make_plan, revoked, without_revoked

pytestmark = pytest.mark.unit

NOW = datetime(2027, 1, 4, tzinfo=UTC)
HOST = HostFacts(architecture="x86_64", features=("avx2", "avx512_vnni"), cores=4, memory_mb=8000)
BUNDLE, PACK, NEXT, OTHER = (f"sha256:{letter * 64}" for letter in "abcd")
NAME = "sops--p--c"


def blob(digest: str, path: str = "bundle.json") -> Descriptor:
    return Descriptor(media_type="x", digest=digest, size=1, annotations={FILEPATH: path})


LAYOUT = OciManifest(config=blob(OTHER), layers=(blob(OTHER),))
PACK_LAYOUT = OciManifest(config=blob(OTHER), layers=(blob("sha256:" + "e" * 64, "pack.json"),))


def config(**changes: Any) -> PackConfig:
    fields = {"workflow": "sops", "profile": "p", "site_class": "c", "retriever": BUNDLE, "library": OTHER}
    return PackConfig.model_validate({**fields, "passages": 1, "dimension": 4, **changes})


def pack(**changes: Any) -> PackRef:
    fields = {
        "name": NAME,
        "blob": blob(PACK),
        "site_classes": ("c",),
        "retriever": BUNDLE,
        "workflow": "sops",
        "profile": "p",
        "signature": blob("sha256:" + "f" * 64),
        "verdict": Verdict.PASS,
    }
    return PackRef.model_validate(fields | changes)


def manifest(*packs: PackRef, task: Task = Task.RETRIEVE, kind: str = "edge", **changes: Any) -> FleetManifest:
    build = BuildEntry(
        bundle=BundleRef(name="sops--p", manifest=blob(BUNDLE), signature=blob(OTHER)),
        defer_threshold=0,
        verdict=Verdict.PASS,
    )
    entry = WorkflowEntry(
        task=task,
        title="Procedures",
        owner="ops",
        placement=Placement(where=Where.EDGE, reasons=()),
        builds={"p": build},
    )
    profile = HardwareProfile(
        name="p",
        kind=kind,
        isa=IsaClass.AVX512_VNNI,
        latency=LatencyObjective(milliseconds=1),
        recipes=("int8",),
    )
    fields: dict[str, Any] = {"channel": "stable", "version": 4, "issued": NOW, "expires": NOW + timedelta(days=1)}
    fields |= {"profiles": {"p": profile}, "workflows": {"sops": entry}, "knowledge_packs": packs}
    return FleetManifest(**(fields | changes))


def assignment(**changes: Any) -> Assignment:
    fields = {"site": "s", "site_class": "c", "version": 3, "issued": NOW, "channel": "stable"}
    return Assignment(**(fields | changes))


def plan(*packs: PackRef, digest: str = OTHER, **changes: Any) -> Plan:
    return make_plan(manifest(*packs, **changes), digest, assignment(), HOST)


def active(one: PackRef | None = None, *, encrypted: bool = False) -> Active:
    parts = {"sops": PackParts(PACK_LAYOUT, config(encrypted=encrypted))}
    return plan(one or pack()).record({"sops": LAYOUT}, parts, version="000001-x", now=NOW)


def test_the_pack_of_workflow_profile_and_site_class_is_taken() -> None:
    others = (
        pack(name="sops--p--d", site_classes=("d",), blob=blob(OTHER)),
        pack(name="more--p--c", workflow="more", blob=blob(OTHER)),
        pack(name="sops--q--c", profile="q", blob=blob(OTHER)),
    )
    made = plan(*others, pack())
    assert made.chosen["sops"].pack == pack()
    assert made.chosen["sops"].digests == (BUNDLE, PACK)
    assert made.skipped == {}


def test_a_classifier_searches_nothing() -> None:
    made = plan(pack(), task=Task.CLASSIFY)
    assert made.chosen["sops"].pack is None


def test_a_centre_has_a_site_class_like_any_other() -> None:
    found = make_plan(manifest(pack(), kind="central"), OTHER, assignment(kind="central"), HOST)
    assert found.chosen["sops"].pack == pack()
    elsewhere = assignment(kind="central", site_class="centre")
    assert (
        "no knowledge pack for site class centre"
        in make_plan(manifest(pack(), kind="central"), OTHER, elsewhere, HOST).skipped["sops"]
    )


@pytest.mark.parametrize(
    ("packs", "reason"),
    [
        ((), "the manifest has no knowledge pack for site class c on profile p"),
        ((pack(name="sops--p--d", site_classes=("d",)),), "the manifest has no knowledge pack for site class c"),
        ((pack(verdict=Verdict.INCONCLUSIVE),), "the evidence of its knowledge pack says inconclusive, not pass"),
        ((pack(verdict=Verdict.FAIL),), "the evidence of its knowledge pack says fail, not pass"),
        ((pack(data_class=DataClass.PRICING),), "data class pricing of its knowledge pack is not allowed at this site"),
    ],
)
def test_without_a_pack_that_may_be_here_the_workflow_is_skipped(packs: tuple[PackRef, ...], reason: str) -> None:
    made = plan(*packs)
    assert made.chosen == {}
    assert made.skipped["sops"].startswith(reason)


def test_a_data_class_that_the_assignment_allows() -> None:
    allowed = assignment(data_classes=(DataClass.PRICING,))
    made = make_plan(manifest(pack(data_class=DataClass.PRICING)), OTHER, allowed, HOST)
    assert list(made.chosen) == ["sops"]


@pytest.mark.parametrize("field", ["workflow", "profile", "signature", "retriever"])
def test_a_reference_that_lacks_something_is_refused(field: str) -> None:
    with pytest.raises(IntegrityError, match=f"knowledge pack {NAME}: {field} is missing; tell the publisher"):
        plan(pack(**{field: None}))


def test_a_pack_of_another_retriever_is_refused() -> None:
    with pytest.raises(IntegrityError, match=f"is bound to retriever {OTHER}, the build's bundle is {BUNDLE}"):
        plan(pack(retriever=OTHER))


def test_a_pack_under_another_name_is_refused() -> None:
    with pytest.raises(IntegrityError, match=f"knowledge pack {NAME}: has the name 'sops--p--d'"):
        plan(pack(name="sops--p--d"))


def test_two_packs_for_one_place_are_refused() -> None:
    with pytest.raises(IntegrityError, match=f"2 packs are {NAME}"):
        plan(pack(), pack(blob=blob(NEXT)))


def test_names_that_coincide_are_not_the_same_pack() -> None:
    """`sops--p--c` may be of workflow `sops--p` on profile `c`, for another class, too."""
    odd = pack(workflow="sops--p", profile="c", retriever=OTHER)
    assert plan(odd, pack()).chosen["sops"].pack == pack()


def test_a_bad_reference_of_another_site_class_does_no_harm_here() -> None:
    assert list(plan(pack(), pack(name="sops--p--d", site_classes=("d",), retriever=OTHER)).chosen) == ["sops"]


def test_a_revoked_pack_is_not_chosen_and_stops_where_it_runs() -> None:
    reasons = (Revocation(bundle=PACK, reason="wrong torque"),)
    revoking = manifest(pack(), revocations=reasons)
    said = {"sops": "its knowledge pack was revoked: wrong torque"}
    made = make_plan(revoking, OTHER, assignment(), HOST)
    assert (made.chosen, made.skipped) == ({}, said)
    stopped = without_revoked(active(), revoked(revoking.revocations), NOW)
    assert (stopped.workflows, stopped.skipped) == ({}, said)
    assert made.is_running(stopped), "what was stopped at once is what the plan says: nothing is installed again"


def test_a_revoked_bundle_is_named_before_its_pack() -> None:
    reasons = (Revocation(bundle=PACK, reason="old"), Revocation(bundle=BUNDLE, reason="swapped"))
    assert without_revoked(active(), revoked(reasons), NOW).skipped == {"sops": "its bundle was revoked: swapped"}


def test_a_revoked_pack_that_has_a_successor_is_replaced() -> None:
    made = plan(pack(blob=blob(NEXT)), revocations=(Revocation(bundle=PACK, reason="old"),))
    assert made.chosen["sops"].pack.blob.digest == NEXT


def test_the_record_says_everything_a_server_needs() -> None:
    found = active(encrypted=True).workflows["sops"]
    assert found.pack == ActivePack(
        digest=PACK,
        name=NAME,
        data_class=DataClass.INTERNAL,
        encrypted=True,
        blobs=tuple(sorted((PACK, "sha256:" + "e" * 64, "sha256:" + "f" * 64))),
    )
    assert found.pack_folder == "packs/sops--p--c"
    assert set(found.needed) == {*found.blobs, *found.pack.blobs}


def test_a_retriever_is_never_recorded_without_its_pack() -> None:
    with pytest.raises(KeyError):
        plan(pack()).record({"sops": LAYOUT}, version="000001-x", now=NOW)


def test_another_pack_is_another_version() -> None:
    running = active()
    assert plan(pack()).is_running(running)
    assert not plan(pack(blob=blob(NEXT))).is_running(running)
    assert not plan(pack()).without({"sops": "no key"}).is_running(running)
    bare = running.workflows["sops"].model_copy(update={"pack": None})
    assert not plan(pack()).is_running(running.model_copy(update={"workflows": {"sops": bare}}))


def test_a_plan_without_a_workflow_says_why() -> None:
    made = plan(pack()).without({"sops": "no key"})
    assert (made.chosen, made.skipped) == ({}, {"sops": "no key"})
    assert plan(pack()).without({}) == plan(pack())


@pytest.mark.parametrize("data_class", [DataClass.CUSTOMER, DataClass.PERSONAL])
def test_what_is_above_internal_is_known_to_be_encrypted(data_class: DataClass) -> None:
    assert is_encrypted("sops", pack(data_class=data_class), None, OTHER, "r") is True


@pytest.mark.parametrize("encrypted", [True, False])
def test_what_runs_is_known(encrypted: bool) -> None:
    assert is_encrypted("sops", pack(), active(encrypted=encrypted), OTHER, "r") is encrypted
    assert is_encrypted("sops", pack(blob=blob(NEXT)), active(encrypted=encrypted), OTHER, "r") is None


def test_what_was_left_out_for_want_of_a_key_is_known_while_the_manifest_stays() -> None:
    reason = key_missing("c")
    left_out = active().model_copy(update={"workflows": {}, "skipped": {"sops": reason}})
    assert is_encrypted("sops", pack(), left_out, OTHER, reason) is True
    assert is_encrypted("sops", pack(), left_out, NEXT, reason) is None
    for_another_reason = left_out.model_copy(update={"skipped": {"sops": "no build"}})
    assert is_encrypted("sops", pack(), for_another_reason, OTHER, reason) is None
    assert is_encrypted("sops", pack(), None, OTHER, reason) is None


def bundle(**changes: Any) -> BundleConfig:
    base = BaseRef(name="b", revision="1", digest=OTHER, licence="MIT")
    fields = {"workflow": "sops", "task": Task.RETRIEVE, "profile": "p", "isa": "avx512-vnni", "recipe": "int8"}
    return BundleConfig.model_validate({**fields, "dimension": 4, "base": base, "data_card": OTHER, **changes})


def check(said: PackConfig, **changes: Any) -> None:
    recorded = active().workflows["sops"].pack
    assert recorded is not None
    check_pack_config(said, recorded, bundle(**changes), retriever=BUNDLE, site_class="c")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"workflow": "more"}, "workflow is more, sops was expected"),
        ({"profile": "q"}, "profile is q, p was expected"),
        ({"site_class": "d"}, "site_class is d, c was expected"),
        ({"retriever": OTHER}, f"retriever is {OTHER}, {BUNDLE} was expected"),
        ({"data_class": "public"}, "data_class is public, internal was expected"),
        ({"data_class": "pricing", "encrypted": True}, "data_class is pricing, internal was expected"),
        ({"dimension": 5}, "dimension is 5, 4 was expected"),
    ],
)
def test_a_pack_says_of_itself_what_is_said_of_it(change: dict[str, Any], said: str) -> None:
    check(config())
    with pytest.raises(IntegrityError, match=f"pack {NAME}: pack.json: {said}"):
        check(config(**change))


def test_a_retriever_of_another_length_is_refused() -> None:
    with pytest.raises(IntegrityError, match="dimension is 4, None was expected"):
        check(config(), dimension=None)


def layout(*paths: str) -> OciManifest:
    return OciManifest(config=blob(OTHER), layers=tuple(blob(OTHER, path) for path in paths))


def test_a_pack_is_a_folder_with_its_own_configuration() -> None:
    check_layout(layout("pack.json", "passages.jsonl"), NAME, "pack.json")
    with pytest.raises(IntegrityError, match=rf"pack {NAME}: no layer is its pack\.json"):
        check_layout(layout("bundle.json"), NAME, "pack.json")
    with pytest.raises(IntegrityError, match=rf"pack {NAME}: has a bundle\.json, which a pack never has"):
        check_layout(layout("bundle.json", "pack.json"), NAME, "pack.json")
    with pytest.raises(IntegrityError, match=r"bundle sops: has a pack\.json, which a bundle never has"):
        check_layout(layout("bundle.json", "pack.json"), "sops")
    with pytest.raises(IntegrityError, match=f"pack {NAME}: A is a file and a folder"):
        check_layout(layout("pack.json", "A", "a/b"), NAME, "pack.json")
