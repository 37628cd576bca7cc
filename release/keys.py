"""The key store: one folder, one EC P-256 key per role, readable by its owner alone.

Roles: `root-1..3` and `targets-1..3` (threshold 2), `builder`, `online`, `manager-<name>`.
The folder also remembers what a published tree must not be able to change: the roots of
trust that sites were enrolled with, and the number of the last release.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, SSlibKey

from fleet_manifests import RefusedError, StorageError, UsageError

ROOT_KEYS = ("root-1", "root-2", "root-3")
TARGETS_KEYS = ("targets-1", "targets-2", "targets-3")
BUILDER = "builder"
ONLINE = "online"
VARIABLE = "LADING_KEYS"


def manager_key(name: str) -> str:
    """The name of a release manager's key."""
    return f"manager-{name}"


@dataclass(frozen=True)
class SigningKey:
    """One private key."""

    name: str
    path: Path

    @cached_property
    def private(self) -> ec.EllipticCurvePrivateKey:
        """The key itself.

        Raises:
            UsageError: missing, readable by others, or not an EC P-256 key.
        """
        _require_private(self.path)
        try:
            key = serialization.load_pem_private_key(self.path.read_bytes(), password=None)
        except (ValueError, TypeError) as exc:
            raise UsageError(f"key {self.name}: {self.path} is not an unencrypted PEM private key") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise UsageError(f"key {self.name}: {self.path} is not an EC P-256 key")
        return key

    @property
    def public_pem(self) -> bytes:
        """The public key, PEM."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(encoding, form)

    @property
    def public(self) -> SSlibKey:
        """The public key as TUF and DSSE name it."""
        return SSlibKey.from_crypto(self.private.public_key())

    @property
    def signer(self) -> CryptoSigner:
        """What signs TUF metadata and DSSE envelopes."""
        return CryptoSigner(self.private, self.public)


class Keys:
    """A key store folder."""

    def __init__(self, folder: Path, *, outside: Sequence[Path] = ()) -> None:
        """Open a key store, which may not exist yet.

        Args:
            folder: where the keys are.
            outside: folders that the key store must keep apart from: the project, the published tree.

        Raises:
            UsageError: the folder overlaps one of them, or others can read it.
        """
        self.folder = folder.expanduser().resolve()
        self._keys: dict[str, SigningKey] = {}
        for other in (path.resolve() for path in outside):
            if self.folder.is_relative_to(other) or other.is_relative_to(self.folder):
                raise UsageError(f"keys folder {self.folder} and {other} overlap; set {VARIABLE} to a place apart")
        if self.folder.exists():
            _require_private(self.folder)

    @classmethod
    def of_project(cls, project: str, *, folder: Path | None = None, outside: Sequence[Path] = ()) -> Keys:
        """The key store of a project: the folder given, else `LADING_KEYS`, else one under `~/.config`."""
        chosen = folder or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
        return cls(chosen or Path.home() / ".config" / "lading" / "keys" / project, outside=outside)

    def __getitem__(self, name: str) -> SigningKey:
        """The key of that name; it is read when it is first used."""
        return self._keys.setdefault(name, SigningKey(name, self.folder / f"{name}.pem"))

    def __contains__(self, name: str) -> bool:
        """Whether the store has a key of that name."""
        return (self.folder / f"{name}.pem").exists()

    def ensure(self, names: Iterable[str]) -> list[str]:
        """Make the keys that are missing; an existing key is never touched.

        Returns:
            The names of those that were made.

        Raises:
            StorageError: the folder cannot be written.
        """
        missing = [name for name in names if name not in self]
        for name in missing:
            self.store(f"{name}.pem", _new_key(), replace=False)
        return missing

    def read(self, name: str) -> bytes | None:
        """A file of the store other than a key, or None."""
        path = self.folder / name
        return path.read_bytes() if path.exists() else None

    def roots(self) -> dict[int, bytes]:
        """The roots of trust that were published, by version."""
        found = {int(path.name.split(".")[0]): path.read_bytes() for path in self.folder.glob("[0-9]*.root.json")}
        return dict(sorted(found.items()))

    def store(self, name: str, raw: bytes, *, replace: bool) -> None:
        """Write a file with mode 0600, whole or not at all.

        Args:
            name: its name.
            raw: its content.
            replace: False leaves a file that is there already as it is.

        Raises:
            StorageError: the folder cannot be written.
        """
        target = self.folder / name
        temporary = self.folder / f".{name}.{secrets.token_hex(4)}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                _write_private(temporary, raw)
                if replace:
                    temporary.replace(target)
                else:
                    with suppress(FileExistsError):
                        target.hardlink_to(temporary)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as exc:
            raise StorageError(f"keys folder {self.folder}: {name} cannot be written: {exc.strerror}") from exc


def distinct(keys: Iterable[SigningKey]) -> None:
    """Refuse two names for one key: a threshold counts people, not file names.

    Raises:
        RefusedError: two of the keys are the same.
    """
    owners: dict[str, str] = {}
    for key in keys:
        other = owners.setdefault(key.public.keyid, key.name)
        if other != key.name:
            raise RefusedError(f"keys {other} and {key.name} are the same key; each role and person needs its own")


def _new_key() -> bytes:
    """A fresh EC P-256 private key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def _write_private(path: Path, raw: bytes) -> None:
    """Write a new file that only its owner can read, and make it durable."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())


def _require_private(path: Path) -> None:
    """Refuse a key or folder that is missing or that group or others may touch."""
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}; restore the key, or set {VARIABLE} to where it is") from exc
    if stat.S_IMODE(mode) & 0o077:
        wanted = "700" if stat.S_ISDIR(mode) else "600"
        raise UsageError(f"{path}: mode is {stat.S_IMODE(mode):o}, others may touch it; run `chmod {wanted} {path}`")
