"""What a site and the centre say to each other about a request that the site did not answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from fleet_manifests import Name, Wire
from runtimes.knowledge.answers import CitedPassage

RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
"""Chosen by the caller or by the site; with the site's name it is the idempotency key of a delivery."""

Confidence = Annotated[float, Field(ge=0, le=1)]

MAX_CHARACTERS = 100_000
"""Longest text of a request, whatever a manifest allows."""

MAX_BYTES = 1024 * 1024
"""Largest body that either side reads: the longest text, six bytes a character at worst, and the rest."""

MAX_REASON = 1000


class ProducedBy(Wire):
    """What an answer comes from."""

    where: Literal["edge", "central"]
    bundle: str | None = None
    manifest_version: int | None = None
    channel: str | None = None
    profile: str | None = None
    instead_of: str | None = None
    """The bundle that was revoked, where the one before it answers; `manifest_version` is the one that approved it."""
    person: str | None = None
    """Who answered, where it was a person at the centre."""


class Opinion(Wire):
    """What the site's own bundle would have said; all None where it was not asked."""

    label: str | None = None
    confidence: Confidence | None = None


class Deferral(Wire):
    """A request that a site hands to the centre."""

    schema_version: Literal[1] = 1
    site: Name
    site_class: Name | None = None
    """What a library may answer depends on it: procedures are for classes of sites."""
    id: RequestId
    workflow: Name
    asked: AwareDatetime
    text: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    """None where the export policy keeps the text at the site."""
    role: str | None = None
    reason: Annotated[str, Field(max_length=MAX_REASON)]
    """Why the site did not answer."""
    opinion: Opinion = Opinion()
    produced_by: ProducedBy
    seq: Annotated[int, Field(ge=1)]
    chain: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Place and hash of the request in the site's audit: the centre's anchor for it."""


class CentralAnswer(Wire):
    """What became of a deferral at the centre."""

    schema_version: Literal[1] = 1
    site: Name
    id: RequestId
    status: Literal["answered", "human", "recorded"]
    """`human`: a person will answer. `recorded`: there was no text, so nobody can."""
    label: str | None = None
    passages: tuple[CitedPassage, ...] = ()
    """Of a library, verbatim: the answer first, then what disagrees with it."""
    confidence: Confidence | None = None
    reason: str
    produced_by: ProducedBy
