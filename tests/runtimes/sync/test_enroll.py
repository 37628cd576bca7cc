"""The one moment in which trust is given."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IntegrityError, RefusedError, StorageError, UsageError
from runtimes.sync import enroll, load_active
from runtimes.sync.site import load_enrolment, load_root

pytestmark = pytest.mark.unit


@pytest.fixture
def arguments(repository: Any) -> dict[str, Any]:
    return {"root": repository.root_file, "source": str(repository.folder), "site": "store-017", "kind": "edge"}


def test_enrolment_pins_root_source_and_site(tmp_path: Path, arguments: dict[str, Any]) -> None:
    state = tmp_path / "a" / "state"
    made = enroll(state, **arguments)
    assert made == load_enrolment(state)
    assert (made.site, made.kind, made.source) == ("store-017", "edge", arguments["source"])
    assert load_root(state, made) == arguments["root"].read_bytes()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert load_active(state) is None


def test_enrolling_the_same_again_changes_nothing(tmp_path: Path, arguments: dict[str, Any]) -> None:
    state = tmp_path / "state"
    first = enroll(state, **arguments)
    assert enroll(state, **arguments) == first


@pytest.mark.parametrize(
    ("field", "value"), [("site", "store-018"), ("kind", "central"), ("source", "https://elsewhere.example")]
)
def test_enrolling_differently_is_refused(tmp_path: Path, arguments: dict[str, Any], field: str, value: str) -> None:
    state = tmp_path / "state"
    first = enroll(state, **arguments)
    with pytest.raises(RefusedError, match=f"enrolled already with {field}"):
        enroll(state, **(arguments | {field: value}))
    assert load_enrolment(state) == first


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("site", "Store 17", "a name of small letters"),
        ("site", "../evil", "a name of small letters"),
        ("kind", "cloud", "the kind edge or central"),
        ("source", "ftp://fleet.example", "an http, https or file address or a folder"),
        ("source", "https://user:secret@fleet.example", "credentials belong into ~/.netrc"),
        ("source", "https://fleet.example/?token=secret", "a plain address was expected"),
        ("source", "file://host/share", "three slashes"),
    ],
)
def test_bad_arguments_leave_nothing(
    tmp_path: Path, arguments: dict[str, Any], field: str, value: str, match: str
) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        enroll(tmp_path / "state", **(arguments | {field: value}))
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "state").exists()


def spoiled(root: Path) -> bytes:
    found = json.loads(root.read_bytes())
    found["signed"]["version"] = 7
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"{}", "does not verify"),
        (b"not json", "does not verify"),
        (b"[" * 200_000, "does not verify"),
        (b" " * 512_001, "more than 512000 bytes"),
        (spoiled, "not enough valid signatures"),
        (None, "No such file"),
    ],
)
def test_a_root_that_is_none_leaves_nothing(tmp_path: Path, arguments: dict[str, Any], raw: Any, match: str) -> None:
    root = tmp_path / "root.json"
    if raw is not None:
        root.write_bytes(raw(arguments["root"]) if callable(raw) else raw)
    with pytest.raises(UsageError, match=match):
        enroll(tmp_path / "state", **(arguments | {"root": root}))
    assert not (tmp_path / "state").exists()


def test_another_role_is_no_root(tmp_path: Path, arguments: dict[str, Any], repository: Any) -> None:
    root = repository.folder / "metadata" / "timestamp.json"
    with pytest.raises(UsageError, match=r"root\.json was expected"):
        enroll(tmp_path / "state", **(arguments | {"root": root}))


def test_a_state_folder_that_is_a_file(tmp_path: Path, arguments: dict[str, Any]) -> None:
    (tmp_path / "state").write_text("mine")
    with pytest.raises(StorageError, match="state"):
        enroll(tmp_path / "state", **arguments)
    assert (tmp_path / "state").read_text() == "mine"


def test_a_damaged_enrolment(tmp_path: Path, arguments: dict[str, Any]) -> None:
    state = tmp_path / "state"
    enroll(state, **arguments)
    (state / "site.json").write_bytes(b'{"site": 1}')
    with pytest.raises(IntegrityError, match=r"site\.json"):
        load_enrolment(state)


def test_an_enrolment_that_was_broken_off_is_none(tmp_path: Path, arguments: dict[str, Any]) -> None:
    state = tmp_path / "state"
    enroll(state, **arguments)
    (state / "site.json").unlink()
    with pytest.raises(UsageError, match="is not enrolled"):
        load_enrolment(state)
    enroll(state, **(arguments | {"site": "store-018"}))
    assert load_enrolment(state).site == "store-018"


def test_a_relative_folder_and_a_file_address_are_the_same_source(
    tmp_path: Path, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(arguments["source"])
    first = enroll(tmp_path / "state", **arguments)
    monkeypatch.chdir(folder.parent)
    assert enroll(tmp_path / "state", **(arguments | {"source": folder.name})) == first
    assert enroll(tmp_path / "state", **(arguments | {"source": f"file://{folder}"})) == first


def test_an_expired_root_is_followed_to_its_successor(station: Any) -> None:
    """A site that lay in a drawer for a year: its root has expired, the one after it has not."""
    repository = station.repository
    later = repository.expires + timedelta(days=300)
    for metadata in repository.metadata.values():
        metadata.signed.expires = later + timedelta(days=1)
    repository.metadata["root"].signed.version += 1
    repository.sign("root")
    repository.release(2, expires=later + timedelta(days=1))
    assert station.sync(later).active.manifest_version == 2
