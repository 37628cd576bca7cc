"""Where a release stands: candidates with every point of their check, channels, what waits, orders, and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from fleet_manifests import Gate, Orders, RefusedError, UsageError, Verdict, Wire
from pipelines.project.load import Project
from pipelines.steps.approvals import Waiting, waiting
from pipelines.steps.candidates import examine
from pipelines.steps.release import release_of

if TYPE_CHECKING:
    from release import Checked, CheckedPack, Release
    from release.log import LogEntry


class Offered(Wire):
    """A build or knowledge pack, and whether it may be promoted today."""

    name: str
    digest: str
    verdict: Verdict
    gates: tuple[Gate, ...]
    """Every point of the check."""
    channels: tuple[str, ...]
    """Those that have this very bundle or pack."""


class ChannelStanding(Wire):
    """One channel."""

    channel: str
    version: int
    digest: str
    issued: AwareDatetime
    expires: AwareDatetime
    signed: tuple[str, ...]
    """Who signed its metadata: release managers, or `builder`."""
    builds: tuple[str, ...]
    packs: int
    """Number of knowledge packs."""
    revoked: tuple[str, ...] = ()
    """Builds and packs of it that are revoked: they run nowhere."""


class WaitingCeremony(Wire):
    """A ceremony whose holders sign one after the other."""

    title: str
    begun: AwareDatetime
    begun_by: str
    reason: str = ""
    missing: tuple[str, ...] = ()
    """Which signatures are needed still, in words."""


class Standing(Wire):
    """A release as it stands."""

    release: int
    channels: tuple[ChannelStanding, ...]
    pending: Waiting | None = None
    ceremony: WaitingCeremony | None = None
    """A ceremony that is held in turns and not ended."""
    orders: Orders = Orders()
    due: tuple[str, ...] = ()
    """Roles and manifests that expire soon or have expired, each with its date and the command that renews it."""


def offered(project: Project) -> list[Offered]:
    """Every candidate and pack, checked today.

    Raises:
        RefusedError: nothing is released yet.
    """
    from release.history import digests

    release = _release(project)
    found = examine(project, release, (), set(Verdict))
    named = {channel: set(digests(manifest)) for channel, manifest in release.status().channels.items()}
    told = []
    every: list[Checked | CheckedPack] = [*found.builds, *found.packs]
    for one in every:
        name, published = one.candidate.name, one.published
        digest = published[0].digest if published else ""
        gates = one.gates
        if name in found.emulated:
            gates = (*gates, Gate(name="emulated", verdict=Verdict.FAIL, reason=found.emulated[name]))
        verdict = Verdict.FAIL if name in found.emulated else one.verdict
        channels = tuple(channel for channel, has in named.items() if digest in has)
        told.append(Offered(name=name, digest=digest, verdict=verdict, gates=gates, channels=channels))
    return told


def one_offered(project: Project, name: str) -> Offered:
    """One candidate or pack by its name, or by its digest or the beginning of it.

    Raises:
        UsageError: there is none, or several.
    """
    every = offered(project)
    wanted = name.removeprefix("sha256:")
    found = [one for one in every if one.name == name or one.digest.removeprefix("sha256:").startswith(wanted)]
    if len(found) != 1:
        listed = ", ".join(one.name for one in every) or "none"
        raise UsageError(f"candidate {name!r}: found {len(found)}; there are: {listed}")
    return found[0]


def standing(project: Project) -> Standing:
    """The release as it stands.

    Raises:
        RefusedError: nothing is released yet.
        IntegrityError: the published tree or a pending version is not what was signed.
    """
    from release import expiries

    release = _release(project)
    status = release.status()
    current = release.desk.current()
    revoked = status.orders.stops
    channels = []
    for name, manifest in status.channels.items():
        artifacts = {ref.digest: ref.name for ref in manifest.bundles().values()}
        artifacts |= {pack.blob.digest: pack.name for pack in manifest.knowledge_packs}
        stopped = revoked.keys() | {one.bundle for one in manifest.revocations}
        channels.append(
            ChannelStanding(
                channel=name,
                version=manifest.version,
                digest=current[name][1],
                issued=manifest.issued,
                expires=manifest.expires,
                signed=release.approvals.signers(name),
                builds=tuple(sorted(ref.name for ref in manifest.bundles().values())),
                packs=len(manifest.knowledge_packs),
                revoked=tuple(sorted(label for digest, label in artifacts.items() if digest in stopped)),
            )
        )
    return Standing(
        release=status.release,
        channels=tuple(channels),
        pending=waiting(project),
        ceremony=_ceremony(project, release),
        orders=status.orders,
        due=tuple(line.said for line in expiries(status, release.now()) if line.state != "holds"),
    )


def logged(project: Project) -> tuple[LogEntry, ...]:
    """The release log, oldest first; its chain is verified on the way."""
    return release_of(project).desk.log.entries()


def verify_log(project: Project) -> int:
    """Verify the log: its chain, its end, and that it knows every published version; the number of entries."""
    return release_of(project).desk.verify_log()


def _ceremony(project: Project, release: Release) -> WaitingCeremony | None:
    from release import turns

    if (held := turns.read(project.root)) is None:
        return None
    note = held.note
    missing = tuple(turns.missing(held, release.repository.state()))
    return WaitingCeremony(
        title=note.plan.title, begun=note.begun, begun_by=note.by, reason=note.reason, missing=missing
    )


def _release(project: Project) -> Release:
    release = release_of(project)
    if not release.repository.exists:
        raise RefusedError("nothing is released yet; run `lading build`, which offers what did not fail")
    return release
