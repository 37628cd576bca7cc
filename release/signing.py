"""Signing what a factory makes: bundles and packs with OpenSSF Model Signing, statements about them in DSSE.

An `Author` is who signs, and what a site will hold that to: every signature is verified with the site's own
policy before it is kept, since a log or timestamp that failed is otherwise noticed only at the sites.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import IntegrityError, OciManifest, StorageError, dsse, dump
from fleet_manifests.authors import Act, Authors, Trust
from fleet_manifests.dsse import PAYLOAD_TYPE
from fleet_manifests.knowledge import PACK_FILE
from fleet_manifests.signature import strict_hashing, verify_bundle
from fleet_manifests.signature_file import SignatureFile
from release.artifacts import holds, title
from release.bundles import open_bundle
from release.packs import open_pack_folder
from release.signers import SigningKey
from release.signers_keyless import KeylessSigner

SIGNATURE_FILE = "model.sig"


@dataclass(frozen=True)
class Author:
    """Who signs what a factory makes, and what that is held to."""

    signer: SigningKey | KeylessSigner
    trust: Trust

    @classmethod
    def of(cls, by: SigningKey | Author) -> Author:
        """The same; a key alone is held to itself."""
        return by if isinstance(by, Author) else cls(by, Trust(by.public_pem))

    @property
    def described(self) -> str:
        """Who signs, and what that is held to: the inputs of a step."""
        signer = self.signer
        who = signer.described if isinstance(signer, KeylessSigner) else signer.public_pem.decode()
        return who + dump(self.trust.policy).decode() + hashlib.sha256(self.trust.trusted_root or b"").hexdigest()

    def seal(self, content: bytes, *, workflow: str, act: Act) -> bytes:
        """Sign an in-toto statement.

        Args:
            content: the statement, JSON.
            workflow: the workflow that it is about.
            act: what kind of statement it is.

        Returns:
            A DSSE envelope, or the Sigstore bundle of one.

        Raises:
            IntegrityError: the policy does not let this author sign that, or the signature does not hold.
            UsageError, UnreachableError: the author cannot sign now.
        """
        signer, allowed = self.signer, self.trust.authors(workflow, act)
        _require_allowed(self, allowed)
        if isinstance(signer, KeylessSigner):
            raw = signer.seal_payload(content)
        else:
            raw = dsse.seal_payload(content, signer.signer)
        if dsse.payload(raw, allowed, what=act, by="the builder's key") != content:
            raise IntegrityError(f"{act} of workflow {workflow}: what was signed is not what was given")
        return raw


def sign_bundle(out: Path, by: SigningKey | Author) -> Path:
    """Sign an assembled bundle or pack; a signature that still holds is kept.

    ECDSA draws a fresh nonce, so signing anew would change the signature's digest and with
    it every manifest that names it.

    Args:
        out: the folder that `assemble` or `assemble_pack` made.
        by: who signs; a key alone is held to itself.

    Returns:
        The signature, `OUT/model.sig`, beside the signed folder and never inside it.

    Raises:
        IntegrityError: the artifact is not what its manifest says, the policy does not let this author sign it, or
            the new signature does not verify.
        StorageError: the signature cannot be written.
        UsageError, UnreachableError: the author cannot sign now.
    """
    author = Author.of(by)
    manifest, workflow = _opened(out)
    name, allowed = title(manifest), author.trust.authors(workflow, "bundle")
    signature = out / SIGNATURE_FILE
    if signature.exists():
        try:
            verify_bundle(out / name, signature, allowed, name=name)
        except IntegrityError:
            signature.unlink()
        else:
            return signature
    _require_allowed(author, allowed)
    try:
        with tempfile.TemporaryDirectory(prefix=".sign.", dir=out) as scratch:
            fresh = Path(scratch, SIGNATURE_FILE)
            _sign(out / name, fresh, author)
            verify_bundle(out / name, fresh, allowed, name=name)
            fresh.replace(signature)
    except OSError as exc:
        raise StorageError(f"{signature}: cannot be written: {exc.strerror}") from exc
    return signature


def signed(folder: Path, key: SigningKey) -> SignatureFile:
    """The seam to model_signing: its statement of a folder, signed by any key that securesystemslib knows."""
    from google.protobuf import json_format
    from model_signing._signing.signing import Payload
    from securesystemslib.dsse import Envelope

    try:
        statement = Payload(strict_hashing().hash(folder)).statement.pb
    except ValueError as exc:
        raise IntegrityError(f"{folder}: cannot be signed: {exc}") from exc
    envelope = Envelope(json_format.MessageToJson(statement).encode(), PAYLOAD_TYPE, {})
    envelope.sign(key.signer)
    found = envelope.to_dict()
    (signed,) = found["signatures"]
    material = {"publicKey": {"hint": hashlib.sha256(key.public_pem).hexdigest()}}
    sealed = {"payload": found["payload"], "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": signed["sig"]}]}
    return SignatureFile.model_validate({"verificationMaterial": material, "dsseEnvelope": sealed})


def _opened(out: Path) -> tuple[OciManifest, str]:
    """The OCI manifest of an artifact of either kind, every digest recomputed, and its workflow."""
    if holds(out, PACK_FILE):
        manifest, pack = open_pack_folder(out)
        return manifest, pack.workflow
    manifest, config = open_bundle(out)
    return manifest, config.workflow


def _require_allowed(author: Author, allowed: Authors) -> None:
    """Refuse before signing: a transparency log keeps for ever what should not have been signed.

    Raises:
        IntegrityError: the policy does not let this author sign that.
    """
    signer = author.signer
    if isinstance(signer, KeylessSigner):
        fits, who = signer.identity in allowed.identities, signer.described
    else:
        fits, who = allowed.key is not None, f"key {signer.name}"
    if not fits:
        raise IntegrityError(f"the signing policy does not let {who} sign {allowed.what}")


def _sign(folder: Path, signature: Path, author: Author) -> None:
    """Write the signature file of a folder."""
    signer = author.signer
    if isinstance(signer, KeylessSigner):
        signer.sign_files(folder, signature)
    else:
        signature.write_bytes(dump(signed(folder, signer)))
