"""Wire documents: the round-trip law, goldens, schemas and what a reader refuses."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from fleet_manifests import FleetManifest, IntegrityError, Wire, dump, parse
from fleet_manifests.schema import DOCUMENTS, FOLDER, schemas

pytestmark = pytest.mark.unit
GOLDENS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_round_trip(name: str, documents: dict[str, Wire]) -> None:
    value = documents[name]
    assert parse(DOCUMENTS[name], dump(value)) == value
    assert dump(parse(DOCUMENTS[name], dump(value))) == dump(value)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_golden(name: str, documents: dict[str, Wire]) -> None:
    """What version 1 wrote on the day it was frozen is what it writes today, byte for byte."""
    assert dump(documents[name]) == (GOLDENS / f"{name}.json").read_bytes()


@pytest.mark.parametrize("path", sorted((GOLDENS / "earlier").rglob("*.json")), ids=lambda path: path.stem)
def test_what_an_earlier_release_wrote_is_read_for_ever(path: Path) -> None:
    kind = DOCUMENTS[".".join(path.name.split(".")[:2])]  # `bundle.v1.json`, `bundle.v1.2.json`
    value = parse(kind, path.read_bytes())
    assert parse(kind, dump(value)) == value


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_goldens_fit_the_published_schema(name: str) -> None:
    schema = json.loads((FOLDER / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads((GOLDENS / f"{name}.json").read_bytes()), schema)


def test_schema_files_are_those_of_the_code() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == schemas()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "not a JSON document"),
        (b'{"version": 1, "version": 2}', "'version' appears twice"),
        (b'{"workflows": {"a": {"x": 1, "x": 2}}}', "'x' appears twice"),
        (b'{"version": NaN}', "NaN is not a JSON number"),
        (b'{"version": -Infinity}', "-Infinity is not a JSON number"),
        (b"\xff\xfe", "not a JSON document"),
        (b"[" * 200_000, "not a JSON document"),
        (b"[]", "(document)"),
        (b"{}", "channel"),
    ],
)
def test_bad_documents_are_refused_with_the_place(raw: bytes, said: str) -> None:
    with pytest.raises(IntegrityError, match=r"stable/manifest\.json") as caught:
        parse(FleetManifest, raw, where="stable/manifest.json")
    assert said in str(caught.value)


def test_endless_document_is_refused() -> None:
    with pytest.raises(IntegrityError, match="bytes"):
        parse(FleetManifest, b" " * (4 * 1024 * 1024 + 1))


def test_huge_number_is_not_infinity(manifest: FleetManifest) -> None:
    raw = dump(manifest).replace(b'"defer_threshold":0.5', b'"defer_threshold":1e999')
    with pytest.raises(IntegrityError, match="defer_threshold"):
        parse(FleetManifest, raw)


def test_unknown_field_is_ignored(manifest: FleetManifest) -> None:
    data = json.loads(dump(manifest))
    data["colour"] = "red"
    data["workflows"]["exception_triage"]["guardrails"]["mood"] = 3
    assert parse(FleetManifest, json.dumps(data).encode()) == manifest


def test_unknown_critical_field_is_refused(manifest: FleetManifest) -> None:
    data = json.loads(dump(manifest)) | {"critical": ["workflows.*.guardrails.mood"]}
    with pytest.raises(IntegrityError, match=r"guardrails\.mood is not known to this version; update lading"):
        parse(FleetManifest, json.dumps(data).encode())


def test_values_are_frozen(manifest: FleetManifest) -> None:
    with pytest.raises(ValueError, match="frozen"):
        manifest.version = 4  # type: ignore[misc]


def test_build_for_an_unlisted_profile_is_refused(manifest: FleetManifest) -> None:
    data = json.loads(dump(manifest)) | {"profiles": {}}
    with pytest.raises(IntegrityError, match="edge-x86-vnni, which is not listed"):
        parse(FleetManifest, json.dumps(data).encode())


def test_manifest_of_another_channel_is_refused(manifest: FleetManifest) -> None:
    manifest.require_channel("stable")
    with pytest.raises(IntegrityError, match="channel stable"):
        manifest.require_channel("canary")


def test_a_larger_document_is_read_where_that_is_said() -> None:
    raw = b'{"name": "' + b"x" * (5 * 2**20) + b'"}'
    with pytest.raises(IntegrityError, match="a document has at most 4194304"):
        parse(_Named, raw)
    assert len(parse(_Named, raw, limit=6 * 2**20).name) == 5 * 2**20


class _Named(Wire):
    name: str


def test_only_candidates_have_measurement_cases(manifest: FleetManifest) -> None:
    said = manifest.model_dump(mode="json")
    build = next(iter(said["workflows"]["exception_triage"]["builds"].values()))
    build["cases"] = build["bundle"]["manifest"]
    with pytest.raises(IntegrityError, match="only candidates are measured"):
        parse(FleetManifest, json.dumps(said).encode())
    offered = parse(FleetManifest, json.dumps(said | {"channel": "candidates"}).encode())
    assert parse(FleetManifest, dump(offered)) == offered
