"""Attestations as a site holds them: signed by somebody who may sign such a thing, and about this very bundle.

What they say of it, recipe and base and figures, is judged by the promotion. That there are any, and whose they are,
a site sees for itself where the fleet's signing policy requires it (`fleet_manifests.authors.SignerPolicy.require`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from fleet_manifests import dsse
from fleet_manifests.authors import Act, Authors
from fleet_manifests.errors import IntegrityError
from fleet_manifests.wire import Wire, parse

KIND = "lading.attestation.kind"
"""Annotation of an attestation's descriptor: `provenance` or `model-card`."""
PROVENANCE_TYPE = "https://slsa.dev/provenance/v1"
BOM_TYPE = "https://cyclonedx.org/bom"
TEST_RESULT_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
PREDICATES: Mapping[Act, str] = {
    "provenance": PROVENANCE_TYPE,
    "model-card": BOM_TYPE,
    "evidence": TEST_RESULT_TYPE,
}
"""What each act signs."""


class _Subject(Wire):
    name: str
    digest: dict[str, str]


class _Predicate(Wire):
    result: str | None = None
    """Of a Test Result; other predicates have none."""


class _About(Wire):
    """Of an in-toto Statement, what it is and what it is about."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[tuple[_Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[str, Field(alias="predicateType")]
    predicate: _Predicate


def verify_attested(raw: bytes, by: Authors, act: Act, *, name: str, digest: str) -> None:
    """Verify that an envelope attests something of a bundle, by somebody who may sign that.

    Args:
        raw: the DSSE envelope, or the Sigstore bundle of one.
        by: who may have signed it.
        act: what it must be: `provenance`, `model-card` or `evidence`.
        name: the bundle's name.
        digest: the bundle's digest.

    Raises:
        IntegrityError: altered, signed by somebody else, about something else or of another kind, or a failed test.
    """
    what = f"{act} of {name}"
    said = parse(_About, dsse.payload(raw, by, what=what, by="the builder's key"), where=what)
    (subject,) = said.subject
    if said.predicate_type != PREDICATES.get(act):
        raise IntegrityError(f"{what}: the signed predicate is {said.predicate_type}")
    if (subject.name, f"sha256:{subject.digest.get('sha256', '')}") != (name, digest):
        raise IntegrityError(f"{what}: is about {subject.name} {subject.digest}, not {name} {digest}")
    if act == "evidence" and said.predicate.result not in ("PASSED", "WARNED"):
        raise IntegrityError(f"{what}: its result is {said.predicate.result}")
