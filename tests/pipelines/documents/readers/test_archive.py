"""What is refused before a DOCX is opened."""

from __future__ import annotations

import io
import zipfile

import pytest

from fleet_manifests import DataError
from pipelines.documents.readers import archive
from pipelines.documents.readers.archive import check_archive

pytestmark = pytest.mark.unit


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr("[Content_Types].xml" if name == "types" else name, content)
    return stream.getvalue()


def test_a_small_archive_passes_however_well_it_packs() -> None:
    check_archive(zipped(types=b"<x/>", document=b"0" * 1_000_000))


def test_a_bomb_by_ratio() -> None:
    raw = zipped(types=b"<x/>", bomb=b"\0" * (archive.SMALL + 1))
    assert len(raw) < 100_000
    with pytest.raises(DataError, match="times its size, as a zip bomb"):
        check_archive(raw)


def test_a_bomb_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 10_000)
    with pytest.raises(DataError, match="unpacks to"):
        check_archive(zipped(types=b"<x/>", big=b"0" * 10_001))


def test_too_many_files() -> None:
    with pytest.raises(DataError, match="an archive of 5001 files"):
        check_archive(zipped(types=b"", **{f"f{n}": b"" for n in range(archive.MAX_ENTRIES)}))


def test_a_directory_that_lies_about_sizes_is_not_unpacked_further() -> None:
    raw = bytearray(zipped(types=b"<x/>", bomb=b"\0" * 1_000_000))
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (10).to_bytes(4, "little")  # the size that the directory states
    check_archive(bytes(raw))
    with zipfile.ZipFile(io.BytesIO(raw)) as opened, pytest.raises(zipfile.BadZipFile):
        opened.read("bomb")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"plain text", "not a zip archive"),
        (b"", "not a zip archive"),
        (b"PK\x03\x04 broken", "not a zip archive"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 100, "password"),
        (b"%PDF-1.4", "not a DOCX"),
        (zipped(other=b"x"), "zip archive of something else"),
    ],
)
def test_what_is_no_docx(raw: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_archive(raw)
