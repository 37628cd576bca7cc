"""The key store: one folder, one EC P-256 key per role, readable by its owner alone.

Roles: `root-1..3` and `targets-1..3` (threshold 2), `builder`, `online`, `manager-<name>`. `<name>.pem` is a
private key; where that is elsewhere, the project's `signers` say where (`release.signers_uri`), and `<name>.pub` is
its public half. The folder also remembers what a published tree must not be able to change: the roots of
trust that sites were enrolled with, and the number of the last release.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleet_manifests import RefusedError, StorageError, UsageError
from release.signers import VARIABLE, FileKey, PublicKey, SigningKey, require_private
from release.signers_uri import from_uri

ROOT_KEYS = ("root-1", "root-2", "root-3")
TARGETS_KEYS = ("targets-1", "targets-2", "targets-3")
BUILDER = "builder"
ONLINE = "online"
NEXT = ".next"
"""Ends the name of a key that a ceremony will let take the place of another."""

__all__ = [
    "BUILDER",
    "NEXT",
    "ONLINE",
    "ROOT_KEYS",
    "TARGETS_KEYS",
    "VARIABLE",
    "Keys",
    "SigningKey",
    "distinct",
    "key_name",
    "manager_key",
]


def manager_key(name: str) -> str:
    """The name of a release manager's key."""
    return f"manager-{name}"


def key_name(role: str) -> str:
    """The name of the key that `signers` in `lading.yaml` means: a role, or a release manager by name."""
    base = role.removesuffix(NEXT)
    known = base in (*ROOT_KEYS, *TARGETS_KEYS, BUILDER, ONLINE) or role.startswith(manager_key(""))
    return role if known else manager_key(role)


class Keys:
    """A key store folder."""

    def __init__(self, folder: Path, *, outside: Sequence[Path] = (), signers: Mapping[str, str] | None = None) -> None:
        """Open a key store, which may not exist yet.

        Args:
            folder: where the keys are.
            outside: folders that the key store must keep apart from: the project, the published tree.
            signers: URI of each key that is not in the folder, by its role or its release manager.

        Raises:
            UsageError: the folder or a key file overlaps one of them, others can read it, or a URI is none.
        """
        self.folder = folder.expanduser().resolve()
        self._elsewhere = {
            key_name(role): from_uri(key_name(role), uri, self.folder) for role, uri in (signers or {}).items()
        }
        self._keys: dict[str, SigningKey] = {}
        for other in (path.resolve() for path in outside):
            if self.folder.is_relative_to(other) or other.is_relative_to(self.folder):
                raise UsageError(f"keys folder {self.folder} and {other} overlap; set {VARIABLE} to a place apart")
            for key in self._elsewhere.values():
                if isinstance(key, FileKey) and key.path.resolve().is_relative_to(other):
                    raise UsageError(f"signers: {key.name}: {key.path} is inside {other}; keep keys apart from it")
        if self.folder.exists():
            require_private(self.folder)

    @classmethod
    def of_project(
        cls,
        project: str,
        *,
        folder: Path | None = None,
        outside: Sequence[Path] = (),
        signers: Mapping[str, str] | None = None,
    ) -> Keys:
        """The key store of a project: the folder given, else `LADING_KEYS`, else one under `~/.config`."""
        chosen = folder or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
        return cls(chosen or Path.home() / ".config" / "lading" / "keys" / project, outside=outside, signers=signers)

    def __getitem__(self, name: str) -> SigningKey:
        """The key of that name; it is read when it is first used."""
        if name in self._elsewhere:
            return self._elsewhere[name]
        if name not in self._keys:
            private, public = self.folder / f"{name}.pem", self.folder / f"{name}.pub"
            only_public = public.exists() and not private.exists()
            self._keys[name] = PublicKey(name, public) if only_public else FileKey(name, path=private)
        return self._keys[name]

    def __contains__(self, name: str) -> bool:
        """Whether this store can sign with a key of that name."""
        return name in self._elsewhere or (self.folder / f"{name}.pem").exists()

    def knows(self, name: str) -> bool:
        """Whether the store has at least the public half of a key of that name."""
        return name in self or (self.folder / f"{name}.pub").exists()

    def ensure(self, names: Iterable[str]) -> list[str]:
        """Make the keys that are missing; an existing key is never touched, and none is made that is elsewhere.

        Returns:
            The names of those that were made.

        Raises:
            StorageError: the folder cannot be written.
        """
        missing = [name for name in names if not self.knows(name)]
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
        self._keys.pop(Path(name).stem, None)


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
