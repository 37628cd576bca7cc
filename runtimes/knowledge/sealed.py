"""Packs above data class `internal`: their files are age files for the key of a site class.

The format is age v1 (https://age-encryption.org/v1), written and read by pyrage; nothing of
it is made here. The plain text of a pack exists in the memory of who opens it and nowhere
else (`runtimes.knowledge.spill`). Encrypting twice gives different bytes: age takes a fresh key for each file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import IntegrityError, RefusedError, StorageError, UsageError
from runtimes.knowledge.layout import FILES
from runtimes.knowledge.store import Writer, missing

if TYPE_CHECKING:
    from pyrage.x25519 import Identity, Recipient

SUFFIX = ".age"
NO_MATCH = "No matching keys found"
"""What pyrage says when a file is sound but for somebody else."""


def encrypt_files(folder: Path, recipient: str) -> None:
    """Turn the files beside `pack.json` into age files (`<name>.age`); the plain ones are removed.

    Args:
        folder: where `write` has put them.
        recipient: the public key of the site class, `age1...`.

    Raises:
        UsageError: `recipient` is not an age public key.
        IntegrityError: a file is missing.
        StorageError: the folder cannot be written.
    """
    import pyrage

    key = _recipient(recipient)
    for name in FILES:
        if not (folder / name).is_file():
            raise missing(folder, name)
    try:
        for name in FILES:
            partial = folder / (name + SUFFIX + ".partial")
            with (folder / name).open("rb") as reader, partial.open("wb") as writer:
                pyrage.encrypt_io(reader, writer, [key])
            os.replace(partial, folder / (name + SUFFIX))
            (folder / name).unlink()
    except OSError as exc:
        raise StorageError(f"{folder}: cannot be written: {exc}; free space or choose a writable folder") from exc


def opener(folder: Path, identity: bytes | None, site_class: str) -> Callable[[str, Writer], None]:
    """A function that decrypts a file of a pack, by the plain file's name, into what takes plain text.

    Args:
        folder: the pack.
        identity: the secret key of the site class as `age-keygen` writes it: `AGE-SECRET-KEY-1...`,
            and perhaps lines of comment.
        site_class: whose key it must be, for messages.

    Raises:
        RefusedError: no key, or something that is not a key; the function raises it for the key of others.
        IntegrityError: the function, for a file that is missing or damaged.
    """
    if identity is None:
        raise RefusedError(
            f"{folder}: the pack is encrypted and the key of site class {site_class!r} is missing here; "
            "ask the publisher for it and enroll again with it"
        )
    key = _identity(identity, site_class)
    return lambda name, writer: _decrypt(folder, name, key, site_class, writer)


def _decrypt(folder: Path, name: str, key: Identity, site_class: str, writer: Writer) -> None:
    """Write the plain text of one file."""
    import pyrage

    path = folder / (name + SUFFIX)
    try:
        with path.open("rb") as reader:
            pyrage.decrypt_io(reader, writer, [key])
    except FileNotFoundError as exc:
        raise missing(folder, path.name) from exc
    except pyrage.DecryptError as exc:
        if NO_MATCH in str(exc):
            raise RefusedError(
                f"{path}: encrypted for another key than the one given; the key of site class {site_class!r} is needed"
            ) from exc
        raise IntegrityError(f"{path}: damaged: {exc}; fetch the pack again") from exc
    except OSError as exc:  # pyrage's own word for a body that was changed or cut
        raise IntegrityError(f"{path}: damaged: {exc}; fetch the pack again") from exc


def _recipient(text: str) -> Recipient:
    """A public key."""
    import pyrage

    try:
        return pyrage.x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError as exc:
        raise UsageError(f"recipient: an age public key (age1...) was expected: {exc}") from exc


def _identity(raw: bytes, site_class: str) -> Identity:
    """A secret key. A message never shows it."""
    import pyrage

    lines = [line.strip() for line in raw.decode("utf-8", "replace").splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) != 1:
        raise RefusedError(
            f"key of site class {site_class!r}: one line AGE-SECRET-KEY-1... expected, found {len(keys)}"
        )
    try:
        return pyrage.x25519.Identity.from_str(keys[0])
    except pyrage.IdentityError:
        # Without its cause, which might quote what it was given.
        raise RefusedError(f"key of site class {site_class!r}: not an age secret key (AGE-SECRET-KEY-1...)") from None
