"""The fleet policy: who may sign what, how long a signature lasts, how long a site may be alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fleet_manifests import Name
from fleet_manifests.authors import BY_KEY, SignerPolicy

Days = Annotated[int, Field(ge=1, le=3650)]


class _Config(BaseModel):
    """A part of the project's configuration: an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Expiry(_Config):
    """Days for which each role's metadata is valid. Expired metadata blocks new installs, nothing else."""

    root: Days = 365
    targets: Days = 180
    stable: Days = 90
    canary: Days = 30
    candidates: Days = 30
    sites: Days = 30
    snapshot: Days = 7
    timestamp: Days | None = None
    """None: the longest outage that a site is allowed (`max_offline_hours`)."""


class Policy(_Config):
    """What the repository is created with and what each publication is held to."""

    managers: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Release managers, by name. Each has a key of their own."""
    stable_threshold: Annotated[int, Field(ge=1)] = 2
    """How many different managers must sign what enters `stable`."""
    expiry: Expiry = Expiry()
    max_offline_hours: Annotated[int, Field(ge=1)] = 24 * 30
    minimum_agent: str = "0.1.0"
    authors: SignerPolicy = BY_KEY
    """Who may sign bundles and what is attested of them; published as `trust/policy.json`."""
    trusted_root: bytes | None = None
    """Sigstore's trusted root, JSON; published as `trust/trusted_root.json`. Identities need it."""
    evidence_days: Days = 90
    """Days after which evidence no longer lets anything into `canary` or `stable`."""
    licences: tuple[str, ...] = ()
    """Licences (SPDX) that a base or corpus may have; empty: any that is stated."""

    @field_validator("managers")
    @classmethod
    def _distinct(cls, managers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(managers)) != len(managers):
            raise ValueError("a release manager is named twice")
        return managers

    @model_validator(mode="after")
    def _enough(self) -> Policy:
        if len(self.managers) < self.stable_threshold:
            raise ValueError(
                f"stable_threshold is {self.stable_threshold}, but only {len(self.managers)} managers are named"
            )
        return self

    @model_validator(mode="after")
    def _verifiable(self) -> Policy:
        if self.authors.keyless and self.trusted_root is None:
            raise ValueError("authors: an identity may sign, but there is no trusted_root to verify it with")
        return self

    def lifetime(self, role: str) -> timedelta:
        """For how long metadata of a TUF role is valid; hash bins live as long as `sites`."""
        if role == "timestamp" and self.expiry.timestamp is None:
            return timedelta(hours=self.max_offline_hours)
        name = "sites" if role.startswith("sites") else role
        days: int = getattr(self.expiry, name)
        return timedelta(days=days)
