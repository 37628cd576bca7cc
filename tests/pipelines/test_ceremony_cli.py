"""`lading release ceremony` and `keys`: says what it will do, asks, does it, says what is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fleet_manifests import LadingError, RefusedError, UsageError
from pipelines.cli.fleet import app
from pipelines.project.load import load_project
from pipelines.steps.release import release_of

pytestmark = pytest.mark.unit


@pytest.fixture
def project(project_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without a release."""
    monkeypatch.setenv("LADING_KEYS", str(tmp_path / "keys"))
    root = project_folder()
    monkeypatch.setenv("LADING_PROJECT", str(root))
    return root


@pytest.fixture
def media(tmp_path: Path) -> list[str]:
    """The options that name three media."""
    return [word for number in (1, 2, 3) for word in ("--keys", str(tmp_path / f"medium-{number}"))]


def run(*words: str, answer: str | None = None, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["release", *words], input=answer)
    if isinstance(done.exception, LadingError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def root_version(project: Path) -> int:
    version: int = release_of(load_project(project)).repository.state().root.signed.version
    return version


def test_the_first_root_is_told_asked_and_made(project: Path, media: list[str], tmp_path: Path) -> None:
    said = run("ceremony", "init", "--as", "alice", *media, answer="n\n", code=1)
    assert "make root-1, root-2, root-3" in said
    assert not (project / "public").exists()
    said = run("ceremony", "init", "--as", "alice", *media, answer="y\n")
    assert f"root-2: in {tmp_path / 'medium-2'}; store it offline" in said
    assert "1.root.json: bring it to each site" in said
    assert root_version(project) == 1
    assert not (tmp_path / "keys" / "root-1.pem").exists()


@pytest.mark.parametrize(
    ("words", "version"),
    [
        (("ceremony", "rotate-root"), 2),
        (("ceremony", "rotate-root", "root-3"), 2),
        (("ceremony", "rotate-targets"), 2),
        (("ceremony", "replace-online"), 2),
        (("ceremony", "replace-builder"), 1),
        (("ceremony", "replace-builder", "--not-leaked"), 1),
        (("ceremony", "replace-manager", "alice", "--approve", "alice", "--approve", "bob"), 1),
        (("ceremony", "renew"), 2),
        (("ceremony", "adopt"), 1),
        (("keys", "rotate", "root"), 2),
        (("keys", "rotate", "online"), 2),
        (("keys", "rotate", "bob", "--approve", "alice", "--approve", "bob"), 1),
    ],
    ids=lambda value: "-".join(value[:3]) if isinstance(value, tuple) else "",
)
def test_every_ceremony(project: Path, media: list[str], words: tuple[str, ...], version: int) -> None:
    run("ceremony", "init", "--as", "alice", "--yes", *media)
    said = run(*words, "--as", "alice", "--reason", "a test", "--yes", *media)
    assert "done, and in the release log" in said
    assert root_version(project) == version
    assert release_of(load_project(project)).init() is False
    entries = json.loads(run("log", "--json"))
    assert (entries[-1]["actor"], entries[-1]["reason"]) == ("alice", "a test")
    assert entries[-1]["action"].startswith("ceremony ")


@pytest.mark.parametrize(
    ("words", "version"),
    [
        (("ceremony", "rotate-root", "root-1"), 2),
        (("ceremony", "rotate-targets", "targets-1"), 2),
        (("ceremony", "replace-online"), 2),
        (("ceremony", "replace-builder"), 1),
        (("ceremony", "replace-manager", "alice", "--approve", "alice", "--approve", "bob"), 1),
        (("ceremony", "renew"), 2),
        (("keys", "rotate", "online"), 2),
    ],
    ids=lambda value: "-".join(value[:3]) if isinstance(value, tuple) else "",
)
def test_every_ceremony_in_turns(project: Path, media: list[str], words: tuple[str, ...], version: int) -> None:
    run("ceremony", "init", "--as", "alice", "--yes", *media)
    said = run(*words, "--in-turns", "--as", "alice", "--reason", "a test", "--yes", *media[:2])
    assert "leave it pending, signed with the keys at hand" in said
    assert "still pending: every other holder signs with `lading release ceremony sign" in said
    assert root_version(project) == 1
    said = run("ceremony", "sign", "--as", "bob", *media[2:4], answer="n\n", code=1)
    assert "begun by alice on" in said
    assert "signed so far: " in said
    assert root_version(project) == 1
    said = run("ceremony", "sign", "--as", "bob", *media[2:4], answer="y\n")
    assert "published: all have signed" in said
    assert root_version(project) == version
    assert release_of(load_project(project)).init() is False
    entries = json.loads(run("log", "--json"))
    assert {entry["actor"] for entry in entries} == {"alice", "bob"}
    assert entries[-1]["reason"] == "a test"


def test_a_ceremony_in_turns_is_rejected(project: Path, media: list[str]) -> None:
    run("ceremony", "init", "--as", "alice", "--yes", *media)
    with pytest.raises(UsageError, match="ceremony successor root-2 --keys MEDIUM"):
        run("ceremony", "rotate-root", "--in-turns", "--as", "alice", "--reason", "a test", "--yes", *media[:2])
    for number, name in ((2, "root-2"), (3, "root-3")):
        said = run("ceremony", "successor", name, "--as", "bob", "--yes", *media[2 * number - 2 : 2 * number])
        assert "its public half is in the key store" in said
    run("ceremony", "rotate-root", "--in-turns", "--as", "alice", "--reason", "a test", "--yes", *media[:2])
    said = " ".join(run("status").split())
    assert ": pending, begun by alice on" in said
    assert "more of the root keys" in said
    held = json.loads(run("status", "--json"))["ceremony"]
    assert (held["begun_by"], held["reason"]) == ("alice", "a test")
    run("ceremony", "reject", "--as", "bob", "--reason", "not now", "--yes")
    assert json.loads(run("status", "--json")).get("ceremony") is None
    with pytest.raises(RefusedError, match="no ceremony is pending"):
        run("ceremony", "sign", "--as", "bob", "--yes", *media[2:4])


def test_without_the_media_nothing_is_done(project: Path, media: list[str]) -> None:
    run("ceremony", "init", "--as", "alice", "--yes", *media)
    with pytest.raises(RefusedError, match="0 of them are at hand; bring the folder or medium"):
        run("ceremony", "replace-online", "--as", "alice", "--reason", "a test", "--yes")
    assert root_version(project) == 1


def test_a_medium_inside_the_project_is_refused(project: Path) -> None:
    with pytest.raises(UsageError, match="keep keys apart from it"):
        run("ceremony", "init", "--as", "alice", "--yes", "--keys", str(project / "keys"))


def test_list_says_which_keys_sign_from_here(project: Path, media: list[str]) -> None:
    run("ceremony", "init", "--as", "alice", "--yes", *media)
    found: dict[str, Any] = {one["name"]: one for one in json.loads(run("keys", "list", "--json"))}
    assert [name for name, one in found.items() if one["here"]] == ["builder", "online", "manager-alice", "manager-bob"]
    assert found["root-1"]["medium"] == "elsewhere; its public half is known"
    assert all(one["keyid"] for one in found.values())
    assert "root-1" in run("keys", "list")


def test_export_public_lets_private_keys_move_away(project: Path, tmp_path: Path) -> None:
    release_of(load_project(project)).init()
    out = tmp_path / "out"
    written = run("keys", "export-public", str(out)).split()
    assert len(written) == len(list(out.iterdir())) == 10
    assert all(b"PUBLIC" in path.read_bytes() and b"PRIVATE" not in path.read_bytes() for path in out.iterdir())
    store, medium = tmp_path / "keys", tmp_path / "medium"
    medium.mkdir(mode=0o700)
    for path in [*store.glob("root-*.pem"), *store.glob("targets-*.pem")]:
        path.rename(medium / path.name)
    run("ceremony", "renew", "--as", "alice", "--yes", "--keys", str(medium))
    assert root_version(project) == 2


def test_no_private_key_on_the_screen(project: Path, media: list[str]) -> None:
    said = run("ceremony", "init", "--as", "alice", "--yes", *media)
    said += run("ceremony", "replace-online", "--as", "alice", "--reason", "a test", "--yes", *media)
    assert "PRIVATE" not in said
