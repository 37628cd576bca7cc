"""What a release says of itself: how long each role still holds, what each channel has, which sites follow."""

from __future__ import annotations

from pydantic import AwareDatetime

from fleet_manifests import FleetManifest, Orders, Wire


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
