"""What a DOCX may be before it is opened: a zip archive of reasonable size."""

from __future__ import annotations

import io
import zipfile

from fleet_manifests import DataError

MAX_ENTRIES = 5_000
MAX_BYTES = 512 * 1024 * 1024
"""Of all files of an archive together, unpacked."""
MAX_RATIO = 200
"""Unpacked to packed, for archives that unpack to more than `SMALL`."""
SMALL = 20 * 1024 * 1024
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")


def check_archive(raw: bytes) -> None:
    """Refuse what is no DOCX or unpacks to far more than it is; only the directory is read.

    Raises:
        DataError: says which of these it is.
    """
    if raw.startswith(_OLE):
        raise DataError("not a DOCX: an older Word file or one with a password; save it as .docx without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as exc:
        raise DataError("not a DOCX: not a zip archive, or a damaged one; open it in Word and save it again") from exc
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES:
        raise DataError(f"refused: an archive of {len(entries)} files; a DOCX has at most {MAX_ENTRIES}")
    if total > MAX_BYTES:
        raise DataError(f"refused: it unpacks to {total / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read")
    if total > SMALL and total > MAX_RATIO * len(raw):
        raise DataError(f"refused: it unpacks to {total / len(raw):.0f} times its size, as a zip bomb does")
    names = {entry.filename for entry in entries}
    if "[Content_Types].xml" not in names:
        raise DataError("not a DOCX: a zip archive of something else; save the document as .docx")
