"""Evidence about a bundle: measured on the bundle itself, signed over its digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import (
    AccuracyReport,
    Evidence,
    KnowledgeReport,
    LatencyReport,
    Measurement,
    Verdict,
    digest_of,
    dump,
    parse,
    sha256_of,
)
from fleet_manifests.bundle import bundle_name
from fleet_manifests.evidence import now
from pipelines.corpora.library import PASSAGES_FILE, read_passages
from pipelines.project.load import Project
from pipelines.steps import predecessors, retrievers
from pipelines.steps.builds import VALIDATION
from pipelines.steps.configs import ENGINE_LIBRARIES, builder_key, resolved_profile
from pipelines.steps.models import rows
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from evals.accuracy import AccuracyPolicy
    from evals.searches import RetrievalPolicy

REPORT = "report.json"
ENVELOPE = "evidence.dsse.json"
PAGE = "report.html"


def accuracy_report(project: Project, workflow: str, profile_name: str) -> Entry:
    """Accuracy on the test split, against the unquantized model and the baselines."""
    from evals import accuracy, retrieval
    from evals.robustness import DISTURBED
    from runtimes.engine.host import machine

    name = bundle_name(workflow, profile_name)
    built = project.store.latest("bundle", name)
    corpus = project.store.latest("corpus", workflow)
    baselines = project.store.latest("baselines", workflow)
    unquantized = project.store.latest("unquantized", workflow)
    retrieves = workflow in project.retrievers
    policy = (retrieval_policy if retrieves else accuracy_policy)(project, workflow)
    here, profile = machine(), resolved_profile(project, profile_name)
    digest = sha256_of(built.path / "manifest.json")
    earlier = predecessors.predecessors(project, workflow, profile_name, digest)
    build = project.store.latest("quantized_model", name)
    step = Step(
        name="accuracy_report",
        inputs={
            "bundle": built.digest, "corpus": corpus.digest, "baselines": baselines.digest,
            "unquantized": unquantized.digest, "machine": digest_of(dump(here)), "quantized_model": build.digest,
            **{role: ref.digest for role, ref in earlier.items()},
        },
        parameters={"profile": profile.model_dump(mode="json"), "policy": vars(policy)},
        code=("evals", "runtimes.engine", "runtimes.knowledge", "runtimes.measure", "pipelines.steps.evidence",
              "pipelines.steps.predecessors"),
        libraries=(*ENGINE_LIBRARIES, "scipy", "ir-measures"),
    )  # fmt: skip

    def work(out: Path) -> None:
        told = "rankings" if retrieves else "predictions"
        fitted = {"unquantized": read_json(unquantized, told), **read_json(baselines, told)}
        answered = {role: predecessors.answers(project, workflow, ref) for role, ref in earlier.items()}
        fitted |= {role: predecessors.read_answers(entry) for role, entry in answered.items()}
        given: dict[str, Any] = {
            "profile": profile,
            "bundle_digest": digest,
            "references": {model: found["test"] for model, found in fitted.items()},
            "policy": policy,
            "on_disturbed": fitted["unquantized"][DISTURBED],
            "taken": now(),
            "machine": here,
        }
        if retrieves:
            given["pack"] = retrievers.open_index(unquantized.path / retrievers.INDEX)
            given["documents"] = retrievers.documents_of(read_passages(corpus.path / PASSAGES_FILE, PASSAGES_FILE))
        if "champion" in answered:
            ours = json.loads((build.path / VALIDATION).read_text())
            won = predecessors.compared(project, workflow, ours, fitted["champion"]["validation"], policy)
            given["more"] = [predecessors.succession(won, answered["champion"], built.path / name)]
        measure = retrieval.measure if retrieves else accuracy.measure
        write_report(project, measure(built.path / name, corpus.path, **given), out)

    return project.store.keep(name, step, work)


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
        code=("evals", "runtimes.engine", "runtimes.measure", "pipelines.steps.evidence"),
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


def retrieval_policy(project: Project, workflow: str) -> RetrievalPolicy:
    """What a `retrieve` workflow asks of what its builds find."""
    from evals.searches import RetrievalPolicy

    gates = project.retriever(workflow).gates
    return RetrievalPolicy(**gates.model_dump(), seed=project.settings.seed)


def accuracy_policy(project: Project, workflow: str) -> AccuracyPolicy:
    """What a `classify` workflow asks of what its builds answer."""
    from evals.accuracy import AccuracyPolicy

    gates = project.classifier(workflow).gates
    return AccuracyPolicy(
        metric=gates.metric,
        floor=gates.floor,
        margin=gates.margin,
        confidence=gates.confidence,
        seed=project.settings.seed,
    )


def read_json(entry: Entry, name: str) -> Any:
    """Predictions or rankings by split, or by model and split."""
    return json.loads((entry.path / f"{name}.json").read_text())


def write_report(project: Project, report: Evidence, out: Path) -> None:
    """The report for programs, signed for the release. Pages for people are made of it: see `steps.reports`."""
    from release.attest import attest

    (out / REPORT).write_bytes(dump(report))
    (out / ENVELOPE).write_bytes(attest(report, builder_key(project)))
