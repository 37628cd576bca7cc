"""What a release would change, told from manifests and evidence alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet_manifests import Comparison, FleetManifest, Metric, SplitRef, Verdict, digest_of
from fleet_manifests.bundle import BundleRef, Descriptor
from fleet_manifests.manifest import BuildEntry, PackRef
from release import Release, Standing, changes, standing
from release.changes import Change

pytestmark = pytest.mark.unit

MOMENT = datetime(2026, 5, 4, 12, tzinfo=UTC)
THEN, NOW = digest_of(b"then"), digest_of(b"now")
NAME = "triage--edge"


def one(**known: Any) -> Standing:
    fields: dict[str, Any] = {
        "name": NAME, "digest": NOW, "verdict": Verdict.PASS, "threshold": 0.75, "recipe": "int8", "base": "mini 1",
        "data_card": digest_of(b"card"), "metric": Metric(name="macro_f1", value=0.9, n=952), "size_mb": 23.6,
    }  # fmt: skip
    return Standing(**{**fields, **known})


def blob(digest: str) -> Descriptor:
    return Descriptor(media_type="text/plain", digest=digest, size=1)


def manifest(builder: Any, digest: str = THEN, *, packs: tuple[PackRef, ...] = ()) -> FleetManifest:
    """A stable channel with one build of `triage` for `edge`."""
    entry = BuildEntry(
        bundle=BundleRef(name=NAME, manifest=blob(digest), signature=blob(digest)),
        defer_threshold=0.7,
        verdict=Verdict.PASS,
    )
    profile = builder.profile("edge")
    return FleetManifest(
        channel="stable",
        version=3,
        issued=MOMENT,
        expires=MOMENT + timedelta(days=90),
        profiles={"edge": profile},
        workflows={"triage": builder.entry().model_copy(update={"builds": {"edge": entry}})},
        knowledge_packs=packs,
    )


def only(found: tuple[Change, ...]) -> Change:
    (change,) = found
    return change


def test_everything_is_new_where_nothing_is_published() -> None:
    change = only(changes(None, [one()]))
    assert (change.kind, change.before, change.said) == ("new", None, ("nothing is published yet",))


def test_nothing_at_all() -> None:
    assert changes(None, []) == ()


def test_a_new_profile_and_one_that_is_left_out(builder: Any) -> None:
    new, gone = changes(manifest(builder), [one(name="triage--central")])
    assert (new.name, new.kind, new.said) == ("triage--central", "new", ("stable has none",))
    assert (gone.name, gone.kind) == (NAME, "gone")
    assert gone.said == ("not among the candidates; stable keeps what it has",)


def test_the_very_same_bundle(builder: Any) -> None:
    change = only(changes(manifest(builder), [one(digest=THEN)]))
    assert (change.kind, change.said) == ("same", ("the very same files",))


def test_a_verdict_that_turned_is_said_even_of_the_same_files(builder: Any) -> None:
    change = only(changes(manifest(builder), [one(digest=THEN, verdict=Verdict.FAIL)]))
    assert change.said == ("verdict pass then, fail now", "the very same files")


def test_what_only_the_manifest_says_is_compared_where_the_rest_is_not_known(builder: Any) -> None:
    change = only(changes(manifest(builder), [one()]))
    assert (change.kind, change.said) == ("changed", ("defers below 0.700 then, 0.750 now",))


def test_every_difference_is_said(builder: Any) -> None:
    before = one(
        digest=THEN, threshold=0.7, recipe="fp32", base="mini 0", data_card=digest_of(b"old"), size_mb=91.1,
        metric=Metric(name="macro_f1", value=0.88, n=900),
    )  # fmt: skip
    assert only(changes(manifest(builder), [one()], {THEN: before})).said == (
        "macro_f1 0.880 then (n = 900), 0.900 now (n = 952): +0.020, two measurements that are not paired",
        "recipe fp32 then, int8 now",
        "base mini 0 then, mini 1 now",
        f"another corpus: {digest_of(b'old')[7:19]} then, {digest_of(b'card')[7:19]} now",
        "defers below 0.700 then, 0.750 now",
        "23.6 MB, -67.5 MB",
    )


def test_what_did_not_change_is_short(builder: Any) -> None:
    said = only(changes(manifest(builder), [one()], {THEN: one(digest=THEN)})).said
    assert said[1:] == ("the same corpus", "23.6 MB, as before")


def test_a_paired_comparison_counts_before_two_reports(builder: Any) -> None:
    paired = Comparison(
        against="champion", metric="macro_f1", ours=0.9, theirs=0.89, difference=0.01, low=-0.002, high=0.022,
        n=952, lost=4, gained=12,
    )  # fmt: skip
    first = only(changes(manifest(builder), [one(against_champion=paired)], {THEN: one(digest=THEN)})).said[0]
    assert first == "macro_f1 +0.010 on the same 952 items (95% interval -0.002 to +0.022, lost 4, gained 12)"


def test_figures_of_different_metrics_are_not_subtracted(builder: Any) -> None:
    before = one(digest=THEN, metric=Metric(name="accuracy", value=0.88, n=900))
    assert not [part for part in only(changes(manifest(builder), [one()], {THEN: before})).said if "0.880" in part]


def test_trouble_with_what_is_published_is_said(builder: Any) -> None:
    before = Standing(NAME, THEN, Verdict.PASS, 0.75, trouble="blob x: is missing")
    said = only(changes(manifest(builder), [one()], {THEN: before})).said
    assert said == ("the figures of the published one cannot be read: blob x: is missing",)


def test_packs_are_compared_by_library(builder: Any) -> None:
    name = "sops--edge--branch"
    pack = PackRef(name=name, blob=blob(digest_of(b"pack")), site_classes=("branch",), verdict=Verdict.PASS)
    before = Standing(name, pack.blob.digest, Verdict.PASS, 0.4, library=digest_of(b"a"), passages=170)
    after = replace(before, digest=NOW, library=digest_of(b"b"), passages=173)
    found = changes(manifest(builder, packs=(pack,)), [one(digest=THEN), after], {pack.blob.digest: before})
    assert [(change.name, change.kind) for change in found] == [(name, "changed"), (NAME, "same")]
    library, passages = found[0].said
    assert library.startswith("another library: ")
    assert passages == "170 passages then, 173 now"


def test_a_standing_takes_what_the_floor_is_about(builder: Any) -> None:
    report = builder.report("accuracy", NOW)
    gate = report.gates[0].model_copy(update={"name": "floor/accuracy"})
    metrics = (Metric(name="macro_f1", value=0.8, n=9), Metric(name="accuracy", value=0.9, n=9))
    full = report.model_copy(update={"gates": (gate,), "metrics": metrics})
    size = builder.report("latency", NOW).model_copy(update={"metrics": (Metric(name="size_mb", value=3.0, n=1),)})
    found = standing(NAME, NOW, Verdict.PASS, builder.config(), [full, size])
    assert found.metric == metrics[1]
    assert (found.size_mb, found.threshold, found.recipe, found.base) == (3.0, 0.6, "int8", "mini 1110a243")
    bare = standing(NAME, NOW, Verdict.PASS, builder.config(), [])
    assert (bare.metric, bare.size_mb, bare.against_champion) == (None, None, None)


def test_what_is_published_is_read_back_as_it_was_built(release: Release, builder: Any) -> None:
    from release import Published

    candidate = builder.candidate()
    held = release.promote("canary", [candidate], {"triage": builder.entry()})
    published = Published(release.repository.public, release.keys["builder"].public_pem)
    (build,) = held.workflows["triage"].builds.values()
    known = standing(
        build.bundle.name, build.bundle.digest, build.verdict, published.config(build), published.evidence(build)
    )
    assert known.recipe == "int8"
    assert sorted(report.kind for report in published.evidence(build)) == ["accuracy", "latency"]
    assert [report.split for report in published.evidence(build) if report.kind == "accuracy"] == [
        SplitRef(name="test", digest=digest_of(b"rows"), n=400)
    ]
    assert only(changes(held, [known], {known.digest: known})).kind == "same"
