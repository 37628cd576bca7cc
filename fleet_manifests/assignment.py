"""The assignment: which site follows what. Signed by the online fleet key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from fleet_manifests.wire import DataClass, Name, Wire


class Assignment(Wire):
    """What one site runs. A site installs only what this and its channel's manifest both name."""

    schema_version: Literal[1] = 1
    site: Name
    site_class: Name
    version: Annotated[int, Field(ge=1)]
    issued: AwareDatetime
    channel: Literal["canary", "stable"]
    ring: Annotated[int, Field(ge=0)] = 0
    kind: Literal["edge", "central"] = "edge"
    profile: Name | None = None
    """The profile to use; None lets the site resolve it from its machine."""
    workflows: tuple[Name, ...] = ()
    """Empty: every workflow of the manifest that is placed at this kind of site."""
    data_classes: tuple[DataClass, ...] = (DataClass.PUBLIC, DataClass.INTERNAL, DataClass.CUSTOMER)
    central: str | None = None
    """Base URL of the central service that answers what the site defers."""
