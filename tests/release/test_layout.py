"""The OCI side of the tree."""

from __future__ import annotations

import json

import pytest

from fleet_manifests import Descriptor, digest_of, dump, parse
from fleet_manifests.bundle import MANIFEST_TYPE, SIGNATURE_TYPE, BundleRef
from release.layout import EMPTY_BLOB, INDEX_TYPE, REF_NAME, Index, artifact_entry, referrer, referrers

pytestmark = pytest.mark.unit
SIGNATURE = Descriptor(media_type=SIGNATURE_TYPE, digest=digest_of(b"signature"), size=9)
BUNDLE = BundleRef(
    name="triage--edge",
    manifest=Descriptor(media_type=MANIFEST_TYPE, digest=digest_of(b"manifest"), size=8),
    signature=SIGNATURE,
)


def test_an_index_round_trips_and_is_sorted() -> None:
    _, listed = referrer(BUNDLE, SIGNATURE)
    index = Index().merged([listed, artifact_entry(BUNDLE)])
    assert parse(Index, dump(index)) == index
    assert [entry.digest for entry in index.manifests] == sorted(entry.digest for entry in index.manifests)


def test_merging_the_same_again_changes_nothing() -> None:
    index = Index().merged([artifact_entry(BUNDLE)])
    assert dump(index.merged([artifact_entry(BUNDLE)])) == dump(index)


def test_merging_keeps_what_is_there() -> None:
    _, listed = referrer(BUNDLE, SIGNATURE)
    assert len(Index().merged([artifact_entry(BUNDLE)]).merged([listed]).manifests) == 2


def test_a_referrer_points_to_its_bundle_and_holds_the_blob() -> None:
    raw, listed = referrer(BUNDLE, SIGNATURE)
    document = json.loads(raw)
    assert document["subject"]["digest"] == BUNDLE.digest
    assert document["artifactType"] == SIGNATURE_TYPE
    assert [layer["digest"] for layer in document["layers"]] == [SIGNATURE.digest]
    assert document["config"]["digest"] == EMPTY_BLOB.digest
    assert (listed.digest, listed.size) == (digest_of(raw), len(raw))


def test_the_empty_blob_is_the_one_of_the_oci_specification() -> None:
    assert EMPTY_BLOB.digest == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert EMPTY_BLOB.media_type == "application/vnd.oci.empty.v1+json"


def test_a_bundle_can_be_asked_for_by_name() -> None:
    name = artifact_entry(BUNDLE).annotations["org.opencontainers.image.ref.name"]
    assert name == f"triage--edge.{BUNDLE.digest.removeprefix('sha256:')[:12]}"


def test_what_is_attached_is_found_by_the_tag_of_the_specification() -> None:
    _, listed = referrer(BUNDLE, SIGNATURE)
    raw, entry = referrers(BUNDLE, [listed])
    assert entry.annotations == {REF_NAME: BUNDLE.digest.replace(":", "-")}
    assert (entry.media_type, entry.digest, entry.size) == (INDEX_TYPE, digest_of(raw), len(raw))
    (one,) = json.loads(raw)["manifests"]
    assert (one["digest"], one["artifactType"]) == (listed.digest, SIGNATURE_TYPE)
    assert REF_NAME not in one["annotations"]


def test_a_name_belongs_to_the_newest_that_has_it() -> None:
    """A later release attaches more to the same bundle; two entries of one name would be ambiguous to every tool."""
    _, first = referrer(BUNDLE, SIGNATURE)
    _, second = referrer(BUNDLE, SIGNATURE.model_copy(update={"digest": digest_of(b"evidence")}))
    _, before = referrers(BUNDLE, [first])
    _, after = referrers(BUNDLE, [first, second])
    index = Index().merged([first, before]).merged([second, after])
    assert [entry.digest for entry in index.manifests if entry.media_type == INDEX_TYPE] == [after.digest]
    assert len(index.manifests) == 3
