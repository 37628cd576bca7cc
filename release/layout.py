"""The OCI side of the published tree: an image layout whose artifacts follow ModelPack.

Nothing here is trusted by a site, which finds every blob through the signed manifest. It
lets ordinary registry tools read and copy the tree. Signature and evidence are attached
to their bundle or pack as referrers (OCI 1.1 `subject`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from fleet_manifests import Descriptor, Wire, digest_of, dump
from fleet_manifests.bundle import ARTIFACT_TYPE, MANIFEST_TYPE, BundleRef

LAYOUT_FILE = "oci-layout"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
INDEX_FILE = "index.json"
REF_NAME = "org.opencontainers.image.ref.name"
EMPTY = b"{}"
EMPTY_BLOB = Descriptor(media_type="application/vnd.oci.empty.v1+json", digest=digest_of(EMPTY), size=len(EMPTY))


class IndexEntry(Descriptor):
    """A manifest that the layout offers."""

    artifact_type: Annotated[str | None, Field(alias="artifactType")] = None


class Index(Wire):
    """`index.json` of an OCI image layout."""

    schema_version: Annotated[Literal[2], Field(alias="schemaVersion")] = 2
    media_type: Annotated[Literal["application/vnd.oci.image.index.v1+json"], Field(alias="mediaType")] = (
        "application/vnd.oci.image.index.v1+json"
    )
    manifests: tuple[IndexEntry, ...] = ()

    def merged(self, entries: Iterable[IndexEntry]) -> Index:
        """This index with more entries; one per digest, in the order of digests."""
        found = {entry.digest: entry for entry in (*self.manifests, *entries)}
        return self.model_copy(update={"manifests": tuple(found[digest] for digest in sorted(found))})


class _Referrer(Wire):
    """An image manifest that attaches one blob to another manifest."""

    schema_version: Annotated[Literal[2], Field(alias="schemaVersion")] = 2
    media_type: Annotated[str, Field(alias="mediaType")] = MANIFEST_TYPE
    artifact_type: Annotated[str, Field(alias="artifactType")]
    config: Descriptor = EMPTY_BLOB
    layers: tuple[Descriptor, ...]
    subject: Descriptor


def artifact_entry(artifact: BundleRef) -> IndexEntry:
    """The entry of a bundle or pack, with a reference name by which tools can ask for it."""
    short = artifact.digest.removeprefix("sha256:")[:12]
    return IndexEntry(
        media_type=MANIFEST_TYPE,
        digest=artifact.digest,
        size=artifact.manifest.size,
        annotations={REF_NAME: f"{artifact.name}.{short}"},
        artifact_type=ARTIFACT_TYPE,
    )


def referrer(artifact: BundleRef, blob: Descriptor) -> tuple[bytes, IndexEntry]:
    """The manifest that attaches a signature or evidence to its bundle or pack, and its entry."""
    manifest = _Referrer(artifact_type=blob.media_type, layers=(blob,), subject=artifact.manifest)
    raw = dump(manifest)
    entry = IndexEntry(media_type=MANIFEST_TYPE, digest=digest_of(raw), size=len(raw), artifact_type=blob.media_type)
    return raw, entry
