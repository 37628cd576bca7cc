"""A publisher that can misbehave, a web server that can misbehave, and a site."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

from fleet_manifests import (
    Assignment,
    BaseRef,
    BuildEntry,
    BundleConfig,
    BundleRef,
    Descriptor,
    FleetManifest,
    HardwareProfile,
    HostFacts,
    IsaClass,
    LatencyObjective,
    OciManifest,
    Orders,
    PackConfig,
    PackRef,
    Placement,
    Revocation,
    Task,
    Verdict,
    Where,
    WorkflowEntry,
    digest_of,
    dump,
)
from fleet_manifests.bundle import CONFIG_TYPE, FILEPATH, MANIFEST_TYPE, SIGNATURE_TYPE, WEIGHT_TYPE, bundle_name
from fleet_manifests.knowledge import PACK_FILE, pack_name
from fleet_manifests.orders import ORDERS_TARGET
from fleet_manifests.signature import strict_hashing
from runtimes.sync import Agent, SyncResult, enroll, sync
from runtimes.sync.smoke import PackTrial
from tests.runtimes.sync.loris import Loris

NOW = datetime(2027, 1, 4, 8, tzinfo=UTC)
SITE = "store-017"
PROFILE = "edge-x86-vnni"
WORKFLOW = "exception_triage"
RETRIEVER = "sop_assistant"
SITE_CLASS = "branch"
HOST = HostFacts(architecture="x86_64", features=("avx2", "avx512_vnni"), cores=4, memory_mb=8000)
BASE = BaseRef(name="tiny", revision="1", digest="sha256:" + "0" * 64, licence="Apache-2.0")
DELEGATIONS = {
    "candidates": (["candidates/*"], 1, False),
    "canary": (["canary/*"], 1, False),
    "stable": (["stable/*"], 2, False),
    "sites": (["sites/*.json"], 1, True),
}
BITS = 2


def profile(name: str = PROFILE, isa: IsaClass = IsaClass.AVX512_VNNI, **more: Any) -> HardwareProfile:
    return HardwareProfile(name=name, isa=isa, latency=LatencyObjective(milliseconds=40), recipes=("int8",), **more)


class Repository:
    """A published tree with real signatures. Change what it holds, `publish`, and what is written is valid;
    change `metadata`, `signers` or the files first, and it is what an attacker would make of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expires = NOW + timedelta(days=30)
        self.signers: dict[str, list[CryptoSigner]] = {}
        self.builder = ec.generate_private_key(ec.SECP256R1())
        self.builds: dict[tuple[str, str], BuildEntry] = {}
        self.profiles = {PROFILE: profile()}
        self.tasks: dict[str, Task] = {RETRIEVER: Task.RETRIEVE}
        self.packs: dict[str, PackRef] = {}
        self.workflow: dict[str, Any] = {}
        self.revocations: list[Revocation] = []
        for name in ("metadata", "targets", "blobs/sha256", "work"):
            (folder / name).mkdir(parents=True)
        self._make_roles()
        self.set_target("targets", "trust/builder.pub", self.public_key)
        self.set_target("sites", ORDERS_TARGET, dump(Orders()))
        self.publish()

    @property
    def root_file(self) -> Path:
        return self.folder / "metadata" / "1.root.json"

    @property
    def public_key(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.builder.public_key().public_bytes(serialization.Encoding.PEM, form)

    def _make_roles(self) -> None:
        for role in ("root", "targets", "snapshot", "timestamp", *DELEGATIONS, "bins"):
            count = 2 if role == "stable" else 1
            self.signers[role] = [CryptoSigner.generate_ed25519() for _ in range(count)]
        root = Root(expires=self.expires, consistent_snapshot=True)
        for role in ("root", "targets", "snapshot", "timestamp"):
            root.add_key(self.signers[role][0].public_key, role)
        self.metadata: dict[str, Metadata[Any]] = {
            "root": Metadata(root),
            "targets": Metadata(Targets(expires=self.expires, delegations=self._delegations())),
            "snapshot": Metadata(Snapshot(expires=self.expires)),
            "timestamp": Metadata(Timestamp(expires=self.expires)),
        }
        self.metadata |= {role: Metadata(Targets(expires=self.expires)) for role in DELEGATIONS}
        bin_key = self.signers["bins"][0].public_key
        bins = SuccinctRoles([bin_key.keyid], 1, BITS, "sites-bin")
        self.metadata["sites"].signed.delegations = Delegations({bin_key.keyid: bin_key}, succinct_roles=bins)
        self.bins = bins
        self.metadata |= {name: Metadata(Targets(expires=self.expires)) for name in bins.get_roles()}

    def _delegations(self) -> Delegations:
        keys: dict[str, Key] = {}
        roles = {}
        for name, (paths, threshold, terminating) in DELEGATIONS.items():
            found = [signer.public_key for signer in self.signers[name]]
            keys |= {key.keyid: key for key in found}
            roles[name] = DelegatedRole(name, [key.keyid for key in found], threshold, terminating, paths)
        return Delegations(keys, roles)

    def signers_of(self, role: str) -> list[CryptoSigner]:
        return self.signers["bins" if role.startswith("sites-bin") else role]

    def set_target(self, role: str, name: str, raw: bytes) -> TargetFile:
        """Put a document under a role, and its bytes where clients look for them."""
        target = TargetFile.from_data(name, raw, ["sha256"])
        self.metadata[role].signed.targets[name] = target
        folder, _, base = name.rpartition("/")
        path = self.folder / "targets" / folder / f"{target.hashes['sha256']}.{base}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        return target

    def sign(self, role: str, signers: list[CryptoSigner] | None = None) -> bytes:
        """Sign a role and write it under its version."""
        metadata = self.metadata[role]
        metadata.signatures.clear()
        for signer in self.signers_of(role) if signers is None else signers:
            metadata.sign(signer, append=True)
        raw = metadata.to_bytes()
        name = "timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
        (self.folder / "metadata" / name).write_bytes(raw)
        return raw

    def publish(self, roles: tuple[str, ...] | None = None) -> None:
        """A new version of every delegated role (or those named), then snapshot and timestamp."""
        if not self.root_file.exists():
            self.sign("root")
        named = [role for role in self.metadata if role not in ("root", "snapshot", "timestamp")]
        first = not self.metadata["snapshot"].signed.meta.get("sites.json")
        for role in named if roles is None else roles:
            if not first:
                self.metadata[role].signed.version += 1
            self.sign(role)
        self.seal()

    def seal(self) -> None:
        """A new snapshot and timestamp over the roles as they are."""
        snapshot, timestamp = self.metadata["snapshot"].signed, self.metadata["timestamp"].signed
        for role, metadata in self.metadata.items():
            if role not in ("root", "snapshot", "timestamp"):
                snapshot.meta[f"{role}.json"] = MetaFile(metadata.signed.version)
        snapshot.version += 1
        self.sign("snapshot")
        timestamp.snapshot_meta = MetaFile(snapshot.version)
        timestamp.version += 1
        self.sign("timestamp")

    def rotate(self, role: str) -> list[CryptoSigner]:
        """Replace a top-level role's key by a new root version; returns the old keys."""
        old = self.signers[role]
        self.signers[role] = [CryptoSigner.generate_ed25519()]
        root = self.metadata["root"].signed
        for signer in old:
            root.revoke_key(signer.public_key.keyid, role)
        root.add_key(self.signers[role][0].public_key, role)
        root.version += 1
        self.sign("root", self.signers["root"] + (old if role == "root" else []))
        return old

    def blob(self, raw: bytes, media_type: str = WEIGHT_TYPE, path: str | None = None) -> Descriptor:
        """Write a blob; what a manifest says of it."""
        digest = digest_of(raw)
        (self.folder / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(raw)
        annotations = {} if path is None else {FILEPATH: path}
        return Descriptor(media_type=media_type, digest=digest, size=len(raw), annotations=annotations)

    def blob_file(self, digest: str) -> Path:
        return self.folder / "blobs/sha256" / digest.removeprefix("sha256:")

    def files(self, content: str, workflow: str = WORKFLOW, name: str = PROFILE, **config: Any) -> dict[str, bytes]:
        """The files of a bundle."""
        isa = self.profiles[name].isa if name in self.profiles else IsaClass.AVX512_VNNI
        values = {"workflow": workflow, "task": Task.CLASSIFY, "profile": name, "isa": isa, "recipe": "int8"}
        made = BundleConfig.model_validate({**values, "base": BASE, "data_card": BASE.digest, **config})
        return {
            "bundle.json": dump(made),
            "model.onnx": content.encode() * 1000,
            "shared/base.bin": b"the base never changes" * 1000,
        }

    def add_retriever(self, content: str = "embeds", **more: Any) -> BundleRef:
        """Make the build of the workflow that searches packs."""
        files = self.files(content, RETRIEVER, task=Task.RETRIEVE, dimension=4)
        return self.add_bundle(workflow=RETRIEVER, **{"files": files, **more})

    def retriever(self) -> str:
        """Digest of the bundle that searches packs."""
        return self.builds[RETRIEVER, PROFILE].bundle.digest

    def pack_config(self, site_class: str = SITE_CLASS, **changes: Any) -> PackConfig:
        """What an honest `pack.json` says."""
        values = {"workflow": RETRIEVER, "profile": PROFILE, "site_class": site_class, "library": digest_of(b"library")}
        values |= {"retriever": self.retriever(), "passages": 2, "dimension": 4}
        return PackConfig.model_validate(values | changes)

    def pack_files(self, content: str, config: PackConfig, recipient: Any = None) -> dict[str, bytes]:
        """The files of a pack; with a recipient, those beside `pack.json` are encrypted for it."""
        import pyrage

        plain = {
            "bm25_terms.txt": b"the words of most libraries" * 200,
            "embedding_codes.npy": content.encode() * 500,
            "passages.jsonl": content.encode() * 1000,
        }
        if recipient is not None:
            plain = {f"{name}.age": pyrage.encrypt(raw, [recipient]) for name, raw in plain.items()}
        return {PACK_FILE: dump(config), **plain}

    def add_pack(
        self,
        content: str = "first",
        site_class: str = SITE_CLASS,
        *,
        config: PackConfig | None = None,
        recipient: Any = None,
        files: dict[str, bytes] | None = None,
        signature: bytes | None = None,
        layers: list[Descriptor] | None = None,
        **ref: Any,
    ) -> PackRef:
        """Make the pack of a site class; what is given replaces what would be right."""
        name = pack_name(RETRIEVER, PROFILE, site_class)
        said = self.pack_config(site_class, encrypted=recipient is not None) if config is None else config
        made = self.pack_files(content, said, recipient) if files is None else files
        raw = self.sign_bundle(name, made) if signature is None else signature
        descriptors = [self.blob(data, path=path) for path, data in sorted(made.items())] if layers is None else layers
        layout = OciManifest.model_construct(config=self.blob(b"{}", CONFIG_TYPE), layers=tuple(descriptors))
        values = {
            "name": name,
            "blob": self.blob(dump(layout), MANIFEST_TYPE),
            "site_classes": (site_class,),
            "retriever": self.retriever(),
            "workflow": RETRIEVER,
            "profile": PROFILE,
            "signature": self.blob(raw, SIGNATURE_TYPE),
            "data_class": said.data_class,
            "verdict": Verdict.PASS,
        }
        self.packs[name] = PackRef.model_validate(values | ref)
        return self.packs[name]

    def sign_bundle(self, name: str, files: dict[str, bytes]) -> bytes:
        """The OMS signature over a folder of that name with those files."""
        from model_signing import signing

        work = self.folder / "work" / digest_of(json.dumps([name, sorted(files)]).encode())[7:19] / name
        shutil.rmtree(work, ignore_errors=True)
        for path, raw in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_bytes(raw)
        form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key, signature = self.folder / "work/key.pem", self.folder / "work/signature.json"
        key.write_bytes(self.builder.private_bytes(serialization.Encoding.PEM, *form))
        config = signing.Config().use_elliptic_key_signer(private_key=key)
        config.set_hashing_config(strict_hashing()).sign(work, signature)
        return signature.read_bytes()

    def add_bundle(
        self,
        content: str = "one",
        workflow: str = WORKFLOW,
        *,
        files: dict[str, bytes] | None = None,
        signature: bytes | None = None,
        layers: list[Descriptor] | None = None,
        **build: Any,
    ) -> BundleRef:
        """Make a build of a workflow for `PROFILE`; `layers` and `signature` replace what would be right."""
        name = bundle_name(workflow, PROFILE)
        made = self.files(content, workflow) if files is None else files
        raw = self.sign_bundle(name, made) if signature is None else signature
        descriptors = [self.blob(data, path=path) for path, data in sorted(made.items())] if layers is None else layers
        layout = OciManifest.model_construct(config=self.blob(b"{}", CONFIG_TYPE), layers=tuple(descriptors))
        ref = BundleRef(
            name=build.pop("name", name),
            manifest=self.blob(dump(layout), "application/vnd.oci.image.manifest.v1+json"),
            signature=self.blob(raw, SIGNATURE_TYPE),
        )
        values = {"defer_threshold": 0.5, "verdict": Verdict.PASS, **build}
        self.builds[workflow, PROFILE] = BuildEntry(bundle=ref, **values)
        return ref

    def manifest(self, version: int, channel: str = "stable", **changes: Any) -> FleetManifest:
        """A fleet manifest of every build made so far."""
        workflows: dict[str, WorkflowEntry] = {}
        for (workflow, name), build in self.builds.items():
            values = {
                "task": self.tasks.get(workflow, Task.CLASSIFY),
                "title": "Triage",
                "owner": "operations",
                "placement": Placement(where=Where.HYBRID, reasons=("offline",)),
                **self.workflow,
            }
            workflows[workflow] = WorkflowEntry(builds={name: build}, **values)
        fields = {
            "channel": channel,
            "version": version,
            "issued": NOW,
            "expires": self.expires,
            "profiles": self.profiles,
            "workflows": workflows,
            "knowledge_packs": tuple(self.packs.values()),
            "revocations": tuple(self.revocations),
            **changes,
        }
        return FleetManifest(**fields)

    def assignment(self, version: int = 1, **changes: Any) -> Assignment:
        fields = {"site": SITE, "site_class": "branch", "version": version, "issued": NOW, "channel": "stable"}
        return Assignment(**(fields | changes))

    def assign(self, version: int = 1, *, raw: bytes | None = None, path_site: str = SITE, **changes: Any) -> None:
        """Put an assignment into its bin."""
        name = f"sites/{path_site}.json"
        self.set_target(self.bins.get_role_for_target(name), name, raw or dump(self.assignment(version, **changes)))

    def order(self, orders: Orders) -> None:
        """Publish standing orders, and nothing else."""
        self.set_target("sites", ORDERS_TARGET, dump(orders))
        self.publish(("sites",))

    def release(self, version: int, channel: str = "stable", *, raw: bytes | None = None, **changes: Any) -> None:
        """Publish a manifest and, if there is none yet, the assignment."""
        document = raw or dump(self.manifest(version, channel, **changes))
        self.set_target(channel, f"{channel}/manifest.json", document)
        if not any(self.metadata[name].signed.targets for name in self.bins.get_roles()):
            self.assign()
        self.publish()


class Server(ThreadingHTTPServer):
    """A server to which a client that hangs up is no error."""

    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*args)


class Web:
    """A web server over a folder, with `Range`, that can be told to misbehave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str | None]] = []
        self.drop_after: int | None = None
        """Bytes of a body after which the connection is cut."""
        self.trickle = 0
        """Bytes of a body that come at once; then 0.1 kB every 5 ms."""
        self.ignore_range = False
        self.wrong_range = False
        self.endless: str | None = None
        """Path ending that never ends."""
        self.status: int | None = None
        self.location: str | None = None
        """Where an answer with `status` sends on to; `{path}` stands for the path that was asked for."""
        self.replace: dict[str, bytes] = {}
        """Path ending to the bytes given instead."""
        self._server = Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def body(self, path: str) -> bytes | None:
        for ending, raw in self.replace.items():
            if path.endswith(ending):
                return raw
        file = self.folder / path.lstrip("/")
        return file.read_bytes() if file.is_file() else None

    def _handler(web) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                web.requests.append((self.path, asked))
                raw = web.body(self.path)
                if web.status is not None or raw is None:
                    self._empty(web.status or 404)
                    return
                start = int(asked.removeprefix("bytes=").split("-")[0]) if asked and not web.ignore_range else 0
                self._send(raw, start, partial=bool(asked) and not web.ignore_range)

            def _empty(self, status: int) -> None:
                self.send_response(status)
                if web.location is not None:
                    self.send_header("Location", web.location.replace("{path}", self.path))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _send(self, raw: bytes, start: int, *, partial: bool) -> None:
                endless = web.endless is not None and self.path.endswith(web.endless)
                self.send_response(206 if partial else 200)
                if partial:
                    shown = start + 1 if web.wrong_range else start
                    self.send_header("Content-Range", f"bytes {shown}-{len(raw) - 1}/{len(raw)}")
                if not endless:
                    self.send_header("Content-Length", str(len(raw) - start))
                self.end_headers()
                body = raw[start:]
                if endless:
                    self._forever(body)
                elif web.trickle:
                    self._slowly(body)
                elif web.drop_after is not None and len(body) > web.drop_after:
                    self.wfile.write(body[: web.drop_after])
                    self.close_connection = True
                else:
                    self.wfile.write(body)

            def _slowly(self, body: bytes) -> None:
                self.close_connection = True
                try:
                    self.wfile.write(body[: web.trickle])
                    for start in range(web.trickle, len(body), 100):
                        time.sleep(0.005)
                        self.wfile.write(body[start : start + 100])
                except OSError:
                    return

            def _forever(self, body: bytes) -> None:
                self.close_connection = True
                try:
                    self.wfile.write(body)
                    while True:
                        self.wfile.write(b"more" * 16384)
                except OSError:
                    return

        return Handler


class Station:
    """A site: its state folder, and a machine whose answers are set here."""

    def __init__(self, state: Path, repository: Repository) -> None:
        self.state = state
        self.repository = repository
        self.host = HOST
        self.version = "0.1.0"
        self.failures: list[str] = []
        self.pack_failures: list[str] = []
        self.tried: list[str] = []
        self.tried_packs: list[str] = []

    def agent(self) -> Agent:
        return Agent(version=self.version, facts=lambda: self.host, smoke=self._smoke, pause=lambda seconds: None)

    def _smoke(self, folder: Path, pack: PackTrial | None) -> list[str]:
        self.tried.append(folder.name)
        if pack is not None:
            self.tried_packs.append(pack.folder.name)
            return [*self.failures, *self.pack_failures, *self._sealed(pack)]
        return list(self.failures)

    def _sealed(self, pack: PackTrial) -> list[str]:
        """What opening the pack says where it cannot be decrypted; the real words are tried in test_smoke."""
        import pyrage

        for path in sorted(pack.folder.glob("*.age")):
            assert pack.key is not None
            identity = pyrage.x25519.Identity.from_str(pack.key.read_text().strip())
            try:
                pyrage.decrypt(path.read_bytes(), [identity])
            except pyrage.DecryptError:
                return [f"{path.name}: encrypted for another key"]
        return []

    def enroll(self, source: str | None = None, **changes: Any) -> None:
        values = {"root": self.repository.root_file, "source": source or str(self.repository.folder), "site": SITE}
        enroll(self.state, **(values | changes))

    def sync(self, now: datetime = NOW, **more: Any) -> SyncResult:
        return sync(self.state, now=now, agent=self.agent(), **more)

    def content(self, workflow: str = WORKFLOW) -> str:
        """What the running bundle's model says, read the way a server does."""
        from runtimes.sync.active import bundle_folder, load_active

        active = load_active(self.state)
        assert active is not None
        raw = (bundle_folder(self.state, active, workflow) / "model.onnx").read_bytes()
        return raw[: len(raw) // 1000].decode()

    def passages(self, workflow: str = RETRIEVER) -> str:
        """What the running pack says, read the way a server does."""
        from runtimes.sync.active import load_active, pack_folder

        active = load_active(self.state)
        assert active is not None
        raw = (pack_folder(self.state, active, workflow) / "passages.jsonl").read_bytes()
        return raw[: len(raw) // 1000].decode()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with one stable release."""
    made = Repository(tmp_path / "public")
    made.add_bundle("one")
    made.release(1)
    return made


@pytest.fixture
def station(tmp_path: Path, repository: Repository) -> Station:
    """A site that is enrolled with the repository's folder."""
    made = Station(tmp_path / "state", repository)
    made.enroll()
    return made


@pytest.fixture
def running(station: Station) -> Station:
    """A site that runs release 1."""
    assert station.sync().changed
    return station


def with_pack(site: Station) -> Station:
    """The site, after it has pulled release 2: the classifier of release 1, a retriever and its first pack."""
    site.repository.add_retriever()
    site.repository.add_pack("first")
    site.repository.release(2)
    assert site.sync().changed
    return site


@pytest.fixture
def reading(station: Station) -> Station:
    """A site that runs release 2, with a knowledge pack."""
    return with_pack(station)


@pytest.fixture
def web_reading(web_station: Station) -> Station:
    """The same over HTTP."""
    return with_pack(web_station)


@pytest.fixture(scope="session")
def site_class_key() -> Any:
    """The secret key of the site class, and of another one."""
    from pyrage import x25519

    return x25519.Identity.generate(), x25519.Identity.generate()


@pytest.fixture
def make_web() -> Iterator[Callable[[Path], Web]]:
    """Starts web servers over folders."""
    started: list[Web] = []

    def start(folder: Path) -> Web:
        started.append(Web(folder))
        return started[-1]

    yield start
    for web in started:
        web.close()


@pytest.fixture
def loris() -> Iterator[Callable[..., Loris]]:
    """Starts slow servers."""
    made: list[Loris] = []

    def start(*args: bytes) -> Loris:
        made.append(Loris(*args))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def web(repository: Repository, make_web: Callable[[Path], Web]) -> Web:
    """A web server over the repository."""
    return make_web(repository.folder)


@pytest.fixture
def web_station(tmp_path: Path, repository: Repository, web: Web) -> Station:
    """A site that is enrolled with the web server."""
    made = Station(tmp_path / "web-state", repository)
    made.enroll(web.address)
    return made
