"""What a release would change: builds and packs as they are published, beside those that are offered. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fleet_manifests import (
    AccuracyReport,
    BundleConfig,
    Comparison,
    Evidence,
    FleetManifest,
    KnowledgeReport,
    Metric,
    PackConfig,
    Verdict,
)
from fleet_manifests.bundle import bundle_name

CHAMPION = "champion"
"""The model of a comparison that stands for what is published."""


@dataclass(frozen=True)
class Standing:
    """What is worth comparing of one build or pack; what is not known is empty or None."""

    name: str
    """`<workflow>--<profile>`, of a pack with its site class."""
    digest: str
    verdict: Verdict
    threshold: float | None = None
    recipe: str = ""
    base: str = ""
    data_card: str = ""
    """Digest of the data card of its corpus."""
    library: str = ""
    """Digest of the library of a pack."""
    passages: int | None = None
    metric: Metric | None = None
    """The one that its floor is about."""
    size_mb: float | None = None
    against_champion: Comparison | None = None
    trouble: str = ""
    """Why its figures could not be read."""


@dataclass(frozen=True)
class Change:
    """What becomes of one build or pack."""

    name: str
    before: Standing | None
    after: Standing | None
    said: tuple[str, ...]
    """Sentences, the weightiest first."""

    @property
    def kind(self) -> Literal["new", "gone", "same", "changed"]:
        """Whether there is such a thing before and after, and whether it is the very same."""
        if self.before is None:
            return "new"
        if self.after is None:
            return "gone"
        return "same" if self.before.digest == self.after.digest else "changed"


def changes(
    before: FleetManifest | None,
    candidates: Sequence[Standing],
    known: Mapping[str, Standing] | None = None,
    *,
    whole: bool = False,
) -> tuple[Change, ...]:
    """What the candidates would change in a channel, in the order of their names.

    Args:
        before: the channel's published manifest; None: nothing is published, and all is new.
        candidates: builds and packs on offer.
        known: what was read of the published ones, by digest; of others only what the manifest says is compared.
        whole: the candidates are all that there will be; else what is not among them stays.
    """
    then = {one.name: one for one in standings(before, known)}
    now = {one.name: one for one in candidates}
    channel = before.channel if before else ""
    found = []
    for name in sorted(then.keys() | now.keys()):
        said = tuple(_said(then.get(name), now.get(name), channel))
        if name not in now and whole:
            said = ("left out: sites stop running it",)
        found.append(Change(name, then.get(name), now.get(name), said))
    return tuple(found)


def standings(manifest: FleetManifest | None, known: Mapping[str, Standing] | None = None) -> list[Standing]:
    """The builds and knowledge packs of a manifest, each as it was read, else as far as the manifest says.

    Args:
        manifest: None: nothing is published.
        known: what was read of their files and evidence, by digest.
    """
    return [(known or {}).get(one.digest, one) for one in _published(manifest)]


def standing(
    name: str, digest: str, verdict: Verdict, config: BundleConfig | PackConfig, reports: Sequence[Evidence]
) -> Standing:
    """What is worth comparing of a build or pack whose files and evidence are at hand."""
    answers = next((one for one in reports if isinstance(one, AccuracyReport | KnowledgeReport)), None)
    sizes = [metric.value for one in reports for metric in one.metrics if metric.name == "size_mb"]
    common = Standing(
        name=name,
        digest=digest,
        verdict=verdict,
        metric=_main(answers) if answers else None,
        size_mb=sizes[0] if sizes else None,
        against_champion=next((one for one in answers.comparisons if one.against == CHAMPION), None)
        if answers
        else None,
    )
    if isinstance(config, PackConfig):
        return replace(common, threshold=config.defer_threshold, library=config.library, passages=config.passages)
    return replace(
        common,
        threshold=config.calibration.defer_threshold if config.labels else None,
        recipe=config.recipe,
        base=f"{config.base.name} {config.base.revision}",
        data_card=config.data_card,
    )


def _main(report: AccuracyReport | KnowledgeReport) -> Metric | None:
    """The metric that the floor is about."""
    return next((metric for metric in report.metrics if metric.name == report.floor_metric), None)


def _published(manifest: FleetManifest | None) -> Iterator[Standing]:
    """What a manifest alone says of its builds and knowledge packs."""
    if manifest is None:
        return
    for workflow, entry in manifest.workflows.items():
        for profile, build in entry.builds.items():
            yield Standing(bundle_name(workflow, profile), build.bundle.digest, build.verdict, build.defer_threshold)
    for pack in manifest.knowledge_packs:
        yield Standing(pack.name, pack.blob.digest, pack.verdict)


def _said(before: Standing | None, after: Standing | None, channel: str) -> Iterator[str]:
    """One change, sentence by sentence."""
    if before is None:
        yield f"{channel} has none" if channel else "nothing is published yet"
        return
    if after is None:
        yield f"not among the candidates; {channel} keeps what it has"
        return
    if before.verdict is not after.verdict:
        yield f"verdict {before.verdict.value} then, {after.verdict.value} now"
    if before.digest == after.digest:
        yield "the very same files"
        return
    yield from _metric(before, after)
    for what, then, now in (("recipe", before.recipe, after.recipe), ("base", before.base, after.base)):
        if then and now and then != now:
            yield f"{what} {then} then, {now} now"
    for what, then, now in (
        ("corpus", before.data_card, after.data_card),
        ("library", before.library, after.library),
    ):
        if then and now:
            yield f"the same {what}" if then == now else f"another {what}: {_short(then)} then, {_short(now)} now"
    yield from _figures(before, after)
    if before.trouble:
        yield f"the figures of the published one cannot be read: {before.trouble}"


def _figures(before: Standing, after: Standing) -> Iterator[str]:
    """Threshold, size and passages, where they are known of both and differ."""
    if before.threshold is not None and after.threshold is not None and before.threshold != after.threshold:
        yield f"defers below {before.threshold:.3f} then, {after.threshold:.3f} now"
    if before.passages is not None and after.passages is not None and before.passages != after.passages:
        yield f"{before.passages:,} passages then, {after.passages:,} now"
    if before.size_mb is not None and after.size_mb is not None:
        apart = after.size_mb - before.size_mb
        same = abs(apart) < 0.05
        yield f"{after.size_mb:.1f} MB, as before" if same else f"{after.size_mb:.1f} MB, {apart:+.1f} MB"


def _metric(before: Standing, after: Standing) -> Iterator[str]:
    """Paired with the champion where that was measured, else the two reports' own figures."""
    paired = after.against_champion
    if paired is not None:
        yield (
            f"{paired.metric} {paired.difference:+.3f} on the same {paired.n:,} items "
            f"({paired.confidence:.0%} interval {paired.low:+.3f} to {paired.high:+.3f}, lost {paired.lost:,}, "
            f"gained {paired.gained:,})"
        )
    elif before.metric is not None and after.metric is not None and before.metric.name == after.metric.name:
        then, now = before.metric, after.metric
        yield (
            f"{now.name} {then.value:.3f} then (n = {then.n:,}), {now.value:.3f} now (n = {now.n:,}): "
            f"{now.value - then.value:+.3f}, two measurements that are not paired"
        )


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
