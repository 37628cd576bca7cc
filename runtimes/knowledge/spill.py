"""Decrypted bytes that need not stay in memory: a nameless file, encrypted again under a key of this process alone.

A pack is read in pieces, a hundred rows and a few passages for a question, and its age files can only be decrypted
from their beginning. So they are decrypted once, in a stream, and each block of the stream is sealed under a key
that was made for this file, is held in memory and is gone with it (ChaCha20-Poly1305, RFC 8439; the nonce is the
number of the block, and no block is sealed twice). Of 100,000 passages that keeps 84 MB out of memory.
"""

from __future__ import annotations

import os
import tempfile
import weakref

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fleet_manifests import StorageError

BLOCK = 4096
"""Bytes of plain text sealed together; what a read of one row costs."""
TAG = 16


class Spill:
    """Takes plain text as a binary file would, and holds none of it but the last block."""

    def __init__(self) -> None:
        """Make the file, in the folder for temporary files.

        Raises:
            StorageError: it cannot be made.
        """
        self._cipher = ChaCha20Poly1305(ChaCha20Poly1305.generate_key())
        self._rest = bytearray()
        self._size = 0
        self.failure: OSError | None = None
        """What the system said when the file could not be written; who streams into it may say something else."""
        try:
            with tempfile.TemporaryFile() as file:
                self._descriptor = os.dup(file.fileno())
        except OSError as exc:
            raise full(exc) from exc
        self._end = weakref.finalize(self, os.close, self._descriptor)

    def write(self, data: bytes) -> int:
        """Take more.

        Raises:
            OSError: the disk is full.
        """
        self._rest += data
        self._size += len(data)
        whole = len(self._rest) // BLOCK * BLOCK
        if whole:
            self._seal(bytes(self._rest[:whole]))
            del self._rest[:whole]
        return len(data)

    def flush(self) -> None:
        """Nothing: a block is written when it is whole."""

    def blob(self) -> SpilledBlob:
        """All that was taken, to be read in pieces; the end of the writing.

        Raises:
            StorageError: the disk is full.
        """
        try:
            self._seal(bytes(self._rest))
        except OSError as exc:
            raise full(exc) from exc
        self._end.detach()
        return SpilledBlob(self._descriptor, self._cipher, self._size)

    def _seal(self, plain: bytes) -> None:
        """Append blocks; all but the last of the file are whole."""
        first = (self._size - len(self._rest)) // BLOCK
        sealed = b"".join(
            self._cipher.encrypt(_nonce(first + number), plain[start : start + BLOCK], None)
            for number, start in enumerate(range(0, len(plain), BLOCK))
        )
        try:
            while sealed:
                sealed = sealed[os.write(self._descriptor, sealed) :]
        except OSError as exc:
            self.failure = exc
            raise


class SpilledBlob:
    """What a `Spill` took. Safe to share between threads."""

    def __init__(self, descriptor: int, cipher: ChaCha20Poly1305, size: int) -> None:
        """Take over an open file; it is closed when nobody holds the blob any more."""
        self._descriptor = descriptor
        self._cipher = cipher
        self._end = weakref.finalize(self, os.close, descriptor)
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from `offset` on, `size` of them.

        Raises:
            StorageError: the file was changed or closed since it was written.
        """
        first, last = offset // BLOCK, (offset + size - 1) // BLOCK if size else offset // BLOCK - 1
        plain = b"".join(self._open(number) for number in range(first, last + 1))
        start = offset - first * BLOCK
        return plain[start : start + size]

    def close(self) -> None:
        """Close the file, which removes it."""
        self._descriptor = -1
        self._end()

    def _open(self, number: int) -> bytes:
        """One block."""
        try:
            sealed = os.pread(self._descriptor, BLOCK + TAG, number * (BLOCK + TAG))
            return self._cipher.decrypt(_nonce(number), sealed, None)
        except (OSError, InvalidTag) as exc:
            raise StorageError(
                "a decrypted pack's temporary file was changed, cut or closed under this process; start it again"
            ) from exc


def full(exc: OSError) -> StorageError:
    """The error for a file that cannot be written."""
    return StorageError(
        f"{tempfile.gettempdir()}: the temporary file of an encrypted pack cannot be written: {exc}; free some space, "
        "or name another folder in TMPDIR"
    )


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "little")
