"""What changes from one manifest to the next, in sentences that an approver can read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from fleet_manifests import BuildEntry, FleetManifest, PackRef
from fleet_manifests.bundle import bundle_name
from release.changes import Standing, changes, standings

Section = Literal["channel", "workflow", "build", "knowledge", "revocation"]
CHANNEL = ("max_offline_hours", "minimum_agent", "critical")
"""Fields of a manifest that are compared as they are."""
WHICH = frozenset({"bundle", "blob", "signature"})
"""Fields of a build or pack that say which one it is."""
TOLD = frozenset({"verdict", "defer_threshold"})
"""Fields that are told with what its files and evidence say, where these are others."""


@dataclass(frozen=True)
class Difference:
    """What becomes of one thing."""

    section: Section
    name: str
    kind: Literal["new", "gone", "changed"]
    said: tuple[str, ...]
    """Sentences, the weightiest first."""


def differences(
    before: FleetManifest | None, after: FleetManifest, known: Mapping[str, Standing] | None = None
) -> tuple[Difference, ...]:
    """Everything that an older and a newer manifest of a channel say differently, but for version and dates.

    Args:
        before: None: nothing is published yet.
        after: the newer one.
        known: what was read of the files and evidence of the builds and packs of both, by digest.
    """
    return (
        *_revocations(before, after),
        *_artifacts(before, after, known),
        *_workflows(before, after),
        *_channel(before, after),
    )


def _revocations(before: FleetManifest | None, after: FleetManifest) -> Iterator[Difference]:
    then = {one.bundle: one.reason for one in before.revocations} if before else {}
    now = {one.bundle: one.reason for one in after.revocations}
    named = {digest: name for one in (before, after) if one for digest, name in _names(one)}
    for digest in sorted(now.keys() - then.keys()):
        said = f"{digest} must stop wherever it runs: {now[digest]}"
        yield Difference("revocation", named.get(digest, digest), "new", (said,))
    for digest in sorted(then.keys() - now.keys()):
        yield Difference("revocation", named.get(digest, digest), "gone", (f"{digest} may run again",))


def _artifacts(
    before: FleetManifest | None, after: FleetManifest, known: Mapping[str, Standing] | None
) -> Iterator[Difference]:
    """Builds and knowledge packs."""
    then, now = _entries(before), _entries(after)
    for change in changes(before, standings(after, known), known, whole=True):
        one, other = then.get(change.name), now.get(change.name)
        section: Section = "knowledge" if isinstance(other or one, PackRef) else "build"
        if change.kind in ("new", "gone"):
            kind: Literal["new", "gone"] = "new" if change.kind == "new" else "gone"
            digest = f"{change.after.digest}" if change.after else ""
            yield Difference(section, change.name, kind, (*change.said, *([digest] if digest else [])))
            continue
        assert one is not None and other is not None  # neither new nor gone
        left = WHICH | TOLD if change.kind == "changed" else WHICH
        fields = tuple(_differing(_plain(one, left), _plain(other, left)))
        if change.kind == "changed":
            moved = f"digest {_short(_digest(one))} then, {_short(_digest(other))} now"
            yield Difference(section, change.name, "changed", (*change.said, moved, *fields))
        elif fields:
            yield Difference(section, change.name, "changed", ("the very same files", *fields))


def _workflows(before: FleetManifest | None, after: FleetManifest) -> Iterator[Difference]:
    """What holds for each workflow whichever build answers: placement, guardrails, roles, actions, export."""
    then, now = (before.workflows if before else {}), after.workflows
    for name in sorted(then.keys() | now.keys()):
        if name not in then:
            entry = now[name]
            placed = f"runs {entry.placement.where.value}: {'; '.join(entry.placement.reasons)}"
            yield Difference("workflow", name, "new", (f"{entry.title}, owner {entry.owner}", placed))
        elif name not in now:
            yield Difference("workflow", name, "gone", ("left out: sites stop running it",))
        elif said := tuple(_differing(_described(then[name]), _described(now[name]))):
            yield Difference("workflow", name, "changed", said)


def _channel(before: FleetManifest | None, after: FleetManifest) -> Iterator[Difference]:
    """Profiles, context packs, and what holds for all."""
    if before is None:
        return
    plain = [one.model_dump(mode="json", include={*CHANNEL, "profiles", "context_packs"}) for one in (before, after)]
    if said := tuple(_differing(_flat(plain[0]), _flat(plain[1]))):
        yield Difference("channel", after.channel, "changed", said)


def _entries(manifest: FleetManifest | None) -> dict[str, BuildEntry | PackRef]:
    """Builds and packs by the names of their standings."""
    if manifest is None:
        return {}
    found: dict[str, BuildEntry | PackRef] = {
        bundle_name(workflow, profile): build
        for workflow, entry in manifest.workflows.items()
        for profile, build in entry.builds.items()
    }
    return found | {pack.name: pack for pack in manifest.knowledge_packs}


def _names(manifest: FleetManifest) -> Iterator[tuple[str, str]]:
    """The name of each bundle and pack, by digest."""
    return ((_digest(one), name) for name, one in _entries(manifest).items())


def _digest(one: BuildEntry | PackRef) -> str:
    return one.blob.digest if isinstance(one, PackRef) else one.bundle.digest


def _plain(one: BuildEntry | PackRef, left: frozenset[str]) -> dict[str, Any]:
    """What a manifest says of a build or pack beside what it is; evidence and reference by their digests."""
    said = one.model_dump(mode="json", exclude=set(left))
    said["evidence"] = [_short(blob.digest) for blob in one.evidence]
    if isinstance(one, BuildEntry):
        said["reference"] = _short(one.reference.digest) if one.reference else None
    elif one.retriever:
        said["retriever"] = _short(one.retriever)
    return _flat(said)


def _described(one: BaseModel) -> dict[str, Any]:
    return _flat(one.model_dump(mode="json", exclude={"builds"}))


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """A nested document as dotted paths; a list of plain values is one value."""
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{path}.{key}" if path else str(key))
        return found
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return _flat({one.get("name", str(number)): one for number, one in enumerate(value)}, path)
    return {path: value}


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """One sentence per path whose value differs."""
    for path in sorted(then.keys() | now.keys()):
        if then.get(path) != now.get(path):
            yield f"{path}: {_told(then.get(path))} then, {_told(now.get(path))} now"


def _told(value: Any) -> str:
    if value is None or value == []:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
