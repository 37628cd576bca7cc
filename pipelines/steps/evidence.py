"""Evidence about a bundle: measured on the bundle itself, signed over its digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.engines import config_of
from fleet_manifests import (
    AccuracyReport,
    BundleConfig,
    Evidence,
    HardwareProfile,
    KnowledgeReport,
    LatencyReport,
    Measurement,
    Verdict,
    digest_of,
    dump,
    parse,
    sha256_of,
)
from fleet_manifests.bundle import BundleRef, bundle_name
from fleet_manifests.evidence import now
from pipelines.corpora.library import PASSAGES_FILE, read_passages
from pipelines.project.load import Project
from pipelines.steps import predecessors, retrievers
from pipelines.steps.configs import ENGINE_LIBRARIES, accuracy_policy, author_of, resolved_profile, retrieval_policy
from pipelines.steps.judges import VALIDATION
from pipelines.steps.models import rows
from pipelines.steps.outdated import forget_outdated
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from evals.accuracy import AccuracyPolicy
    from evals.observed import Observed
    from evals.searches import RetrievalPolicy

REPORT = "report.json"
ENVELOPE = "evidence.dsse.json"
PAGE = "report.html"


@dataclass(frozen=True)
class Basis:
    """What the accuracy of a build is judged by, whoever measures it."""

    project: Project
    workflow: str
    profile: HardwareProfile
    entries: Mapping[str, Entry]
    """Store entries by step: `bundle`, `corpus`, `baselines`, `unquantized`, `quantized_model`."""
    policy: AccuracyPolicy | RetrievalPolicy
    earlier: Mapping[str, BundleRef]
    """What it would take the place of: `champion` and `reference`."""

    @property
    def name(self) -> str:
        """The build's name."""
        return bundle_name(self.workflow, self.profile.name)

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.entries["bundle"].path / self.name

    @property
    def config(self) -> BundleConfig:
        """What the bundle says of itself."""
        return config_of(self.bundle)

    @property
    def bundle_digest(self) -> str:
        """The bundle's digest."""
        return sha256_of(self.bundle.parent / "manifest.json")

    @property
    def corpus(self) -> Path:
        """The corpus's folder."""
        return self.entries["corpus"].path

    @property
    def retrieves(self) -> bool:
        """Whether the build is a retriever."""
        return self.workflow in self.project.retrievers

    def step(self, name: str, inputs: Mapping[str, str]) -> Step:
        """A step that judges by all of this and by some inputs."""
        known = {role: entry.digest for role, entry in self.entries.items()}
        return Step(
            name=name,
            inputs={**known, **{role: ref.digest for role, ref in self.earlier.items()}, **inputs},
            parameters={"profile": self.profile.model_dump(mode="json"), "policy": vars(self.policy)},
            code=("evals.*", "runtimes.engine", "runtimes.knowledge", "runtimes.measure", "pipelines.steps.evidence",
                  "pipelines.steps.predecessors"),
            libraries=(*ENGINE_LIBRARIES, "scipy", "ir-measures"),
        )  # fmt: skip

    def given(self) -> dict[str, Any]:
        """What `measure` and `judge` of the workflow's task need besides bundle and corpus."""
        from evals.robustness import DISTURBED

        fitted = answers_of_models(self.entries, retrieves=self.retrieves)
        answered = {role: predecessors.answers(self.project, self.workflow, ref) for role, ref in self.earlier.items()}
        fitted |= {role: predecessors.read_answers(entry) for role, entry in answered.items()}
        given: dict[str, Any] = {
            "profile": self.profile,
            "bundle_digest": self.bundle_digest,
            "references": {model: found["test"] for model, found in fitted.items()},
            "policy": self.policy,
            "on_disturbed": fitted["unquantized"][DISTURBED],
        }
        if self.retrieves:
            given |= frozen_library(self.entries)
        if "champion" in answered:
            ours = json.loads((self.entries["quantized_model"].path / VALIDATION).read_text())
            won = predecessors.succession(self.project, self.workflow, ours, answered["champion"], self.bundle)
            given["more"] = [won]
        return given

    def judge(self, observed: Observed) -> AccuracyReport:
        """The report of what the bundle gave for the cases, wherever it ran.

        Raises:
            IntegrityError: the observations are not of this corpus or not of this bundle.
        """
        return judged(self.bundle, self.corpus, observed, self.given(), retrieves=self.retrieves)


def answers_of_models(entries: Mapping[str, Entry], *, retrieves: bool) -> dict[str, Any]:
    """What the unquantized model and the baselines answer or find, by model and split.

    Args:
        entries: with `unquantized` and `baselines`.
        retrieves: whether they are retrievers.
    """
    told = "rankings" if retrieves else "predictions"
    return {"unquantized": read_json(entries["unquantized"], told), **read_json(entries["baselines"], told)}


def frozen_library(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """The indexed library that a retriever is judged in, and the document of each passage.

    Args:
        entries: with `unquantized` and `corpus`.
    """
    passages = read_passages(entries["corpus"].path / PASSAGES_FILE, PASSAGES_FILE)
    index = retrievers.open_index(entries["unquantized"].path / retrievers.INDEX)
    return {"pack": index, "documents": retrievers.documents_of(passages)}


def judged(
    bundle: Path, corpus: Path, observed: Observed, given: Mapping[str, Any], *, retrieves: bool
) -> AccuracyReport:
    """The report of what a bundle gave for the cases of a corpus, wherever it ran.

    Args:
        bundle: its folder.
        corpus: whose cases were run.
        observed: what it gave.
        given: what `judge` of the task needs besides.
        retrieves: whether it is a retriever.

    Raises:
        IntegrityError: the observations are not of this corpus or not of this bundle.
    """
    from evals import accuracy, retrieval
    from runtimes.engine import load_confidence

    config = config_of(bundle)
    if retrieves:
        return retrieval.judge(config, corpus, observed, **given)
    return accuracy.judge(config, load_confidence(bundle, config), corpus, observed, **given)


def basis(project: Project, workflow: str, profile_name: str) -> Basis:
    """What the accuracy of a build is judged by now.

    Raises:
        RefusedError: something of it was not made yet.
    """
    latest, name = project.store.latest, bundle_name(workflow, profile_name)
    built = latest("bundle", name)
    return Basis(
        project=project,
        workflow=workflow,
        profile=resolved_profile(project, profile_name),
        entries={
            "bundle": built,
            "quantized_model": latest("quantized_model", name),
            **{step: latest(step, workflow) for step in ("corpus", "baselines", "unquantized")},
        },
        policy=(retrieval_policy if workflow in project.retrievers else accuracy_policy)(project, workflow),
        earlier=predecessors.predecessors(project, workflow, profile_name, sha256_of(built.path / "manifest.json")),
    )


def accuracy_report(project: Project, workflow: str, profile_name: str) -> Entry:
    """Accuracy on the test split, against the unquantized model and the baselines."""
    from evals import accuracy, retrieval
    from runtimes.engine.host import machine

    by, here = basis(project, workflow, profile_name), machine()
    measure = retrieval.measure if by.retrieves else accuracy.measure

    def work(out: Path) -> None:
        write_report(project, measure(by.bundle, by.corpus, **by.given(), taken=now(), machine=here), out)

    step = by.step("accuracy_report", {"machine": digest_of(dump(here))})
    forget_outdated(project, step, read_accuracy)
    return project.store.keep(by.name, step, work)


def latency_report(project: Project, workflow: str, profile_name: str) -> Entry:
    """Latency and memory in a process of its own, held to the profile's cores."""
    from evals.latency import measure
    from runtimes.engine.host import machine

    name = bundle_name(workflow, profile_name)
    built = project.store.latest("bundle", name)
    corpus = project.store.latest("corpus", workflow)
    here, profile = machine(), resolved_profile(project, profile_name)
    step = Step(
        name="latency_report",
        inputs={"bundle": built.digest, "corpus": corpus.digest, "machine": digest_of(dump(here))},
        parameters={"profile": profile.model_dump(mode="json")},
        code=("evals.*", "runtimes.engine", "runtimes.measure", "pipelines.steps.evidence"),
        libraries=ENGINE_LIBRARIES,
    )

    def work(out: Path) -> None:
        report = measure(
            built.path / name,
            profile=profile,
            bundle_digest=sha256_of(built.path / "manifest.json"),
            texts=[row["text"] for row in rows(corpus.path, "validation")],
            taken=now(),
            machine=here,
        )
        write_report(project, report, out)

    forget_outdated(project, step, read_latency)
    earlier = project.store.get(step)
    if earlier is not None and disturbed(read_latency(earlier)):
        project.store.drop(step)
    return project.store.keep(name, step, work)


def disturbed(report: LatencyReport) -> bool:
    """Whether noise left a measurement on the right hardware open: then it is worth taking again."""
    return report.measurement is Measurement.MEASURED and report.verdict is Verdict.INCONCLUSIVE


def read_accuracy(entry: Entry) -> AccuracyReport:
    """The accuracy report of a store entry."""
    return parse(AccuracyReport, (entry.path / REPORT).read_bytes(), where=f"{entry.path}/{REPORT}")


def read_latency(entry: Entry) -> LatencyReport:
    """The latency report of a store entry."""
    return parse(LatencyReport, (entry.path / REPORT).read_bytes(), where=f"{entry.path}/{REPORT}")


def read_knowledge(entry: Entry) -> KnowledgeReport:
    """The knowledge report of a store entry."""
    return parse(KnowledgeReport, (entry.path / REPORT).read_bytes(), where=f"{entry.path}/{REPORT}")


def read_json(entry: Entry, name: str) -> Any:
    """Predictions or rankings by split, or by model and split."""
    return json.loads((entry.path / f"{name}.json").read_text())


def write_report(project: Project, report: Evidence, out: Path) -> None:
    """The report for programs, signed for the release. Pages for people are made of it: see `steps.reports`."""
    from release.attest import attest

    (out / REPORT).write_bytes(dump(report))
    (out / ENVELOPE).write_bytes(attest(report, author_of(project)))
