"""Addresses, and what the two kinds of source do with a file."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import StorageError, UnreachableError, UsageError
from runtimes.sync.seam import MissingError, storing, trusting
from runtimes.sync.sources import FolderSource, normal_address, open_source
from runtimes.sync.web import HttpSource

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("https://fleet.example/public/", "https://fleet.example/public"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("s3://models/public/", "s3://models/public"),
        ("s3://models", "s3://models"),
        ("file:///media/usb%20stick/public", "/media/usb stick/public"),
        ("file://localhost/media", "/media"),
        ("/media/usb", "/media/usb"),
    ],
)
def test_addresses_have_one_form(given: str, normal: str) -> None:
    assert normal_address(given) == normal
    assert normal_address(normal) == normal


@pytest.mark.parametrize("address", [
    "ftp://x/y", "s3://", "s3://key:secret@bucket", "s3://bucket/../x?y", "s3://B", "oci+https://host/name",
    "https://", "http://a@b", "http://a/#b", "file://b/c",
])  # fmt: skip
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError):
        normal_address(address)


def test_the_address_decides_the_kind() -> None:
    assert isinstance(open_source("https://fleet.example"), HttpSource)
    assert isinstance(open_source("/media"), FolderSource)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata/file").write_bytes(b"0123456789" * 60_000)
    return tmp_path


@pytest.fixture(params=["folder", "http"])
def source(request: pytest.FixtureRequest, folder: Path, make_web: Any) -> Any:
    made = open_source(str(folder) if request.param == "folder" else make_web(folder).address)
    yield made
    made.close()


@pytest.mark.parametrize("offset", [0, 1, 599_999, 300_000])
def test_a_file_from_an_offset_on(source: Any, offset: int) -> None:
    with source.open("metadata/file", offset) as stream:
        assert stream.start == offset
        assert b"".join(stream.chunks) == (b"0123456789" * 60_000)[offset:]


def test_a_file_that_is_not_there(source: Any) -> None:
    with pytest.raises(MissingError, match="has no metadata/other"), source.open("metadata/other"):
        pass
    with pytest.raises(MissingError, match="has no metadata/file/other"), source.open("metadata/file/other"):
        pass


def test_an_error_of_the_reader_is_not_one_of_the_source(source: Any) -> None:
    """A full disk while writing what was read is a matter of this machine."""
    with pytest.raises(OSError, match="No space left") as caught, source.open("metadata/file"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not isinstance(caught.value, UnreachableError)


def test_a_folder_is_no_file(folder: Path) -> None:
    (folder / "metadata/sub").mkdir()
    with (
        pytest.raises(UnreachableError, match="a regular file was expected"),
        FolderSource(folder).open("metadata/sub"),
    ):
        pass


def test_a_medium_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="is the medium plugged in"), FolderSource(tmp_path / "no").open("x"):
        pass


def test_nobody_listens() -> None:
    with pytest.raises(UnreachableError, match="Connection refused"), HttpSource("http://127.0.0.1:9").open("x"):
        pass


def test_compression_is_not_asked_for_and_not_undone(folder: Path, make_web: Any) -> None:
    """What is hashed is what came over the line: a small answer cannot swell."""
    import gzip

    web = make_web(folder)
    packed = gzip.compress(b"0" * 1_000_000)
    web.replace = {"file": packed}
    with contextlib.closing(HttpSource(web.address)) as source, source.open("metadata/file") as stream:
        assert b"".join(stream.chunks) == packed


@pytest.mark.parametrize(
    ("number", "match"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "Read-only file system; check the state folder"),
        (errno.EACCES, "Permission denied; check the state folder"),
    ],
)
def test_the_state_folder_cannot_be_written(tmp_path: Path, number: int, match: str) -> None:
    with pytest.raises(StorageError, match=match), storing(tmp_path):
        raise OSError(number, os.strerror(number), "file")


def test_a_download_error_without_a_cause_of_ours() -> None:
    from tuf.api.exceptions import DownloadError

    with pytest.raises(UnreachableError, match="src: odd; check the address"), trusting("src"):
        raise DownloadError("odd")
