"""The one moment in which trust is given."""

from __future__ import annotations

import json
import stat
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IntegrityError, RefusedError, StorageError, UsageError
from runtimes.sync import enroll, load_active
from runtimes.sync.site import load_enrolment, load_root, pack_key

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
        ("source", "ftp://fleet.example", "an http, https, s3 or file address or a folder"),
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


def key_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "class.key"
    path.write_text(text)
    return path


def test_a_pack_key_is_kept_for_its_owner_only(tmp_path: Path, arguments: dict[str, Any], site_class_key: Any) -> None:
    state, (key, _) = tmp_path / "state", site_class_key
    text = f"# created: 2026-11-25T10:00:00Z\n# public key: {key.to_public()}\n{key}\n"
    made = enroll(state, **arguments, pack_key=key_file(tmp_path, text))
    kept = state / "pack-key"
    assert kept.read_text() == f"{key}\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert pack_key(state) == kept
    assert str(key) not in made.model_dump_json()
    assert not list(state.glob(".tmp-*"))


def test_without_a_pack_key_there_is_none(tmp_path: Path, arguments: dict[str, Any]) -> None:
    enroll(tmp_path / "state", **arguments)
    assert pack_key(tmp_path / "state") is None


def test_a_pack_key_is_replaced_by_enrolling_again(
    tmp_path: Path, arguments: dict[str, Any], site_class_key: Any
) -> None:
    state, (one, two) = tmp_path / "state", site_class_key
    first = enroll(state, **arguments)
    assert enroll(state, **arguments, pack_key=key_file(tmp_path, f"{one}\n")) == first
    (state / "pack-key").chmod(0o644)
    assert enroll(state, **arguments, pack_key=key_file(tmp_path, f"{two}\n")) == first
    assert (state / "pack-key").read_text() == f"{two}\n"
    assert stat.S_IMODE((state / "pack-key").stat().st_mode) == 0o600
    enroll(state, **arguments)
    assert (state / "pack-key").read_text() == f"{two}\n", "enrolling without a key takes none away"


def test_a_left_over_that_others_may_read_is_not_written_to(
    tmp_path: Path, arguments: dict[str, Any], site_class_key: Any
) -> None:
    state = tmp_path / "state"
    enroll(state, **arguments)
    left = state / ".tmp-pack-key"
    left.write_text("")
    left.chmod(0o644)
    with left.open() as held:
        enroll(state, **arguments, pack_key=key_file(tmp_path, f"{site_class_key[0]}\n"))
        assert held.read() == ""
    assert stat.S_IMODE((state / "pack-key").stat().st_mode) == 0o600


def test_another_sites_enrolment_takes_no_key(tmp_path: Path, arguments: dict[str, Any], site_class_key: Any) -> None:
    state = tmp_path / "state"
    enroll(state, **arguments)
    with pytest.raises(RefusedError, match="enrolled already with site"):
        enroll(state, **(arguments | {"site": "x"}), pack_key=key_file(tmp_path, f"{site_class_key[0]}\n"))
    assert pack_key(state) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "SECRETSECRET",
        "AGE-SECRET-KEY-1SECRETSECRET",
        "age1qqqqSECRETSECRET",
        "{key}\n{key}\n",
        "{key} SECRETSECRET\n",
        "SECRETSECRET\n{key}\n",
    ],
)
def test_what_is_no_pack_key_is_refused_and_not_repeated(
    tmp_path: Path, arguments: dict[str, Any], site_class_key: Any, text: str
) -> None:
    state, (key, _) = tmp_path / "state", site_class_key
    path = key_file(tmp_path, text.format(key=key))
    with pytest.raises(UsageError, match=r"class\.key: one line AGE-SECRET-KEY-1\.\.\. was expected") as caught:
        enroll(state, **arguments, pack_key=path)
    said = "".join(traceback.format_exception(caught.value))
    assert "SECRETSECRET" not in said
    assert str(key) not in said
    assert not state.exists()


def test_a_pack_key_that_is_not_there(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the secret key of the site class was expected: No such file"):
        enroll(tmp_path / "state", **arguments, pack_key=tmp_path / "gone")
    assert not (tmp_path / "state").exists()


def test_a_key_that_is_no_text(tmp_path: Path, arguments: dict[str, Any]) -> None:
    path = tmp_path / "class.key"
    path.write_bytes(b"\xff\xfe" * 100_000)
    with pytest.raises(UsageError, match="one line AGE-SECRET-KEY"):
        enroll(tmp_path / "state", **arguments, pack_key=path)
