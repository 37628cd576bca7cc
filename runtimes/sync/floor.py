"""The monotonic floor: time and versions only rise, whatever a medium or a clock says.

TUF keeps its own versions in the metadata cache. The floor is ours: it holds when that cache
is lost, covers the documents that TUF only transports, and covers the clock, which TUF believes.

A site whose disk may be restored from an image keeps a second copy elsewhere: an image brings back the floor that lies
on it too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from fleet_manifests.assignment import Assignment
from fleet_manifests.errors import IntegrityError
from fleet_manifests.manifest import FleetManifest
from fleet_manifests.wire import Digest, Wire, dump, parse
from runtimes.sync.active import Active
from runtimes.sync.authority import Authority
from runtimes.sync.files import write_file

FLOOR_FILE = "floor.json"

BUILT = datetime(2026, 11, 1, tzinfo=UTC)
"""No later than this release of Lading was made: a clock before it is wrong."""


class ManifestFloor(Wire):
    """The newest manifest of a channel that this site has accepted."""

    version: Annotated[int, Field(ge=1)]
    digest: Digest
    by: Authority | None = None
    """Under whose keys; None: accepted before sites noted that."""


class Floor(Wire):
    """What this site has seen and will not go below."""

    schema_version: Literal[1] = 1
    seen: AwareDatetime | None = None
    assignment: Annotated[int, Field(ge=0)] = 0
    assigned_by: Authority | None = None
    """Under whose keys the assignment was accepted."""
    manifests: dict[str, ManifestFloor] = {}

    def check_clock(self, now: datetime) -> None:
        """Refuse a clock that was set back: expiry dates mean nothing to it.

        Raises:
            IntegrityError: `now` is before this release was made or before the last sync.
        """
        lowest = max(BUILT, self.seen or BUILT)
        if now < lowest:
            raise IntegrityError(
                f"this machine's clock says {now:%Y-%m-%d %H:%M:%S} UTC, but it was already "
                f"{lowest:%Y-%m-%d %H:%M:%S} UTC; set the clock, then sync again"
            )

    def check_assignment(self, assignment: Assignment) -> None:
        """Refuse an older assignment than one already followed.

        Raises:
            IntegrityError: the version is below the floor.
        """
        if assignment.version < self.assignment:
            raise IntegrityError(
                f"sites/{assignment.site}.json: version {assignment.version} is offered, this site has "
                f"followed {self.assignment}; versions only rise"
            )

    def check_manifest(self, manifest: FleetManifest, digest: str) -> None:
        """Refuse an older manifest, and another one under a version already seen.

        Raises:
            IntegrityError: the version is below the floor, or names two contents.
        """
        where = f"{manifest.channel}/manifest.json"
        known = self.manifests.get(manifest.channel)
        if known is None:
            return
        if manifest.version < known.version:
            raise IntegrityError(
                f"{where}: version {manifest.version} is offered, this site has accepted {known.version}; "
                "a rollback is a new version with older content"
            )
        if manifest.version == known.version and digest != known.digest:
            raise IntegrityError(
                f"{where}: version {manifest.version} was {known.digest} before and is {digest} now; "
                "publish the change under a new version"
            )

    def rekeyed(self, role: str, by: Authority) -> Floor:
        """This floor without what was accepted under keys that were replaced since (`runtimes.sync.authority`).

        Args:
            role: `sites`, or a channel.
            by: whose keys count now.
        """
        if role == "sites":
            fallen = self.assigned_by is not None and by.replaces(self.assigned_by)
            return self.model_copy(update={"assignment": 0, "assigned_by": None}) if fallen else self
        known = self.manifests.get(role)
        if known is None or known.by is None or not by.replaces(known.by):
            return self
        kept = {channel: accepted for channel, accepted in self.manifests.items() if channel != role}
        return self.model_copy(update={"manifests": kept})

    def joined(self, other: Floor) -> Floor:
        """The higher of two floors in each number; of two manifests of one version, the other's."""
        manifests = dict(self.manifests)
        for channel, accepted in other.manifests.items():
            known = manifests.get(channel)
            if known is None or not _above(known.version, known.by, accepted.version, accepted.by):
                manifests[channel] = accepted
        seen = max((moment for moment in (self.seen, other.seen) if moment is not None), default=None)
        higher = self if _above(self.assignment, self.assigned_by, other.assignment, other.assigned_by) else other
        return Floor(seen=seen, assignment=higher.assignment, assigned_by=higher.assigned_by, manifests=manifests)

    def raised(
        self,
        now: datetime,
        assignment: Assignment,
        manifest: FleetManifest,
        digest: str,
        *,
        assigned_by: Authority | None = None,
        by: Authority | None = None,
    ) -> Floor:
        """The floor after these documents were accepted, under these keys."""
        accepted = {manifest.channel: ManifestFloor(version=manifest.version, digest=digest, by=by)}
        return Floor(
            seen=max(now, self.seen or now),
            assignment=max(assignment.version, self.assignment),
            assigned_by=assigned_by,
            manifests={**self.manifests, **accepted},
        )


def _above(version: int, by: Authority | None, other: int, other_by: Authority | None) -> bool:
    """Whether one floor is above another: accepted under later keys, or as a later version under the same ones."""
    if by is not None and other_by is not None and by.keys != other_by.keys:
        return by.replaces(other_by)
    return version > other


def begin_floor(outside: Path) -> None:
    """Begin a second copy; one that is there already stays.

    Raises:
        OSError: it cannot be written.
    """
    outside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not outside.exists():
        write_file(outside, dump(Floor()))


def load_floor(state: Path, active: Active | None, outside: Path | None = None) -> Floor:
    """The floor of a site; where its file was lost, what the active version proves.

    Args:
        state: the site's state folder.
        active: the sound version that runs.
        outside: the second copy, where the site has one; the higher of each number counts.

    Raises:
        IntegrityError: a file is damaged, or the second copy is gone.
    """
    path = state / FLOOR_FILE
    floor = Floor()
    if path.exists():
        floor = parse(Floor, path.read_bytes(), where=f"{path} (remove it to fall back on the active version)")
    elif active is not None:
        accepted = ManifestFloor(version=active.manifest_version, digest=active.manifest_digest)
        floor = Floor(seen=active.seen, assignment=active.assignment_version, manifests={active.channel: accepted})
    if outside is None:
        return floor
    try:
        raw = outside.read_bytes()
    except OSError as exc:
        raise IntegrityError(
            f"{outside}: the floor that this site keeps outside its state folder was expected: {exc.strerror}; mount "
            "its disk, or enrol in a new folder"
        ) from exc
    return floor.joined(parse(Floor, raw, where=str(outside)))


def save_floor(state: Path, floor: Floor, outside: Path | None = None) -> None:
    """Write the floor durably; the second copy first, so that it is never the lower one."""
    if outside is not None:
        write_file(outside, dump(floor))
    write_file(state / FLOOR_FILE, dump(floor))
