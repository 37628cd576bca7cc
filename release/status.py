"""What a release says of itself: how long each role still holds, what each channel has, which sites follow."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime

from fleet_manifests import FleetManifest, Orders, Wire

SOON = timedelta(days=30)
"""How long before its end a document is said to expire soon, unless it lives for less than twice that."""
CEREMONY = "lading release ceremony renew"
ONLINE = "lading release publish"


class RoleStatus(Wire):
    """One TUF role of the release."""

    role: str
    version: int
    expires: AwareDatetime
    expired: bool
    due: bool
    """Less than half of its lifetime is left."""


class ReleaseStatus(Wire):
    """What is published."""

    release: int
    """Number of the release: the timestamp's version."""
    roles: tuple[RoleStatus, ...]
    channels: dict[str, FleetManifest]
    orders: Orders = Orders()
    """What is halted and revoked, whatever the channels say."""
    sites: tuple[str, ...]

    @property
    def expired(self) -> tuple[str, ...]:
        """Roles whose metadata sites refuse by now."""
        return tuple(role.role for role in self.roles if role.expired)


class ExpiryLine(Wire):
    """One document that expires, and what renews it."""

    what: str
    """`role NAME` or `manifest CHANNEL`; the hash bins of the sites are one line."""
    version: int
    expires: AwareDatetime
    days_left: int
    """Whole days; below 0 where it has expired."""
    state: Literal["holds", "soon", "expired"]
    renew: str
    """The command."""

    @property
    def said(self) -> str:
        """One sentence."""
        when = f"{self.expires:%Y-%m-%d %H:%M} UTC"
        told = f"expired on {when}" if self.state == "expired" else f"expires on {when}, in {self.days_left} days"
        return f"{self.what}, version {self.version}, {told}; renew it: `{self.renew}`"


def expiries(status: ReleaseStatus, now: datetime) -> tuple[ExpiryLine, ...]:
    """Every role and manifest with the time that it has left, the most urgent first.

    Args:
        status: what is published.
        now: the present moment.
    """
    lines = [_line(f"role {one.role}", one.version, one.expires, now, _renewal(one.role), due=one.due)
             for one in _without_bins(status.roles)]  # fmt: skip
    for channel, manifest in status.channels.items():
        due = manifest.expires - now < (manifest.expires - manifest.issued) / 2
        lines.append(_line(f"manifest {channel}", manifest.version, manifest.expires, now, _renewal(channel), due=due))
    return tuple(sorted(lines, key=lambda line: (line.expires, line.what)))


def _without_bins(roles: tuple[RoleStatus, ...]) -> list[RoleStatus]:
    """The roles, with the hash bin that expires first in the place of all."""
    bins = [one for one in roles if one.role.startswith("sites-")]
    first = [min(bins, key=lambda one: one.expires).model_copy(update={"role": "sites-bin-*"})] if bins else []
    return [*(one for one in roles if not one.role.startswith("sites-")), *first]


def _line(what: str, version: int, expires: datetime, now: datetime, renew: str, *, due: bool) -> ExpiryLine:
    left = expires - now
    state: Literal["holds", "soon", "expired"] = "holds"
    if left <= timedelta(0):
        state = "expired"
    elif due and left < SOON:
        state = "soon"
    return ExpiryLine(what=what, version=version, expires=expires, days_left=left.days, state=state, renew=renew)


def _renewal(role: str) -> str:
    """The command that renews a role, or the manifest of a channel."""
    if role in ("root", "targets"):
        return CEREMONY
    if role == "candidates":
        return "lading build"
    return f"lading release promote {role}" if role in ("canary", "stable") else ONLINE
