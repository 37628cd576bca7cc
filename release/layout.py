"""The OCI side of the published tree: an image layout whose artifacts follow ModelPack.

Nothing here is trusted by a site, which finds every blob through the signed manifest. It
lets ordinary registry tools read and copy the tree. Signature and evidence are attached
to their bundle or pack as referrers (OCI 1.1 `subject`), and an index of them has the name
under which a registry without the referrers API is asked for them (`sha256-<hex>`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from fleet_manifests import Descriptor, Wire, digest_of, dump
from fleet_manifests.bundle import ARTIFACT_TYPE, MANIFEST_TYPE, BundleRef

IndexType = Literal["application/vnd.oci.image.index.v1+json"]
INDEX_TYPE: IndexType = "application/vnd.oci.image.index.v1+json"
LAYOUT_FILE = "oci-layout"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
INDEX_FILE = "index.json"
REF_NAME = "org.opencontainers.image.ref.name"
EMPTY = b"{}"
EMPTY_BLOB = Descriptor(media_type="application/vnd.oci.empty.v1+json", digest=digest_of(EMPTY), size=len(EMPTY))


class IndexEntry(Descriptor):
    """A manifest that the layout offers."""

    artifact_type: Annotated[str | None, Field(alias="artifactType")] = None

    @property
    def name(self) -> str | None:
        """The name by which tools can ask for it."""
        return self.annotations.get(REF_NAME)


class Index(Wire):
    """`index.json` of an OCI image layout."""

    schema_version: Annotated[Literal[2], Field(alias="schemaVersion")] = 2
    media_type: Annotated[IndexType, Field(alias="mediaType")] = INDEX_TYPE
    manifests: tuple[IndexEntry, ...] = ()

    def merged(self, entries: Iterable[IndexEntry]) -> Index:
        """This index with more entries; one per digest and one per name, the newer, in the order of digests."""
        fresh = {entry.digest: entry for entry in entries}
        taken = {entry.name for entry in fresh.values() if entry.name}
        found = {entry.digest: entry for entry in self.manifests if entry.name not in taken} | fresh
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
    return IndexEntry(
        media_type=MANIFEST_TYPE,
        digest=artifact.digest,
        size=artifact.manifest.size,
        annotations={REF_NAME: f"{artifact.name}.{_short(artifact.digest)}"},
        artifact_type=ARTIFACT_TYPE,
    )


def referrer(artifact: BundleRef, blob: Descriptor) -> tuple[bytes, IndexEntry]:
    """The manifest that attaches a signature or evidence to its bundle or pack, and its entry."""
    manifest = _Referrer(artifact_type=blob.media_type, layers=(blob,), subject=artifact.manifest)
    raw = dump(manifest)
    entry = IndexEntry(
        media_type=MANIFEST_TYPE,
        digest=digest_of(raw),
        size=len(raw),
        annotations={REF_NAME: f"{_short(artifact.digest)}.{_short(blob.digest)}"},
        artifact_type=blob.media_type,
    )
    return raw, entry


def referrers(artifact: BundleRef, attached: Iterable[IndexEntry]) -> tuple[bytes, IndexEntry]:
    """The index of what is attached to a bundle or pack, and its entry (OCI distribution 1.1, referrers tag schema)."""
    listed = [entry.model_copy(update={"annotations": {}}) for entry in attached]
    raw = dump(Index().merged(listed))
    name = referrers_name(artifact.digest)
    return raw, IndexEntry(media_type=INDEX_TYPE, digest=digest_of(raw), size=len(raw), annotations={REF_NAME: name})


def referrers_name(digest: str) -> str:
    """The tag under which the referrers of a manifest are looked for."""
    return digest.replace(":", "-")


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
