"""What a site can say about itself without asking anyone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime

from fleet_manifests.errors import IntegrityError
from fleet_manifests.wire import Wire, parse
from runtimes.sync.active import PREVIOUS, Active, current_version, load_active
from runtimes.sync.orders import why_halted
from runtimes.sync.site import Enrolment, load_enrolment

LAST_SYNC_FILE = "last_sync.json"
MOST_FALLBACKS = 16
"""Reasons that are kept of one sync."""


class LastSync(Wire):
    """How the last sync ended."""

    schema_version: Literal[1] = 1
    when: AwareDatetime
    ok: bool
    changed: bool = False
    error: str | None = None
    error_kind: str | None = None
    """`IntegrityError`, `UnreachableError`, `StorageError`, `RefusedError` …"""
    seconds: float
    fetched_bytes: int
    """Bytes moved from the source, metadata included."""
    rebuilt: int = 0
    """Blobs that were made of a delta or derived."""
    fallbacks: tuple[str, ...] = ()
    """Why deltas, derivations and mirrors that were tried did not do, the first few."""


class SiteStatus(Wire):
    """What runs here, how old it is and how the last sync went."""

    enrolment: Enrolment
    active: Active | None = None
    problem: str | None = None
    """Why the active version cannot be read, where it cannot."""
    previous: str | None = None
    """The version kept beside the active one."""
    last_sync: LastSync | None = None
    halted: str | None = None
    """Why nothing new of its channel is installed, as of the last sync."""
    offline_hours: float | None = None
    """Hours since the repository was last refreshed."""
    offline_hours_left: float | None = None
    """Hours for which this site may go on without it; 0 when they are over."""


def status(state: Path, *, now: datetime | None = None) -> SiteStatus:
    """Everything that the state folder says.

    Args:
        state: the site's state folder.
        now: the present moment; None asks the system.

    Raises:
        UsageError: the folder is not enrolled.
        IntegrityError: the enrolment is damaged.
    """
    enrolment = load_enrolment(state)
    active, previous, last, problem, stop = None, None, None, None, None
    try:
        active = load_active(state)
        previous = current_version(state, PREVIOUS)
        last = load_last_sync(state)
        stop = None if active is None else why_halted(state, active.channel)
    except IntegrityError as exc:
        problem = str(exc)
    away = None if active is None else max(0.0, ((now or datetime.now(UTC)) - active.seen).total_seconds() / 3600)
    left = None if active is None or away is None else max(0.0, active.max_offline_hours - away)
    return SiteStatus(
        enrolment=enrolment,
        active=active,
        problem=problem,
        previous=previous,
        last_sync=last,
        halted=stop,
        offline_hours=away,
        offline_hours_left=left,
    )


def load_last_sync(state: Path) -> LastSync | None:
    """How the last sync ended, or None before the first.

    Raises:
        IntegrityError: the record is damaged; the next sync replaces it.
    """
    path = state / LAST_SYNC_FILE
    return parse(LastSync, path.read_bytes(), where=str(path)) if path.is_file() else None
