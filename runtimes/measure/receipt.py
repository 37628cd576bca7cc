"""Writing and reading receipts: what a device saw, signed by it (`fleet_manifests.receipt`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_manifests import IntegrityError, RefusedError, digest_of, dsse, dump, parse
from fleet_manifests.dsse import Enclosed, Statement
from fleet_manifests.receipt import LATENCY, MAX_RECEIPT_BYTES, MEDIA_TYPES, OUTPUTS, RECEIPT, Receipt
from runtimes.measure.latency import Outcome

if TYPE_CHECKING:
    from securesystemslib.signer import Signer


@dataclass(frozen=True)
class Opened:
    """A receipt whose signature holds."""

    receipt: Receipt
    outputs: bytes
    """As `outputs.pack` wrote them; believed in nothing yet."""
    latency: Outcome
    digest: str
    """Digest of the envelope."""


def seal(receipt: Receipt, outputs: bytes, latency: Outcome, signer: Signer) -> bytes:
    """Sign a receipt.

    Args:
        receipt: who measured what, when and where.
        outputs: what the bundle gave for each text, as `outputs.pack` writes it.
        latency: what the latency process saw.
        signer: the device's key.

    Returns:
        The DSSE envelope, JSON.

    Raises:
        RefusedError: it would be larger than the factory takes.
    """
    raw = dsse.seal(_statement(receipt, outputs, dump(latency)), signer)
    if len(raw) > MAX_RECEIPT_BYTES:
        raise RefusedError(
            f"receipt of {receipt.subject}: {len(raw)} bytes, the factory takes {MAX_RECEIPT_BYTES}; "
            "the workflow has too many cases to be measured away from the factory"
        )
    return raw


def claimed(raw: bytes) -> Receipt:
    """What a receipt says of itself, unverified: only to see whose key is to verify it.

    Raises:
        IntegrityError: too large, or no receipt.
    """
    return _receipt(dsse.unverified(raw, what="receipt", limit=MAX_RECEIPT_BYTES))


def open_receipt(raw: bytes, public_key: bytes, *, site: str) -> Opened:
    """Read a receipt, if it is the named site's and signed by that key.

    Args:
        raw: the DSSE envelope.
        public_key: the device's public key, PEM.
        site: whose key that is.

    Raises:
        IntegrityError: too large, altered, signed by someone else, or contradicting itself.
    """
    by = f"the device key of site {site}"
    statement = dsse.opened(raw, public_key, what="receipt", by=by, limit=MAX_RECEIPT_BYTES)
    receipt = _receipt(statement)
    inside = statement.enclosed(what="receipt")
    if receipt.site != site:
        raise IntegrityError(f"receipt: is of site {receipt.site}, but signed by {by}")
    if statement != _statement(receipt, inside[OUTPUTS], inside[LATENCY]):
        raise IntegrityError("receipt: the statement says something else than the receipt in it")
    outcome = parse(Outcome, inside[LATENCY], where="receipt: latency", limit=MAX_RECEIPT_BYTES)
    return Opened(receipt, inside[OUTPUTS], outcome, digest_of(raw))


def _receipt(statement: Statement) -> Receipt:
    """The receipt in a statement that has all that a receipt has."""
    inside = statement.enclosed(what="receipt")
    if set(inside) != set(MEDIA_TYPES):
        raise IntegrityError(f"receipt: expected {', '.join(MEDIA_TYPES)} inside, found {', '.join(sorted(inside))}")
    return parse(Receipt, inside[RECEIPT], where="receipt")


def _statement(receipt: Receipt, outputs: bytes, latency: bytes) -> Statement:
    """The one statement of a receipt. `WARNED`: a device does not judge."""
    contents = {RECEIPT: dump(receipt), OUTPUTS: outputs, LATENCY: latency}
    enclosed = [Enclosed(name, MEDIA_TYPES[name], content) for name, content in contents.items()]
    return dsse.statement(receipt.subject, receipt.bundle, enclosed, result="WARNED", warned=(RECEIPT,))
