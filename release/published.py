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
from fleet_manifests.authors import Trust
from fleet_manifests.bundle import BUNDLE_FILE, BundleRef
from fleet_manifests.knowledge import PACK_FILE
from fleet_manifests.manifest import BuildEntry, PackRef
from release.attest import verify_evidence


def blob_path(public: Path, digest: str) -> Path:
    """Where a blob of a published tree is, or would be."""
    return public / "blobs" / "sha256" / digest.removeprefix("sha256:")


def read_blob(public: Path, blob: Descriptor) -> bytes:
    """The content of a blob of a published tree.

    Raises:
        IntegrityError: it is missing or is not what it is said to be.
    """
    path = blob_path(public, blob.digest)
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise IntegrityError(f"{path}: expected a published blob: {exc.strerror}; publish its manifest again") from exc
    if (digest_of(raw), len(raw)) != (blob.digest, blob.size):
        raise IntegrityError(
            f"{path}: is not the blob that its name says, holds {digest_of(raw)}; restore the published tree, or "
            "publish the bundle again"
        )
    return raw


def unpack(public: Path, ref: BundleRef, out: Path) -> BundleConfig:
    """Lay out a published bundle as a folder again, every byte hashed.

    Args:
        public: the published tree.
        ref: how a verified manifest names the bundle.
        out: a folder that there is, and empty.

    Raises:
        IntegrityError: a blob is missing or is not what its descriptor says.
    """
    manifest = parse(OciManifest, read_blob(public, ref.manifest), where=f"bundle {ref.name}")
    for layer in manifest.layers:
        target = out / layer.path
        if not target.resolve().is_relative_to(out.resolve()):
            raise IntegrityError(f"bundle {ref.name}: {layer.path!r} leaves the folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read_blob(public, layer))
    return parse(BundleConfig, (out / BUNDLE_FILE).read_bytes(), where=f"{ref.name}/{BUNDLE_FILE}")


class Published:
    """The blobs of a published tree.

    Raises, from every method:
        IntegrityError: a blob is missing, or is not what it is said to be.
    """

    def __init__(self, public: Path, by: bytes | Trust) -> None:
        """Refer to a tree.

        Args:
            public: the published tree.
            by: whose signature counts; a public key (PEM) stands for the builder's key alone.
        """
        self._public = public
        self._trust = Trust.of(by)

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
        if isinstance(subject, PackRef):
            digest, workflow = subject.blob.digest, subject.workflow or ""
        else:
            digest, workflow = subject.bundle.digest, self.config(subject).workflow
        allowed = self._trust.authors(workflow, "evidence")
        return tuple(verify_evidence(read_blob(self._public, one), allowed, digest) for one in subject.evidence)

    def _file(self, manifest: Descriptor, name: str) -> bytes:
        """A file of an artifact."""
        layers = parse(OciManifest, read_blob(self._public, manifest), where=f"manifest {manifest.digest}").layers
        found = [layer for layer in layers if layer.path == name]
        if not found:
            raise IntegrityError(f"manifest {manifest.digest}: has no {name}")
        return read_blob(self._public, found[0])
