"""Bearer tokens: made once, shown once, stored as a digest, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from fleet_manifests import UsageError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Names of this very machine: what goes there is not seen by others."""


def new_token() -> str:
    """A token of 256 random bits."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is stored instead of a token. 256 random bits cannot be guessed, so plain sha256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def read(path: Path) -> str:
    """The token in a file, without white space around it.

    Raises:
        UsageError: the file cannot be read, or does not hold exactly one token.
    """
    try:
        words = path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path}: a file with one token is expected: {exc}") from exc
    if len(words) != 1 or not words[0].isascii() or not words[0].isprintable():
        raise UsageError(f"{path}: exactly one token is expected, found {len(words)} words")
    return words[0]


def write(path: Path, token: str) -> None:
    """Store a token for its owner only, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(token + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
