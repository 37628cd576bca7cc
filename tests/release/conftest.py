"""A small fleet to release into: builds, evidence, a clock that can be moved, a plain TUF client."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from fleet_manifests import (
    AccuracyReport,
    Assignment,
    BaseRef,
    BundleConfig,
    Calibration,
    Gate,
    HardwareProfile,
    HostFacts,
    IsaClass,
    KnowledgeReport,
    LatencyObjective,
    LatencyReport,
    Machine,
    Measurement,
    PackCase,
    PackConfig,
    Placement,
    SplitRef,
    Task,
    Verdict,
    Where,
    WorkflowEntry,
    digest_of,
    worst,
)
from release import Candidate, Keys, PackCandidate, Policy, Release, assemble, assemble_pack, attest, sign_bundle
from tests.release.ceremonies import Fleet, Site

VNNI = HostFacts(architecture="x86_64", features=("avx2", "avx512_vnni"), cpu_model="Test CPU", cores=4, memory_mb=8192)
CARD = b'{"licences":["CC-BY-4.0"],"rows":3}'
AVX2 = HostFacts(architecture="x86_64", features=("avx2",), cpu_model="Older CPU", cores=4, memory_mb=8192)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **span: float) -> None:
        self.moment += timedelta(**span)


class Builder:
    """Makes builds, bundles, evidence and candidates the way the factory does."""

    def __init__(self, root: Path, keys: Keys) -> None:
        self.root = root
        self.keys = keys
        self.made = 0
        self.taken = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1, hours=1)
        """When evidence is measured."""

    def profile(self, name: str = "edge-x86-vnni", isa: IsaClass = IsaClass.AVX512_VNNI) -> HardwareProfile:
        kind = "central" if name.startswith("central") else "edge"
        objective = LatencyObjective(milliseconds=40)
        return HardwareProfile(name=name, kind=kind, isa=isa, cores=2, latency=objective, recipes=("int8",))

    def files(self, content: str = "weights") -> dict[str, Path]:
        folder = self.root / f"build-{content}"
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"model.onnx": content * 50, "tokenizer.json": '{"version":"1.0"}', "data_card.json": CARD.decode()}
        for name, text in texts.items():
            (folder / name).write_text(text)
        return {name: folder / name for name in texts}

    def config(self, workflow: str = "triage", profile: HardwareProfile | None = None) -> BundleConfig:
        profile = profile or self.profile()
        base = BaseRef(name="mini", revision="1110a243", digest=digest_of(b"base"), licence="Apache-2.0")
        return BundleConfig(
            workflow=workflow,
            task=Task.CLASSIFY,
            profile=profile.name,
            isa=profile.isa,
            recipe="int8",
            labels=("late", "lost"),
            calibration=Calibration(defer_threshold=0.6),
            base=base,
            data_card=digest_of(CARD),
        )

    def bundle(
        self,
        workflow: str = "triage",
        profile: HardwareProfile | None = None,
        content: str = "weights",
        task: Task = Task.CLASSIFY,
    ) -> Path:
        self.made += 1
        out = self.root / f"out-{self.made}"
        config = self.config(workflow, profile)
        if task is Task.RETRIEVE:
            config = config.model_copy(update={"task": task, "labels": (), "dimension": 4})
        assemble(self.files(content), config, out)
        sign_bundle(out, self.keys["builder"])
        return out

    def report(
        self,
        kind: str,
        bundle: str,
        *,
        verdict: Verdict = Verdict.PASS,
        workflow: str = "triage",
        profile: str = "edge-x86-vnni",
        measurement: Measurement = Measurement.MEASURED,
        host: HostFacts = VNNI,
    ) -> AccuracyReport | LatencyReport:
        gates = (
            Gate(name=f"{kind}-floor", verdict=Verdict.PASS, reason="above the floor"),
            Gate(name=f"{kind}-margin", verdict=verdict, reason=f"the margin is {verdict}"),
        )
        common = {
            "workflow": workflow,
            "profile": profile,
            "bundle": bundle,
            "taken": self.taken,
            "measurement": measurement,
            "machine": Machine(host=host, isa="avx512-vnni"),
            "metrics": (),
            "gates": gates,
            "verdict": worst(gate.verdict for gate in gates),
        }
        if kind == "accuracy":
            return AccuracyReport(**common, split=SplitRef(name="test", digest=digest_of(b"rows"), n=400))
        return LatencyReport(**common, queries=662, cores=2, samples_ms=(1.5, 2.25))

    def evidence(self, out: Path, **changes: object) -> tuple[Path, Path]:
        bundle = digest_of((out / "manifest.json").read_bytes())
        paths = []
        for kind in ("accuracy", "latency"):
            path = out / f"{kind}.dsse.json"
            path.write_bytes(attest(self.report(kind, bundle, **changes), self.keys["builder"]))
            paths.append(path)
        return paths[0], paths[1]

    def candidate(
        self,
        workflow: str = "triage",
        profile: HardwareProfile | None = None,
        *,
        content: str = "weights",
        verdict: Verdict = Verdict.PASS,
        task: Task = Task.CLASSIFY,
        **changes: object,
    ) -> Candidate:
        profile = profile or self.profile()
        out = self.bundle(workflow, profile, content, task)
        host = AVX2 if profile.isa is IsaClass.X86_64_V3 else VNNI
        said = {"host": host, **changes}
        evidence = self.evidence(out, verdict=verdict, workflow=workflow, profile=profile.name, **said)
        return Candidate(workflow, profile, out, evidence)

    def retriever(self, content: str = "weights", **changes: object) -> Candidate:
        return self.candidate("sops", content=content, task=Task.RETRIEVE, **changes)

    def pack_files(self, content: str = "passages", *, encrypted: bool = False) -> dict[str, Path]:
        """What `runtimes.knowledge` would write, as far as releasing can tell."""
        folder = self.root / f"pack-{content}"
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "passages.jsonl": content,
            "embedding_codes.npy": f"codes of {content}",
            "embedding_scales.npy": "scales",
            "bm25_terms.txt": f"terms of {content}",
            "bm25_scores.npy": f"scores of {content}",
        }
        if encrypted:
            texts = {f"{name}.age": f"age-encryption.org/v1\n{text}" for name, text in texts.items()}
        for name, text in texts.items():
            (folder / name).write_text(text)
        return {name: folder / name for name in texts}

    def pack_config(self, retriever: str, **changes: object) -> PackConfig:
        said = {
            "workflow": "sops",
            "profile": "edge-x86-vnni",
            "site_class": "branch",
            "retriever": retriever,
            "library": digest_of(b"library"),
            "passages": 3,
            "dimension": 4,
            "smoke": (PackCase(question="slot taken?", passage="wh-1/occupied"),),
        }
        return PackConfig.model_validate({**said, **changes})

    def pack(self, retriever: str, content: str = "passages", **changes: object) -> Path:
        self.made += 1
        out = self.root / f"out-{self.made}"
        config = self.pack_config(retriever, **changes)
        assemble_pack(self.pack_files(content, encrypted=config.encrypted), config, out)
        sign_bundle(out, self.keys["builder"])
        return out

    def knowledge(self, pack: Path, retriever: str, **changes: object) -> Path:
        """The evidence about a pack."""
        said = {"site_class": "branch", "workflow": "sops", **changes}
        special = {"site_class": said.pop("site_class"), "retriever": retriever}
        common = self.report("accuracy", digest_of((pack / "manifest.json").read_bytes()), **said)
        report = KnowledgeReport(**{**common.model_dump(exclude={"kind", "confusion"}), **special})
        path = pack / "knowledge.dsse.json"
        path.write_bytes(attest(report, self.keys["builder"]))
        return path

    def pack_candidate(
        self,
        retriever: Candidate | str,
        content: str = "passages",
        *,
        site_class: str = "branch",
        verdict: Verdict = Verdict.PASS,
        said: dict[str, object] | None = None,
        **config: object,
    ) -> PackCandidate:
        """A pack of a retriever with its evidence; `said` is what the evidence says otherwise."""
        digest = retriever if isinstance(retriever, str) else self.digest(retriever)
        out = self.pack(digest, content, site_class=site_class, **config)
        evidence = self.knowledge(
            out, **{"retriever": digest, "site_class": site_class, "verdict": verdict, **(said or {})}
        )
        return PackCandidate("sops", self.profile(), site_class, out, (evidence,))

    def digest(self, candidate: Candidate | PackCandidate) -> str:
        """The digest of a bundle or pack."""
        return digest_of((candidate.folder / "manifest.json").read_bytes())

    def entry(self, title: str = "Exception triage", **changes: object) -> WorkflowEntry:
        placement = Placement(where=Where.HYBRID, reasons=("it must work when the line is down",))
        said = {"task": Task.CLASSIFY, "title": title, "owner": "Service", "placement": placement}
        return WorkflowEntry(**{**said, **changes})

    def sops(self, **changes: object) -> dict[str, WorkflowEntry]:
        """The workflow of the retriever."""
        return {"sops": self.entry("Procedures", task=Task.RETRIEVE, **changes)}

    def assignment(self, site: str, **changes: object) -> Assignment:
        said = {"site_class": "branch", "version": 1, "issued": datetime(2026, 1, 1, tzinfo=UTC), "channel": "stable"}
        return Assignment(site=site, **{**said, **changes})


class FolderFetcher(FetcherInterface):
    """tuf's transport over a folder; it counts what is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(unquote(urlparse(url).path))
        self.asked.append(path.name)
        if not path.is_file():
            raise DownloadHTTPError(f"{path} is not there", 404)
        return iter([path.read_bytes()])


class Client:
    """A plain TUF client with the tree's first root, and nothing of Lading in it."""

    def __init__(self, public: Path, state: Path) -> None:
        self.public = public
        self.state = state
        self.fetcher = FolderFetcher()
        self.root = (public / "metadata" / "1.root.json").read_bytes()

    def read(self, *targets: str) -> dict[str, bytes | None]:
        """Refresh, and download each target that the release names."""
        self.state.mkdir(parents=True, exist_ok=True)
        updater = Updater(
            str(self.state),
            f"file://{self.public}/metadata/",
            str(self.state),
            f"file://{self.public}/targets/",
            self.fetcher,
            bootstrap=self.root,
        )
        updater.refresh()
        found: dict[str, bytes | None] = {}
        for name in targets:
            info = updater.get_targetinfo(name)
            found[name] = Path(updater.download_target(info)).read_bytes() if info else None
        return found


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """A key store with every key of the fleet."""
    store = Keys(tmp_path / "keys")
    store.ensure(["builder"])
    return store


@pytest.fixture
def policy() -> Policy:
    """Three release managers, two of whom must approve."""
    return Policy(managers=("alice", "bob", "carol"))


@pytest.fixture
def clock() -> Clock:
    """The fleet's clock."""
    return Clock()


@pytest.fixture
def builder(tmp_path: Path, keys: Keys) -> Builder:
    """A factory of candidates."""
    return Builder(tmp_path / "builds", keys)


@pytest.fixture
def release(tmp_path: Path, keys: Keys, policy: Policy, clock: Clock) -> Release:
    """An initialised release."""
    made = Release(tmp_path / "project" / "public", keys, policy, now=clock)
    assert made.init()
    return made


@pytest.fixture
def fleet(tmp_path: Path, policy: Policy, clock: Clock) -> Fleet:
    """A new fleet: keys made in a ceremony, the offline ones on three media."""
    made = Fleet(tmp_path, policy, clock)
    made.hold(made.ceremonies().init(reason="the beginning"))
    return made


@pytest.fixture
def site(fleet: Fleet, builder: Builder, tmp_path: Path, clock: Clock) -> Site:
    """A site of that fleet, on stable."""
    builder.keys = fleet.keys
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    fleet.release.promote("canary", [candidate], workflows)
    fleet.release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    fleet.release.assign([builder.assignment("s1"), builder.assignment("s2", channel="canary")])
    made = Site(tmp_path / "site", fleet.public, clock).enroll()
    assert made.sync().changed
    return made


@pytest.fixture
def public(release: Release) -> Path:
    """The published tree."""
    return release.repository.public


@pytest.fixture
def client(public: Path, tmp_path: Path) -> Client:
    """A client that enrolled when the fleet was new."""
    return Client(public, tmp_path / "client")


@pytest.fixture
def files_of() -> Callable[[Path], dict[str, str]]:
    """Every file below a folder with its digest: what must not change."""

    def listed(folder: Path) -> dict[str, str]:
        found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}

    return listed
