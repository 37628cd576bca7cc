"""What the tests of ceremonies and of roles share: a fleet with offline media, a site with the real client, a thief."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, TargetFile

from fleet_manifests import HostFacts, Orders, digest_of, dump
from fleet_manifests.orders import ORDERS_TARGET
from release import Keys, Policy, Release, SigningKey
from release.ceremony import Ceremonies, Ceremony
from release.in_turns import CeremoniesInTurns
from release.roles import CHANNELS
from runtimes.sync import Agent, SyncResult, enroll, load_active, sync

HOST = HostFacts(architecture="x86_64", features=("avx2", "avx512_vnni"), cpu_model="Test CPU", cores=4, memory_mb=8192)
HUGE = 2**40


@dataclass
class Fleet:
    """A project whose root and targets keys lie on three media."""

    folder: Path
    policy: Policy
    clock: Callable[[], Any]

    @property
    def public(self) -> Path:
        return self.folder / "project" / "public"

    @property
    def store(self) -> Path:
        return self.folder / "keys"

    @property
    def media(self) -> list[Path]:
        return [self.folder / f"medium-{number}" for number in (1, 2, 3)]

    @property
    def keys(self) -> Keys:
        """The key store of every day, read anew."""
        return Keys(self.store)

    @property
    def release(self) -> Release:
        return Release(self.public, self.keys, self.policy, now=self.clock)

    def ceremonies(self, media: Sequence[Path] | None = None) -> Ceremonies:
        found = self.media if media is None else media
        return Ceremonies(self.release.repository, media=found, log=self.release.desk.log, actor="me")

    def in_turns(self, *numbers: int, actor: str = "me") -> CeremoniesInTurns:
        """The part of a holder who has the media of these numbers, and no other, before them."""
        media = [self.folder / f"medium-{number}" for number in numbers]
        return CeremoniesInTurns(self.release.repository, media=media, log=self.release.desk.log, actor=actor)

    def hold(self, ceremony: Ceremony) -> tuple[str, ...]:
        assert ceremony.will
        return ceremony.run()

    def replace(self, *names: str, media: Sequence[Path] | None = None, **more: Any) -> tuple[str, ...]:
        return self.hold(self.ceremonies(media).replace(names, reason="a test", **more))

    def version(self, role: str) -> int:
        return next(one.version for one in self.release.status().roles if one.role == role)

    def stolen(self, name: str) -> Signer:
        """A copy of a private key of today."""
        return self._private(name).signer

    def public_half(self, name: str) -> bytes:
        return self._private(name).public_pem

    def _private(self, name: str) -> SigningKey:
        folder = next(one for one in (self.store, *self.media) if (one / f"{name}.pem").exists())
        return Keys(folder)[name]


@dataclass
class Site:
    """A site with the real client; its machine and its smoke cases are made up."""

    state: Path
    public: Path
    clock: Callable[[], Any]
    name: str = "s1"

    def enroll(self, root: int = 1) -> Site:
        path = self.public / "metadata" / f"{root}.root.json"
        enroll(self.state, root=path, source=str(self.public), site=self.name)
        return self

    def sync(self, source: Path | None = None) -> SyncResult:
        agent = Agent(version="0.1.0", facts=lambda: HOST, smoke=lambda folder, pack: [], pause=lambda seconds: None)
        return sync(self.state, now=self.clock(), agent=agent, source=None if source is None else str(source))

    @property
    def runs(self) -> tuple[str, int, str]:
        """Channel, manifest version and bundle of what runs."""
        active = load_active(self.state)
        assert active is not None
        return active.channel, active.manifest_version, active.workflows["triage"].bundle


class Thief:
    """Somebody with keys of the fleet and a copy of its tree, which sites read."""

    def __init__(self, public: Path, folder: Path, **stolen: Signer) -> None:
        """Copy the tree, and keep the keys: `online`, `builder`, `manager_bob` ..."""
        self.public = Path(shutil.copytree(public, folder))
        self.keys = stolen

    def document(self, role: str) -> Metadata[Any]:
        if role in ("timestamp", "root"):
            found = sorted((self.public / "metadata").glob(f"*{role}.json"), key=lambda path: _number(path.name))
            return Metadata[Any].from_file(str(found[-1]))
        if role == "snapshot":
            version = self.document("timestamp").signed.snapshot_meta.version
        else:
            version = self.document("snapshot").signed.meta[f"{role}.json"].version
        return Metadata[Any].from_file(str(self.public / "metadata" / f"{version}.{role}.json"))

    def sign(self, role: str, document: Metadata[Any], version: int, *signers: Signer) -> bytes:
        """Give a document a version and the signatures of these alone, and put it into the tree."""
        document.signed.version = version
        document.signatures.clear()
        for signer in signers:
            document.sign(signer, append=True)
        raw = document.to_bytes()
        name = "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"
        (self.public / "metadata" / name).write_bytes(raw)
        return raw

    def target(self, document: Metadata[Any], name: str, raw: bytes) -> None:
        info = TargetFile.from_data(name, raw, ["sha256"])
        document.signed.targets[name] = info
        path = self.public / "targets" / info.get_prefixed_paths()[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)

    def announce(self, *changed: tuple[str, bytes, int], version: int = HUGE) -> None:
        """A snapshot and a timestamp over what was changed, by the stolen online key."""
        online = self.keys["online"]
        snapshot, timestamp = self.document("snapshot"), self.document("timestamp")
        for role, raw, number in changed:
            snapshot.signed.meta[f"{role}.json"] = MetaFile.from_data(number, raw, ["sha256"])
        raw = self.sign("snapshot", snapshot, version, online)
        timestamp.signed.snapshot_meta = MetaFile.from_data(version, raw, ["sha256"])
        self.sign("timestamp", timestamp, version, online)

    def assign(self, assignment: Any, *, version: int = HUGE) -> None:
        """Another assignment for a site, with the online key."""
        name = f"sites/{assignment.site}.json"
        sites = self.document("sites").signed
        role = sites.delegations.succinct_roles.get_role_for_target(name)
        document = self.document(role)
        self.target(document, name, dump(assignment))
        self.announce((role, self.sign(role, document, version, self.keys["online"]), version), version=version)

    def order(self, orders: Orders, *, version: int = HUGE) -> None:
        """Other standing orders, with the online key."""
        document = self.document("sites")
        self.target(document, ORDERS_TARGET, dump(orders))
        self.announce(("sites", self.sign("sites", document, version, self.keys["online"]), version), version=version)

    def publish(self, channel: str, raw: bytes, *signers: Signer, version: int = HUGE) -> None:
        """A manifest of a channel, with whatever keys; announced with the online key."""
        assert channel in CHANNELS
        document = self.document(channel)
        self.target(document, f"{channel}/manifest.json", raw)
        self.announce((channel, self.sign(channel, document, version, *signers), version), version=version)

    def blob(self, raw: bytes) -> str:
        digest = digest_of(raw)
        (self.public / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(raw)
        return digest


def _number(name: str) -> int:
    first = name.split(".")[0]
    return int(first) if first.isdigit() else 0
