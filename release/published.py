"""Reading what is published, as a site reads it: every byte is what the signed manifest says."""

from __future__ import annotations

from pathlib import Path

from fleet_manifests import (
    BundleConfig,
    Descriptor,
    Evidence,
    IntegrityError,
    OciManifest,
    PackConfig,
    digest_of,
    parse,
)
from fleet_manifests.bundle import BUNDLE_FILE
from fleet_manifests.knowledge import PACK_FILE
from fleet_manifests.manifest import BuildEntry, PackRef
from release.attest import verify_evidence


class Published:
    """The blobs of a published tree.

    Raises, from every method:
        IntegrityError: a blob is missing, or is not what it is said to be.
    """

    def __init__(self, public: Path, public_key: bytes) -> None:
        """Refer to a tree.

        Args:
            public: the published tree.
            public_key: the builder's public key, PEM.
        """
        self._blobs = public / "blobs" / "sha256"
        self._key = public_key

    def blob(self, blob: Descriptor) -> bytes:
        """The content of a blob."""
        path = self._blobs / blob.digest.removeprefix("sha256:")
        try:
            raw = path.read_bytes()
        except OSError as exc:
            raise IntegrityError(f"{path}: {exc.strerror}; publish its manifest again") from exc
        if (digest_of(raw), len(raw)) != (blob.digest, blob.size):
            raise IntegrityError(f"{path}: is not the blob that its name says; restore the published tree")
        return raw

    def config(self, build: BuildEntry) -> BundleConfig:
        """What a bundle says of itself."""
        return parse(
            BundleConfig, self._file(build.bundle.manifest, BUNDLE_FILE), where=f"{build.bundle.name}/{BUNDLE_FILE}"
        )

    def pack(self, pack: PackRef) -> PackConfig:
        """What a knowledge pack says of itself."""
        return parse(PackConfig, self._file(pack.blob, PACK_FILE), where=f"{pack.name}/{PACK_FILE}")

    def evidence(self, subject: BuildEntry | PackRef) -> tuple[Evidence, ...]:
        """The reports about a bundle or pack."""
        digest = subject.blob.digest if isinstance(subject, PackRef) else subject.bundle.digest
        return tuple(verify_evidence(self.blob(one), self._key, digest) for one in subject.evidence)

    def _file(self, manifest: Descriptor, name: str) -> bytes:
        """A file of an artifact."""
        layers = parse(OciManifest, self.blob(manifest), where=f"manifest {manifest.digest}").layers
        found = [layer for layer in layers if layer.path == name]
        if not found:
            raise IntegrityError(f"manifest {manifest.digest}: has no {name}")
        return self.blob(found[0])
