"""What is attested of a bundle besides its evidence: where it comes from, and its model card.

Each is an in-toto Statement v1 about the digest of the bundle's manifest, in DSSE or keyless in a Sigstore
bundle. A statement is read for what it says of this very bundle: recipe, base and data card must be those of
its own `bundle.json`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field

from fleet_manifests import BundleConfig, Descriptor, IntegrityError, Wire, digest_of, dsse, dump, parse
from fleet_manifests.attested import BOM_TYPE, KIND, PROVENANCE_TYPE
from fleet_manifests.authors import Act, Trust
from fleet_manifests.bundle import bundle_name
from fleet_manifests.dsse import envelope_type
from fleet_manifests.signature_file import SIGSTORE_BUNDLE
from release.mlbom import Bom, bom
from release.provenance import Origin, Provenance, provenance
from release.signing import Author

KINDS: Mapping[str, Act] = {PROVENANCE_TYPE: "provenance", BOM_TYPE: "model-card"}
"""What each predicate type is for the signing policy."""
FILES: Mapping[Act, str] = {"provenance": "provenance.intoto.json", "model-card": "model-card.intoto.json"}
P = TypeVar("P", bound=Wire)


class _Digested(Wire):
    name: str
    digest: dict[str, str]


class _Said(Wire, Generic[P]):
    """An in-toto Statement about one bundle."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")] = (
        "https://in-toto.io/Statement/v1"
    )
    subject: Annotated[tuple[_Digested, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[str, Field(alias="predicateType")]
    predicate: P


class _Enveloped(Wire):
    payload: str


class _Sigstore(Wire):
    envelope: Annotated[_Enveloped, Field(alias="dsseEnvelope")]


class _Typed(Wire):
    predicate_type: Annotated[str, Field(alias="predicateType")]


def attest_bundle(config: BundleConfig, digest: str, origin: Origin, author: Author) -> dict[Act, bytes]:
    """Sign where a bundle comes from, and its model card.

    Args:
        config: its `bundle.json`.
        digest: the digest of its manifest, `sha256:<hex>`.
        origin: what went into it.
        author: who signs.

    Returns:
        An envelope for each.

    Raises:
        IntegrityError: the policy does not let this author sign that.
        UsageError, UnreachableError: the author cannot sign now.
    """
    name = bundle_name(config.workflow, config.profile)
    subject = (_Digested(name=name, digest={"sha256": digest.removeprefix("sha256:")}),)
    predicates: dict[Act, tuple[str, Wire]] = {
        "provenance": (PROVENANCE_TYPE, provenance(config, origin)),
        "model-card": (BOM_TYPE, bom(config, digest, origin)),
    }
    return {
        act: author.seal(
            dump(_Said[Any](subject=subject, predicate_type=kind, predicate=predicate)),
            workflow=config.workflow,
            act=act,
        )
        for act, (kind, predicate) in predicates.items()
    }


def verify_attestation(raw: bytes, by: bytes | Trust, config: BundleConfig, digest: str) -> tuple[Act, Wire]:
    """Read an attestation, if it is about that bundle and signed by somebody who may do so.

    Args:
        raw: the DSSE envelope, or the Sigstore bundle of one.
        by: whose signature counts; a public key (PEM) stands for the builder's key alone.
        config: the bundle's own `bundle.json`.
        digest: the digest of its manifest.

    Returns:
        What kind it is, and its predicate.

    Raises:
        IntegrityError: altered, signed by someone else, about something else, or not what the bundle says of itself.
    """
    act = _kind(raw)
    allowed = Trust.of(by).authors(config.workflow, act)
    content = dsse.payload(raw, allowed, what=act, by="the builder's key")
    readers: dict[Act, Callable[[bytes], _Said[Any]]] = {
        "provenance": lambda raw: parse(_Said[Provenance], raw, where=act),
        "model-card": lambda raw: parse(_Said[Bom], raw, where=act),
    }
    said = readers[act](content)
    (subject,) = said.subject
    if KINDS.get(said.predicate_type) != act:
        raise IntegrityError(f"{act}: the signed predicate is {said.predicate_type}")
    name = bundle_name(config.workflow, config.profile)
    if (subject.name, f"sha256:{subject.digest.get('sha256', '')}") != (name, digest):
        raise IntegrityError(f"{act}: is about {subject.name} {subject.digest}, not {name} {digest}")
    if why := said.predicate.mismatch(config):
        raise IntegrityError(f"{act} of {name}: {why}")
    predicate: Wire = said.predicate
    return act, predicate


def attestation_descriptor(raw: bytes, act: Act) -> Descriptor:
    """The descriptor by which a fleet manifest refers to an attestation."""
    return Descriptor(media_type=envelope_type(raw), digest=digest_of(raw), size=len(raw), annotations={KIND: act})


def _kind(raw: bytes) -> Act:
    """What an envelope says that it is, believed in nothing: only to see who may have signed it."""
    where = "attestation"
    keyless = envelope_type(raw) == SIGSTORE_BUNDLE
    found = parse(_Sigstore, raw, where=where).envelope if keyless else parse(_Enveloped, raw, where=where)
    try:
        payload = base64.b64decode(found.payload, validate=True)
    except ValueError as exc:
        raise IntegrityError(f"{where}: the payload is not base64") from exc
    kind = parse(_Typed, payload, where=where).predicate_type
    if kind not in KINDS:
        raise IntegrityError(f"{where}: predicate {kind} is not known; there are: {', '.join(KINDS)}")
    return KINDS[kind]
