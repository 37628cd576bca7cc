"""Receipts: what a device saw of a bundle, signed with its own key. The factory judges, the device does not.

A receipt is a Test Result statement (`fleet_manifests.dsse`) about the digest of a bundle with the result
`WARNED`, which is no verdict, and three documents inside: `receipt` (this module's `Receipt`), `outputs` (what
the bundle gave for each text, `runtimes.measure.outputs`) and `latency` (`runtimes.measure.latency.Outcome`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from fleet_manifests.bundle import bundle_name
from fleet_manifests.errors import UsageError
from fleet_manifests.evidence import Machine
from fleet_manifests.wire import Digest, Name, Wire, digest_of

CASES_TYPE = "application/vnd.lading.measurement-cases.v1+json"
SEALED_CASES_TYPE = "application/vnd.lading.measurement-cases.v1+age"
"""Cases above data class `internal`: an age file for the keys of the site classes that may have them."""
RECEIPT, OUTPUTS, LATENCY = "receipt", "outputs", "latency"
"""Names of the documents in a receipt."""
MEDIA_TYPES = {
    RECEIPT: "application/vnd.lading.receipt.v1+json",
    OUTPUTS: "application/vnd.lading.outputs.v1+npz",
    LATENCY: "application/vnd.lading.latency-outcome.v1+json",
}
SUFFIX = ".receipt.dsse.json"
"""How a receipt's file ends."""
MAX_RECEIPT_BYTES = 64 * 1024 * 1024
MAX_CASES_BYTES = 32 * 1024 * 1024


class MeasurementCases(Wire):
    """The texts that a device runs to measure the builds of a workflow. They carry no labels: nobody there judges."""

    schema_version: Literal[1] = 1
    workflow: Name
    texts: Annotated[dict[Name, tuple[str, ...]], Field(min_length=1)]
    """By split: what the model is asked for its outputs."""
    latency: Annotated[tuple[str, ...], Field(min_length=1)]
    """Texts of the workflow's own traffic, for latency."""

    @property
    def sizes(self) -> dict[str, int]:
        """How many texts each split has."""
        return {split: len(texts) for split, texts in self.texts.items()}


class Receipt(Wire):
    """Who measured what, when and on which machine."""

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Drawn at random for each measurement: the factory takes it once."""
    site: Name
    workflow: Name
    profile: Name
    bundle: Digest
    cases: Digest
    """The cases that were run: digest of the document, decrypted where it was sealed."""
    manifest: Annotated[int, Field(ge=1)]
    """Version of the manifest of `candidates` that offered the bundle."""
    taken: AwareDatetime
    """The moment when the measurement was over."""
    machine: Machine
    lading: str = "unknown"
    """Version of the program that measured."""

    @property
    def subject(self) -> str:
        """The bundle's name."""
        return bundle_name(self.workflow, self.profile)


def key_fingerprint(public_key: bytes) -> str:
    """The fingerprint of a device's public key: the digest of its SubjectPublicKeyInfo (DER).

    Args:
        public_key: PEM, EC P-256.

    Raises:
        UsageError: it is no such key.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(public_key)
    except ValueError as exc:
        raise UsageError("expected the public key of a device (PEM), found something else") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError("expected a public key on the curve P-256, found another; `lading-site device-key` prints it")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return digest_of(key.public_bytes(serialization.Encoding.DER, form))
