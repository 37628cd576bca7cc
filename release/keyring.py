"""The keys of a ceremony: the key store of every day, the media with the offline keys, and the keys that follow.

Root and targets keys need not be in the key store: a ceremony is given the folders (mounted media) that hold them.
A key that is to take another's place is made beside it as `NAME.next`, and becomes `NAME` once that is published;
the one before stays as `retired-NAME-ID.pem` until somebody destroys it. A ceremony that was broken off finds both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fleet_manifests import RefusedError, UsageError
from release.keys import NEXT, ROOT_KEYS, TARGETS_KEYS, Keys, distinct, key_name, manager_key
from release.signers import FileKey, SigningKey
from release.tree import storage

OFFLINE = (*ROOT_KEYS, *TARGETS_KEYS)


class Keyring(Keys):
    """The key store with media beside it. It stands for the key store wherever that is asked for."""

    def __init__(self, store: Keys, media: Sequence[Path] = ()) -> None:
        """Lay the keys side by side.

        Args:
            store: the key store of every day; it remembers roots, releases and public halves.
            media: folders of offline keys; new ones are spread over them in turn.

        Raises:
            UsageError: others may read a medium.
        """
        super().__init__(store.folder)
        self._store = store
        self._media = tuple(Keys(folder) for folder in media)
        self._following: set[str] = set()

    def __getitem__(self, name: str) -> SigningKey:
        """The key of that name; one that is followed already: its successor."""
        wanted = name + NEXT if name in self._following else name
        return self._home(wanted)[wanted]

    def __contains__(self, name: str) -> bool:
        """Whether a key of that name is at hand."""
        wanted = name + NEXT if name in self._following else name
        return wanted in self._home(wanted)

    def knows(self, name: str) -> bool:
        """Whether at least the public half of a key of that name is at hand."""
        return name in self or self._store.knows(name)

    def ensure(self, names: Iterable[str]) -> list[str]:
        """Make the keys that are missing, the offline ones on the media; their public halves stay in the key store.

        Raises:
            StorageError: a folder cannot be written.
        """
        missing = [name for name in names if not self.knows(name)]
        for name in missing:
            self._make(name, self._place(name))
        return missing

    def store(self, name: str, raw: bytes, *, replace: bool) -> None:
        """Write a file of the key store."""
        self._store.store(name, raw, replace=replace)

    def where(self, name: str) -> Path:
        """The folder that a key is in."""
        return self._home(name).folder

    def successor(self, name: str) -> SigningKey:
        """The key that is to follow another; made where there is none yet.

        Raises:
            UsageError: the key before is in a device or with somebody else, so that its successor is made there.
            RefusedError: the successor is a key that is in use already.
            StorageError: it cannot be written.
        """
        wanted = name + NEXT
        if not self.knows(wanted):
            somebody_elses = name not in self and name.startswith(manager_key("")) and self.knows(name)
            if somebody_elses or (name in self and not isinstance(self[name], FileKey)):
                raise UsageError(
                    f"key {name} is not a file of {self.folder}: make its successor where it is, put the public half "
                    f"into {self.folder / wanted}.pub, and where it signs from here, name it under signers: in "
                    f"lading.yaml as {wanted}"
                )
            self._make(wanted, self._home(name) if name in self._home(name) else self._place(name))
        others = [known for known in self._names() if known != wanted and self.knows(known)]
        try:
            distinct(self[one] for one in (*others, wanted))
        except RefusedError as exc:
            raise RefusedError(f"key {wanted} is to follow {name}: {exc}") from exc
        return self[wanted]

    def follow(self, names: Iterable[str]) -> None:
        """From now on the successors sign."""
        self._following.update(names)

    def catch_up(self) -> None:
        """Let keys on a medium take their names, where that was published while the medium was away.

        Raises:
            StorageError: a medium cannot be written.
        """
        for home in self._media:
            for path in sorted(home.folder.glob(f"*{NEXT}.pem")):
                name = path.stem.removesuffix(NEXT)
                named = self._store.read(f"{name}.pub")
                if not self._store.knows(name + NEXT) and named == home[name + NEXT].public_pem:
                    self.settle(name)

    def settle(self, name: str) -> tuple[str, ...]:
        """Let the successor take the name of the key before; returns what a person has to do yet.

        Raises:
            StorageError: a folder cannot be written; done again, it ends what was begun.
        """
        self._following.discard(name)
        wanted = name + NEXT
        public, home = self[wanted].public_pem, self._home(wanted)
        told: tuple[str, ...] = ()
        fresh, private = home.read(f"{wanted}.pem"), home.read(f"{name}.pem")
        if fresh is not None:
            if private is not None and private != fresh:
                short = home[name].public.keyid[:8]
                home.store(f"retired-{name}-{short}.pem", private, replace=False)
                told = (f"{home.folder / f'retired-{name}-{short}.pem'}: the key before; destroy it",)
            home.store(f"{name}.pem", fresh, replace=True)
        elif wanted in home:
            told = (f"lading.yaml, signers: let {name} have the URI of {wanted}, and take {wanted} out",)
        if home is not self._store or fresh is None or self._store.read(f"{name}.pub") is not None:
            self._store.store(f"{name}.pub", public, replace=True)
        for folder, ending in ((home.folder, "pem"), (self._store.folder, "pub")):
            with storage(folder):
                (folder / f"{wanted}.{ending}").unlink(missing_ok=True)
                for left in folder.glob(f".{name}.*"):  # by a writer that was killed
                    left.unlink(missing_ok=True)
        return told

    def _make(self, name: str, home: Keys) -> None:
        """A new key in a folder; of one on a medium the key store keeps the public half."""
        home.ensure([name])
        if home is not self._store:
            self._store.store(f"{name}.pub", home[name].public_pem, replace=True)

    def _home(self, name: str) -> Keys:
        """The folder that a key is in; of one that is nowhere, the key store."""
        return next((one for one in (*self._media, self._store) if name in one), self._store)

    def _place(self, name: str) -> Keys:
        """Where a new key of that name goes."""
        base = name.removesuffix(NEXT)
        if base not in OFFLINE or not self._media:
            return self._store
        return self._media[(int(base[-1]) - 1) % len(self._media)]

    def _names(self) -> list[str]:
        """Every key that is at hand, by name."""
        folders = {home.folder for home in (*self._media, self._store)}
        found = {path.stem for folder in folders for ending in ("pem", "pub") for path in folder.glob(f"*.{ending}")}
        return sorted(name for name in found if key_name(name) == name)
