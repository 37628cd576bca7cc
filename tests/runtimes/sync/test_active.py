"""What a server reads, and what it refuses to read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IntegrityError, dump, parse
from runtimes.sync.active import CURRENT, PREVIOUS, Active, bundle_folder, current_version, load_active
from runtimes.sync.files import swap_link, write_file
from runtimes.sync.floor import Floor, load_floor

pytestmark = pytest.mark.unit


def record(site: Any) -> Path:
    return site.state / "current" / "active.json"


def test_the_record_survives_a_round_trip(running: Any) -> None:
    active = load_active(running.state)
    assert parse(Active, dump(active)) == active
    assert record(running).read_bytes() == dump(active)


def test_nothing_runs_before_the_first_sync(station: Any) -> None:
    assert load_active(station.state) is None


def test_a_bundle_is_found_below_its_version(running: Any) -> None:
    active = load_active(running.state)
    folder = bundle_folder(running.state, active, "exception_triage")
    assert folder == running.state / "versions/000001-stable-1/bundles/exception_triage--edge-x86-vnni"
    assert (folder / "bundle.json").is_file()
    with pytest.raises(KeyError):
        bundle_folder(running.state, active, "other")


def test_a_server_that_read_before_the_switch_still_finds_its_files(running: Any) -> None:
    active = load_active(running.state)
    running.repository.add_bundle("two")
    running.repository.release(2)
    running.sync()
    assert (bundle_folder(running.state, active, "exception_triage") / "model.onnx").read_bytes() == b"one" * 1000


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda site: record(site).write_bytes(b"{"), "not a JSON document"),
        (lambda site: record(site).unlink(), "cannot be read"),
        (
            lambda site: record(site).write_bytes(record(site).read_bytes().replace(b"000001", b"000002")),
            "is the record of",
        ),
        (lambda site: shutil.rmtree(site.state / "versions" / "000001-stable-1"), "cannot be read"),
        (lambda site: shutil.rmtree(next((site.state / "current/bundles").iterdir())), r"bundle\.json is missing"),
        (lambda site: swap_link(site.state / CURRENT, Path("/etc")), "points to /etc, not to a version"),
        (lambda site: swap_link(site.state / CURRENT, Path("versions/..")), "not to a version"),
        (lambda site: swap_link(site.state / CURRENT, Path("versions/a/b")), "not to a version"),
    ],
)
def test_a_damaged_version_is_said_to_be_one_and_put_right(running: Any, spoil: Any, match: str) -> None:
    spoil(running)
    with pytest.raises(IntegrityError, match=match):
        load_active(running.state)
    assert running.sync().changed
    assert running.content() == "one"


def test_a_folder_in_place_of_the_link(running: Any) -> None:
    (running.state / CURRENT).unlink()
    (running.state / CURRENT).mkdir()
    with pytest.raises(IntegrityError, match="a link to a version was expected; move what is there away"):
        load_active(running.state)


def test_a_previous_version_that_is_damaged_is_no_way_back(running: Any) -> None:
    running.repository.add_bundle("two")
    running.repository.release(2)
    running.sync()
    (running.state / "versions" / "000001-stable-1" / "active.json").unlink()
    running.sync()
    assert current_version(running.state, PREVIOUS) is None
    assert [path.name for path in (running.state / "versions").iterdir()] == ["000002-stable-2"]


def test_a_lost_floor_is_what_the_active_version_proves(running: Any) -> None:
    active = load_active(running.state)
    kept = load_floor(running.state, active)
    (running.state / "floor.json").unlink()
    rebuilt = load_floor(running.state, active)
    unnoted = {channel: one.model_copy(update={"by": None}) for channel, one in kept.manifests.items()}
    assert rebuilt == kept.model_copy(update={"assigned_by": None, "manifests": unnoted}), (
        "all but whose keys they were"
    )
    assert load_floor(running.state, None) == Floor()


def test_a_damaged_floor_stops_the_sync_and_not_the_server(running: Any) -> None:
    (running.state / "floor.json").write_bytes(b"{}}")
    with pytest.raises(IntegrityError, match="remove it to fall back on the active version"):
        running.sync()
    assert running.content() == "one"


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    (tmp_path / ".tmp-file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
