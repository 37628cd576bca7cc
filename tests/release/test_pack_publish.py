"""Packs through the facade: with their retriever, alone, in place of older ones, and never without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import FleetManifest, IsaClass, RefusedError, Verdict, digest_of, dump, parse
from fleet_manifests.updates import Updates
from release import Release
from release.published import read_blob

pytestmark = pytest.mark.unit
Files = Callable[[Path], dict[str, str]]
MANAGERS = ["alice", "bob"]
NAME = "sops--edge-x86-vnni--branch"


def packs_of(manifest: FleetManifest) -> dict[str, str]:
    """The digest of each pack, by its name."""
    return {pack.name: pack.blob.digest for pack in manifest.knowledge_packs}


def blobs(public: Path) -> set[str]:
    return {path.name for path in (public / "blobs" / "sha256").iterdir()}


@pytest.fixture
def shipped(release: Release, builder: Any) -> Any:
    """Canary and stable hold a retriever with the pack of one site class; the retriever is returned."""
    retriever = builder.retriever()
    pack = builder.pack_candidate(retriever)
    release.promote("canary", [retriever], builder.sops(), packs=[pack])
    release.promote("stable", [retriever], builder.sops(), MANAGERS, packs=[pack])
    return retriever


def test_a_retriever_walks_through_all_channels_with_its_packs(release: Release, builder: Any) -> None:
    retriever = builder.retriever()
    packs = [builder.pack_candidate(retriever, site_class=name) for name in ("depot", "branch")]
    offered = release.offer([retriever], builder.sops(), packs)
    canary = release.promote("canary", [retriever], builder.sops(), packs=packs)
    stable = release.promote("stable", [retriever], builder.sops(), MANAGERS, packs)
    for manifest in (offered, canary, stable):
        assert [pack.name for pack in manifest.knowledge_packs] == [NAME, "sops--edge-x86-vnni--depot"]
        found = manifest.knowledge_pack("sops", "edge-x86-vnni", "branch")
        assert found is not None
        assert found.retriever == manifest.workflows["sops"].builds["edge-x86-vnni"].bundle.digest
        assert found.verdict is Verdict.PASS
    assert parse(FleetManifest, dump(stable)) == stable == release.manifest("stable")


def test_the_order_in_which_packs_are_given_does_not_matter(release: Release, builder: Any) -> None:
    retriever = builder.retriever()
    packs = [builder.pack_candidate(retriever, site_class=name) for name in ("depot", "branch")]
    first = release.promote("canary", [retriever], builder.sops(), packs=packs)
    assert release.promote("canary", [retriever], builder.sops(), packs=packs[::-1]) == first


def test_blobs_signature_and_evidence_are_published_and_listed(
    release: Release, builder: Any, public: Path, shipped: Any
) -> None:
    pack = release.manifest("canary").knowledge_packs[0]
    store = public / "blobs" / "sha256"
    layout = json.loads((store / pack.blob.digest.removeprefix("sha256:")).read_bytes())
    leads = [pack.blob, pack.signature, *pack.evidence]
    wanted = {blob.digest for blob in leads} | {one["digest"] for one in (*layout["layers"], layout["config"])}
    assert {digest.removeprefix("sha256:") for digest in wanted} <= blobs(public)
    listed = json.loads((public / "index.json").read_bytes())["manifests"]
    names = [one["annotations"].get("org.opencontainers.image.ref.name", "") for one in listed]
    assert f"{NAME}.{pack.blob.digest.removeprefix('sha256:')[:12]}" in names
    attached = {}
    for one in listed:
        document = json.loads((store / one["digest"].removeprefix("sha256:")).read_bytes())
        if document.get("subject", {}).get("digest") == pack.blob.digest:
            attached[document["artifactType"]] = document["layers"][0]["digest"]
    assert attached == {
        pack.signature.media_type: pack.signature.digest,
        pack.evidence[0].media_type: pack.evidence[0].digest,
    }


def test_packs_alone_change_nothing_else(release: Release, builder: Any, shipped: Any) -> None:
    before = release.manifest("stable")
    after = release.promote("stable", [], {}, MANAGERS, [builder.pack_candidate(shipped, "revised")])
    assert after.version == before.version + 1
    unchanged = {
        "version": 1,
        "knowledge_packs": (),
        "updates": None,
        "issued": before.issued,
        "expires": before.expires,
    }
    assert before.model_copy(update=unchanged) == after.model_copy(update=unchanged)
    assert packs_of(before).keys() == packs_of(after).keys()
    assert packs_of(before) != packs_of(after)


def test_an_sop_change_publishes_pack_evidence_and_manifest_and_nothing_else(
    release: Release, builder: Any, public: Path, shipped: Any, files_of: Files
) -> None:
    before, files = blobs(public), set(files_of(public))
    revised = builder.pack_candidate(shipped, "revised")
    manifest = release.promote("canary", [], {}, packs=[revised])
    updates = parse(Updates, read_blob(public, manifest.updates))
    offered = {manifest.updates.digest, *(delta.payload.digest for delta in updates.deltas)}
    fresh = blobs(public) - before - {digest.removeprefix("sha256:") for digest in offered}
    changed = ["passages.jsonl", "embedding_codes.npy", "bm25_terms.txt", "bm25_scores.npy"]
    own = [revised.folder / NAME / name for name in changed]
    own += [revised.folder / name for name in ("manifest.json", "config.json", "model.sig", "knowledge.dsse.json")]
    expected = {digest_of(path.read_bytes()).removeprefix("sha256:") for path in own}
    assert expected <= fresh
    referrers = fresh - expected
    documents = [json.loads((public / "blobs" / "sha256" / name).read_bytes()) for name in referrers]
    attached = [one for one in documents if "subject" in one]
    assert [one["subject"]["digest"] for one in attached] == [builder.digest(revised)] * 2
    (index,) = (one for one in documents if "subject" not in one)
    assert len(index["manifests"]) == 2, "the index of what is attached, for registries without referrers"
    assert len(fresh) == 4 + 4 + 3
    others = {name for name in set(files_of(public)) - files if not name.startswith("blobs/")}
    assert {name.split("/")[0] for name in others} == {"metadata", "targets"}
    targets = [name for name in others if name.startswith("targets/")]
    assert [parse(FleetManifest, (public / name).read_bytes()) for name in targets] == [manifest]


def test_publishing_the_same_pack_again_is_a_no_op(
    release: Release, builder: Any, public: Path, shipped: Any, files_of: Files
) -> None:
    revised = builder.pack_candidate(shipped, "revised")
    first = release.promote("canary", [], {}, packs=[revised])
    before = files_of(public)
    assert release.promote("canary", [], {}, packs=[revised]) == first
    assert files_of(public) == before


def test_packs_of_other_site_classes_stay(release: Release, builder: Any, shipped: Any) -> None:
    before = packs_of(release.manifest("canary"))
    depot = builder.pack_candidate(shipped, site_class="depot")
    both = packs_of(release.promote("canary", [], {}, packs=[depot]))
    assert both == before | {"sops--edge-x86-vnni--depot": builder.digest(depot)}
    revised = builder.pack_candidate(shipped, "revised")
    assert packs_of(release.promote("canary", [], {}, packs=[revised])) == both | {NAME: builder.digest(revised)}


def test_packs_of_other_workflows_and_profiles_stay(release: Release, builder: Any, shipped: Any) -> None:
    before = packs_of(release.manifest("canary"))
    avx2 = builder.profile("edge-x86-avx2", IsaClass.X86_64_V3)
    older = builder.retriever(profile=avx2)
    digest = builder.digest(older)
    host = builder.report("accuracy", digest).machine.host.model_copy(update={"features": ("avx2",)})
    out = builder.pack(digest, profile=avx2.name)
    evidence = builder.knowledge(out, digest, profile=avx2.name, host=host)
    pack = replace(builder.pack_candidate(shipped), profile=avx2, folder=out, evidence=(evidence,))
    manifest = release.promote("canary", [older], builder.sops(), packs=[pack])
    assert packs_of(manifest) == before | {"sops--edge-x86-avx2--branch": builder.digest(pack)}
    assert packs_of(release.promote("canary", [builder.candidate()], {"triage": builder.entry()})).keys() == (
        packs_of(manifest).keys()
    )


def test_a_new_retriever_takes_the_packs_of_the_old_one_with_it(release: Release, builder: Any, shipped: Any) -> None:
    release.promote("canary", [], {}, packs=[builder.pack_candidate(shipped, site_class="depot")])
    fresh = builder.retriever("new")
    pack = builder.pack_candidate(fresh)
    manifest = release.promote("canary", [fresh], builder.sops(), packs=[pack])
    assert packs_of(manifest) == {NAME: builder.digest(pack)}, "the depot's pack was of the retriever before"


def test_a_retriever_without_a_pack_does_not_enter(
    release: Release, builder: Any, public: Path, files_of: Files
) -> None:
    retriever, before = builder.retriever(), files_of(public)
    match = "canary: sops--edge-x86-vnni: a retriever enters with knowledge to search, and no pack is bound to this"
    with pytest.raises(RefusedError, match=match):
        release.promote("canary", [retriever], builder.sops())
    assert files_of(public) == before


def test_a_new_retriever_does_not_live_on_the_packs_of_the_old_one(
    release: Release, builder: Any, public: Path, shipped: Any, files_of: Files
) -> None:
    fresh, before = builder.retriever("new"), files_of(public)
    for channel, managers in (("canary", []), ("stable", MANAGERS)):
        with pytest.raises(RefusedError, match="no pack is bound to this bundle; make its packs"):
            release.promote(channel, [fresh], builder.sops(), managers)
    assert files_of(public) == before


def test_a_retriever_that_has_its_pack_already_may_come_again(release: Release, builder: Any, shipped: Any) -> None:
    again = release.promote("canary", [shipped], builder.sops(owner="Operations"))
    assert (again.version, again.workflows["sops"].owner) == (2, "Operations")
    assert list(packs_of(again)) == [NAME]


def test_candidates_takes_a_retriever_without_a_pack(release: Release, builder: Any) -> None:
    """It is measured there; nothing serves it."""
    assert release.offer([builder.retriever()], builder.sops()).knowledge_packs == ()


def test_a_classifier_needs_no_pack(release: Release, builder: Any) -> None:
    manifest = release.promote("canary", [builder.candidate()], {"triage": builder.entry()})
    assert manifest.knowledge_packs == ()


def test_a_pack_without_its_retriever_does_not_enter(
    release: Release, builder: Any, public: Path, files_of: Files
) -> None:
    retriever = builder.retriever()
    before = files_of(public)
    with pytest.raises(RefusedError, match="no build of sops for profile edge-x86-vnni is in canary or enters with"):
        release.promote("canary", [], {}, packs=[builder.pack_candidate(retriever)])
    assert files_of(public) == before


def test_a_pack_is_held_against_the_retriever_that_enters_with_it(
    release: Release, builder: Any, public: Path, shipped: Any, files_of: Files
) -> None:
    fresh, old = builder.retriever("new"), builder.pack_candidate(shipped, "revised")
    before = files_of(public)
    with pytest.raises(RefusedError, match=f"{NAME}: retriever: .* the build's bundle is {builder.digest(fresh)}"):
        release.promote("canary", [fresh], builder.sops(), packs=[old])
    with pytest.raises(RefusedError, match=f"{NAME}: retriever: .* the build's bundle is {builder.digest(shipped)}"):
        release.promote("canary", [], {}, packs=[builder.pack_candidate(fresh)])
    assert files_of(public) == before


def test_a_pack_is_measured_on_the_profile_that_the_channel_has(
    release: Release, builder: Any, public: Path, shipped: Any, files_of: Files
) -> None:
    """What the caller says of the profile does not count."""
    host = builder.report("accuracy", digest_of(b"x")).machine.host.model_copy(update={"features": ("avx2",)})
    pack = builder.pack_candidate(shipped, "revised", said={"host": host})
    lenient = replace(pack, profile=builder.profile(isa=IsaClass.X86_64))
    before = files_of(public)
    with pytest.raises(RefusedError, match="the machine does not match: isa avx512-vnni is needed"):
        release.promote("canary", [], {}, packs=[lenient])
    assert files_of(public) == before


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.FAIL])
def test_one_bad_pack_keeps_all_out(
    release: Release, builder: Any, public: Path, files_of: Files, verdict: Verdict
) -> None:
    retriever = builder.retriever()
    packs = [builder.pack_candidate(retriever), builder.pack_candidate(retriever, site_class="depot", verdict=verdict)]
    before = files_of(public)
    with pytest.raises(RefusedError, match=f"sops--edge-x86-vnni--depot: knowledge: the margin is {verdict}"):
        release.promote("canary", [retriever], builder.sops(), packs=packs)
    assert files_of(public) == before


def test_a_damaged_pack_is_not_published(
    release: Release, builder: Any, public: Path, shipped: Any, files_of: Files
) -> None:
    pack, before = builder.pack_candidate(shipped, "revised"), files_of(public)
    (pack.folder / NAME / "passages.jsonl").write_text("load it by hand")
    with pytest.raises(RefusedError, match=f"{NAME}: pack: pack {NAME}: passages.jsonl is not what the manifest says"):
        release.promote("canary", [], {}, packs=[pack])
    assert files_of(public) == before


def test_stable_needs_its_managers_for_a_pack_too(
    release: Release, builder: Any, public: Path, shipped: Any, files_of: Files
) -> None:
    pack, before = builder.pack_candidate(shipped, "revised"), files_of(public)
    with pytest.raises(RefusedError, match="needs 2 release managers; alice approved"):
        release.promote("stable", [], {}, ["alice"], [pack])
    assert files_of(public) == before


def test_a_workflow_that_goes_takes_its_packs_with_it(builder: Any, release: Release, shipped: Any) -> None:
    """A manifest that some other hand made: its packs lead to no build."""
    from release.manifests import compose

    current = release.manifest("canary")
    bare = current.model_copy(update={"workflows": {}})
    manifest = compose("canary", [], {}, current=bare, first_version=1, policy=release.policy, issued=release.now())
    assert manifest.knowledge_packs == ()


def test_a_pack_of_several_site_classes_loses_only_the_one_that_is_replaced(
    builder: Any, release: Release, shipped: Any, keys: Any
) -> None:
    from release import check_pack
    from release.manifests import compose

    current = release.manifest("canary")
    wide = current.knowledge_packs[0].model_copy(update={"site_classes": ("branch", "depot")})
    revised = builder.pack_candidate(shipped, "revised")
    checked = check_pack(revised, keys["builder"].public_pem, retriever=builder.digest(shipped))
    manifest = compose(
        "canary",
        [],
        {},
        packs=[checked],
        current=current.model_copy(update={"knowledge_packs": (wide,)}),
        first_version=1,
        policy=release.policy,
        issued=release.now(),
    )
    found = {name: manifest.knowledge_pack("sops", "edge-x86-vnni", name) for name in ("branch", "depot")}
    assert found["branch"].blob.digest == builder.digest(revised)
    assert found["depot"] == wide.model_copy(update={"site_classes": ("depot",)})
