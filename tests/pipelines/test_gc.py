"""`lading release gc` on a project: what reports and pending releases name stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fleet_manifests import UsageError, digest_of
from pipelines.cli.fleet import app
from pipelines.project.load import load_project
from pipelines.steps.release import release_of
from release.pending import FOLDER

pytestmark = pytest.mark.unit


@pytest.fixture
def published(
    project_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, Path]]:
    """A project with a published tree, and three blobs in it that no release names."""
    monkeypatch.setenv("LADING_KEYS", str(tmp_path / "keys"))
    root = project_folder()
    release = release_of(load_project(root))
    release.init()
    blobs = {}
    for name in ("reported", "pending", "forgotten"):
        path = release.repository.public / "blobs/sha256" / digest_of(name.encode()).removeprefix("sha256:")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        blobs[name] = path
    reports, pending = tmp_path / "reports", root / FOLDER
    for folder, name in ((reports, "reported"), (pending, "pending")):
        folder.mkdir(parents=True)
        (folder / "one.json").write_text(json.dumps({"bundle": digest_of(name.encode())}))
    return root, blobs


def run(*words: Any) -> str:
    done = CliRunner().invoke(app, ["release", "gc", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_dry_run_then_a_real_one(published: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    root, blobs = published
    options = ("--project", root, "--reports", tmp_path / "reports")
    said = json.loads(run(*options, "--dry-run", "--json"))
    assert said["removed"] == [f"blobs/sha256/{blobs['forgotten'].name}"]
    assert (said["bytes"], said["dry_run"]) == (9, True)
    assert all(path.exists() for path in blobs.values())
    assert run(*options, "--as", "alice").startswith("1 files of 0.0 MB removed, ")
    assert {name: path.exists() for name, path in blobs.items()} == {
        "reported": True, "pending": True, "forgotten": False,
    }  # fmt: skip
    (entry,) = [one for one in release_of(load_project(root)).desk.log.entries() if one.action == "collect"]
    assert (entry.actor, entry.reason) == ("alice", "1 files of 9 bytes that nobody needs")


def test_a_folder_of_reports_that_is_not_there(published: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    root, blobs = published
    with pytest.raises(UsageError, match="what its sites run could go"):
        run("--project", root, "--reports", tmp_path / "repots")
    assert all(path.exists() for path in blobs.values())
