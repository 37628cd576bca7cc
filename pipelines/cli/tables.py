"""How `lading release` prints: a table, and a sentence for each thing that a person has to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from fleet_manifests import Verdict
from pipelines.cli.output import manifest, table

if TYPE_CHECKING:
    from fleet_manifests import Orders
    from pipelines.steps.approvals import Done, Stopped, Waiting
    from pipelines.steps.diffs import Diff, Told
    from pipelines.steps.keys import KnownKey
    from pipelines.steps.standing import Offered, Standing
    from release.log import LogEntry

ACTS = {"promote": "promotion", "rollback": "rollback", "revoke": "revocation", "resume": "end of the halt"}
WORDS = {"new": "new", "gone": "left out", "changed": "changed"}


def done(value: Done) -> RenderableType:
    """`promote`, `approve`, `rollback`, `resume`: what is published, or what waits for whom."""
    parts: list[RenderableType] = []
    if value.pending is not None:
        parts += [_changes(f"{value.pending.channel}: what changes", value.changes), waiting(value.pending)]
    if value.published is not None:
        parts.append(manifest(value.published))
    return Group(*parts) if parts else Text("nothing changes")


def waiting(value: Waiting) -> RenderableType:
    """A pending version, and what is to be done."""
    many = "signature" if value.missing == 1 else "signatures"
    reason = f" ({value.reason})" if value.reason else ""
    by = ", ".join(value.by)
    when, signed = f"{value.proposed:%Y-%m-%d %H:%M} UTC", ", ".join(value.signed) or "nobody"
    lines = [
        f"{value.channel} version {value.version} waits: {ACTS[value.action]}, by {by}, {when}{reason}",
        f"signed by {signed}; {value.missing} {many} more needed, of {', '.join(value.waiting) or 'nobody'}",
        f"digest {value.digest}",
    ]
    if value.problem:
        lines.append(f"cannot be approved any more: {value.problem}")
    elif value.waiting:
        lines.append(f"next: lading release approve {value.channel} --as {value.waiting[0]}")
    return Text("\n".join(lines))


def diff(value: Diff) -> RenderableType:
    """`diff`: what changes, and the digest to pin."""
    said = [_changes(f"{value.before} -> {value.after}", value.changes)]
    return Group(*said, *([Text(f"digest {value.digest}")] if value.digest else []))


def _changes(title: str, changes: Sequence[Told]) -> RenderableType:
    if not changes:
        return Text(f"{title}: nothing but version and dates")
    rows = [(one.section, WORDS[one.kind], one.name, "\n".join(one.said)) for one in changes]
    return table(title, ["", "", "what", "how"], rows)


def orders(value: Orders) -> RenderableType:
    """What is halted and revoked."""
    rows = [
        ("halted", str(name), one.by, f"{one.since:%Y-%m-%d %H:%M}", one.reason) for name, one in value.halted.items()
    ]
    rows += [
        ("revoked", _short(one.bundle), one.by, f"{one.since:%Y-%m-%d %H:%M}", one.reason) for one in value.revoked
    ]
    return table("orders", ["", "what", "by", "since (UTC)", "reason"], rows) if rows else Text("no orders stand")


def stopped(value: Stopped) -> RenderableType:
    """`revoke`: the order, and what became of each channel."""
    parts: list[RenderableType] = [
        Text(f"{value.digest} is revoked: sites stop it at their next sync"),
        orders(value.orders),
        *(Text(f"{one.channel} version {one.version} is published and names it as revoked") for one in value.published),
    ]
    parts += [waiting(value.pending)] if value.pending else []
    parts += [Text(f"no manifest that says so yet: {problem}") for problem in value.problems]
    return Group(*parts)


def candidates(found: Sequence[Offered]) -> RenderableType:
    """`candidates`: one line per build or pack, and why it may not be promoted."""
    rows = [(one.name, one.verdict, _short(one.digest), ", ".join(one.channels) or "-") for one in found]
    reasons = [
        Text(f"{one.name}: {one.verdict.value} in {points}; `lading release show {one.name}` says why")
        for one in found
        if (points := ", ".join(gate.name for gate in one.gates if gate.verdict is not Verdict.PASS))
    ]
    return Group(table("candidates", ["build or pack", "verdict today", "digest", "channels"], rows), *reasons)


def candidate(value: Offered) -> RenderableType:
    """`show`: every point of a check."""
    rows = [(gate.verdict, gate.name, gate.reason) for gate in value.gates]
    return Group(
        table(value.name, ["", "point", ""], rows),
        Text(f"digest {value.digest}; in {', '.join(value.channels) or 'no channel'}"),
    )


def standing(value: Standing) -> RenderableType:
    """`status`: channels, what waits, orders, what expires."""
    rows = [
        (one.channel, one.version, f"{one.expires:%Y-%m-%d}", ", ".join(one.signed), len(one.builds), one.packs)
        for one in value.channels
    ]
    parts: list[RenderableType] = [
        table(f"release {value.release}", ["channel", "version", "until", "signed by", "builds", "packs"], rows),
        *(Text(f"{one.channel}: {name} is revoked and runs nowhere") for one in value.channels for name in one.revoked),
        waiting(value.pending) if value.pending else Text("nothing waits for approval"),
        orders(value.orders),
    ]
    if (held := value.ceremony) is not None:
        wanted = "; ".join(held.missing) or "nothing but its end"
        begun = f"begun by {held.begun_by} on {held.begun:%Y-%m-%d %H:%M} UTC"
        parts.append(Text(f"{held.title}: pending, {begun}; wanted: {wanted}; `lading release ceremony sign`"))
    parts += [Text(line) for line in value.due]
    return Group(*parts)


def log(found: Sequence[LogEntry]) -> RenderableType:
    """`log`: one line per act."""
    rows = [
        (
            one.number,
            f"{one.when:%Y-%m-%d %H:%M}",
            one.actor,
            one.action,
            f"{one.channel or ''} {one.version or ''}".strip(),
            _short(one.digest or ""),
            one.reason,
        )
        for one in found
    ]
    return table("release log", ["", "when (UTC)", "who", "did", "what", "digest", "why"], rows)


def keys(found: Sequence[KnownKey]) -> RenderableType:
    """`keys list`: one line per key."""
    rows = [(one.name, (one.keyid or "-")[:16], "yes" if one.here else "no", one.medium) for one in found]
    return table("keys", ["key", "id", "signs from here", "where it is"], rows)


def verified(count: int) -> RenderableType:
    """`log --verify`."""
    return Text(f"{count} entries, whole and in order; every published version is among them")


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
