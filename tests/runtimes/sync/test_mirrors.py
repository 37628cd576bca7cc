"""Blobs from somewhere else than the signed metadata: a registry double, and what a mirror may do wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import UsageError
from runtimes.sync import load_active, status
from runtimes.sync.seam import MissingError
from runtimes.sync.sources import normal_blobs_address, open_source

pytestmark = pytest.mark.unit
REPOSITORY = "acme/models"


@pytest.mark.parametrize(
    "address",
    [
        "oci+https://registry.example/acme/models",
        "oci+http://127.0.0.1:5000/models",
        "https://mirror.example/public",
        "s3://models/public",
        "/mnt/mirror",
    ],
)
def test_what_blobs_may_come_from(address: str) -> None:
    assert normal_blobs_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "oci+https://registry.example",
        "oci+https://registry.example/",
        "oci+https://registry.example/Acme",
        "oci+https://registry.example/acme/../other",
        "oci+https://user@registry.example/acme",
        "oci+https://registry.example/acme?x=1",
        "oci+s3://bucket/acme",
        "oci+/folder",
        "ftp://registry.example/acme",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError):
        normal_blobs_address(address)


class Registry:
    """A folder of blobs as a registry gives them: manifests in their own place, and only to who takes their type."""

    def __init__(self, folder: Path, make_web: Callable[[Path], Any], repository: Any) -> None:
        self.folder = folder
        for kind in ("blobs", "manifests"):
            (folder / "v2" / REPOSITORY / kind).mkdir(parents=True)
        self.copy(repository.folder)
        self.web = make_web(folder)

    @property
    def address(self) -> str:
        return f"oci+{self.web.address}/{REPOSITORY}"

    def copy(self, public: Path) -> None:
        for path in (public / "blobs/sha256").iterdir():
            raw = path.read_bytes()
            kind = "manifests" if b"oci.image.manifest" in raw else "blobs"
            (self.folder / "v2" / REPOSITORY / kind / f"sha256:{path.name}").write_bytes(raw)


@pytest.fixture
def registry(tmp_path: Path, make_web: Any, repository: Any) -> Registry:
    return Registry(tmp_path / "registry", make_web, repository)


@pytest.fixture
def mirrored(web_station: Any, registry: Registry, tmp_path: Path) -> Any:
    """A site that asks the registry first."""
    web_station.state = tmp_path / "mirrored"
    web_station.enroll(open_address(web_station), blobs=registry.address)
    return web_station


def open_address(site: Any) -> str:
    """The source that a site was enrolled with before."""
    record = json.loads((site.state.parent / "web-state" / "site.json").read_text())
    return str(record["source"])


@pytest.fixture
def asked(web: Any) -> Iterator[Callable[[], list[str]]]:
    """The blobs that the origin was asked for."""
    yield lambda: [path for path, _ in web.requests if "/blobs/" in path]


def test_every_blob_comes_from_the_registry(mirrored: Any, registry: Registry, asked: Callable[[], list[str]]) -> None:
    assert mirrored.sync().changed
    assert mirrored.content() == "one"
    assert asked() == []
    assert any("/manifests/" in path for path, _ in registry.web.requests)
    assert status(mirrored.state).last_sync.fallbacks == ()


def test_the_registry_is_never_asked_for_metadata(mirrored: Any, registry: Registry) -> None:
    mirrored.sync()
    assert all(f"/v2/{REPOSITORY}/" in path for path, _ in registry.web.requests)
    with pytest.raises(MissingError, match="gives blobs only"), open_source(registry.address).open("metadata/x"):
        pass


def test_what_the_registry_lacks_is_asked_of_the_source(
    mirrored: Any, registry: Registry, asked: Callable[[], list[str]]
) -> None:
    for path in list((registry.folder / "v2" / REPOSITORY / "blobs").iterdir())[:2]:
        path.unlink()
    mirrored.sync()
    assert mirrored.content() == "one"
    assert len(asked()) == 2 or len(asked()) == 1
    assert status(mirrored.state).last_sync.fallbacks == ()


@pytest.mark.parametrize("lie", [b"evil", b"evil" * 100_000, b""], ids=["short", "long", "empty"])
def test_registry_returns_another_blob_for_a_digest(
    mirrored: Any, registry: Registry, asked: Callable[[], list[str]], lie: bytes
) -> None:
    """It is found out by the first blob, and not asked again in this sync."""
    for kind in ("blobs", "manifests"):
        for path in (registry.folder / "v2" / REPOSITORY / kind).iterdir():
            path.write_bytes(lie)
    mirrored.sync()
    assert mirrored.content() == "one"
    assert len({path for path, _ in registry.web.requests}) <= 2
    (reason,) = status(mirrored.state).last_sync.fallbacks
    assert registry.address in reason or "other bytes were received than the publisher signed" in reason
    assert not list((mirrored.state / "blobs/sha256").glob("*.part"))


def test_registry_breaks_off_in_the_middle_and_the_source_goes_on(
    mirrored: Any, registry: Registry, asked: Callable[[], list[str]]
) -> None:
    registry.web.drop_after = 100
    mirrored.sync()
    assert mirrored.content() == "one"
    assert len(asked()) > 2


def test_registry_gives_a_poisoned_beginning_and_breaks_off(
    mirrored: Any, registry: Registry, asked: Callable[[], list[str]]
) -> None:
    """What it left behind is resumed from the source, found to be wrong, and fetched anew."""
    for path in (registry.folder / "v2" / REPOSITORY / "blobs").iterdir():
        path.write_bytes(b"evil" * (path.stat().st_size // 4 + 1))
    registry.web.drop_after = 50
    mirrored.sync()
    assert mirrored.content() == "one"


def test_registry_that_is_down_costs_one_blobs_attempts(mirrored: Any, registry: Registry) -> None:
    registry.web.status = 503
    mirrored.sync()
    assert mirrored.content() == "one"
    assert len(registry.web.requests) == 4
    (reason,) = status(mirrored.state).last_sync.fallbacks
    assert "HTTP 503" in reason


@pytest.fixture
def elsewhere(registry: Registry, make_web: Any) -> Any:
    """Where the registry stores its blobs: it sends on to there."""
    made = make_web(registry.folder)
    registry.web.status, registry.web.location = 307, f"{made.address}{{path}}"
    return made


def test_registry_sends_on_to_where_its_blobs_are(
    mirrored: Any, registry: Registry, elsewhere: Any, asked: Callable[[], list[str]]
) -> None:
    mirrored.sync()
    assert mirrored.content() == "one"
    assert asked() == []
    assert len(elsewhere.requests) == len(registry.web.requests) > 2
    assert status(mirrored.state).last_sync.fallbacks == ()


def test_registry_sends_on_to_another_blob(mirrored: Any, elsewhere: Any, asked: Callable[[], list[str]]) -> None:
    """Every byte is hashed, whoever gave it."""
    elsewhere.replace[""] = b"evil"
    mirrored.sync()
    assert mirrored.content() == "one"
    assert asked() != []
    assert len({path for path, _ in elsewhere.requests}) <= 2
    (reason,) = status(mirrored.state).last_sync.fallbacks
    assert reason


def test_registry_sends_on_to_an_endless_blob(mirrored: Any, elsewhere: Any, asked: Callable[[], list[str]]) -> None:
    """Its signed size bounds it."""
    elsewhere.endless = ""
    mirrored.sync()
    assert mirrored.content() == "one"
    (reason,) = status(mirrored.state).last_sync.fallbacks
    assert "goes on after its" in reason


def test_a_break_behind_a_registry_that_sends_on_is_resumed(
    mirrored: Any, registry: Registry, elsewhere: Any, asked: Callable[[], list[str]]
) -> None:
    """What is missing is asked for by `Range`, over the same way."""
    elsewhere.drop_after = 4000
    mirrored.sync()
    assert mirrored.content() == "one"
    assert any(part for _, part in elsewhere.requests)
    assert all(part is None or part.startswith("bytes=") for _, part in registry.web.requests)


def test_registry_that_sends_on_for_ever(mirrored: Any, registry: Registry, asked: Callable[[], list[str]]) -> None:
    registry.web.status, registry.web.location = 307, "{path}"
    mirrored.sync()
    assert mirrored.content() == "one"
    (reason,) = status(mirrored.state).last_sync.fallbacks
    assert "sent on more than 4 times" in reason


def test_a_stick_serves_without_the_registry(mirrored: Any, registry: Registry, tmp_path: Path) -> None:
    assert mirrored.sync(source=str(mirrored.repository.folder)).changed
    assert registry.web.requests == []


def test_a_mirror_may_be_any_source(web_station: Any, web: Any, tmp_path: Path, asked: Callable[[], list[str]]) -> None:
    origin = open_address(web_station)
    web_station.state = tmp_path / "other"
    web_station.enroll(origin, blobs=str(web_station.repository.folder))
    web_station.sync()
    assert web_station.content() == "one"
    assert asked() == []


def test_the_mirror_is_part_of_the_enrolment(mirrored: Any, registry: Registry) -> None:
    assert status(mirrored.state).enrolment.blobs == registry.address
    mirrored.enroll(open_address(mirrored), blobs=registry.address)
    mirrored.sync()
    assert load_active(mirrored.state) is not None
