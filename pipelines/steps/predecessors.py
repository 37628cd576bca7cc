"""What a build would take the place of: the champion that a channel has, and the reference that it is held to.

They are run anew on the corpus as it is now, so that both answer the same rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import Gate, digest_of, dump
from fleet_manifests.bundle import BundleRef
from pipelines.project.load import Project
from pipelines.steps import retrievers
from pipelines.steps.configs import ENGINE_LIBRARIES
from pipelines.steps.models import rows
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from evals.accuracy import AccuracyPolicy
    from evals.searches import RetrievalPolicy
    from fleet_manifests import Comparison

CHANNELS = ("stable", "canary")
"""Where the champion is looked for, in this order."""
ANSWERS = "answers.json"
BUNDLE = "bundle"


def predecessors(project: Project, workflow: str, profile: str, bundle: str) -> dict[str, BundleRef]:
    """The `champion` and the `reference` of a build, as far as there are such and they are not the build itself.

    Args:
        project: whose published tree is read, verified.
        workflow: of the build.
        profile: of the build.
        bundle: digest of the build's own bundle.
    """
    from pipelines.steps.release import release_of

    release = release_of(project)
    if not release.repository.exists:
        return {}
    for channel in CHANNELS:
        manifest = release.manifest(channel)
        entry = manifest.workflows.get(workflow) if manifest else None
        build = entry.builds.get(profile) if entry else None
        if build is not None:
            found = {"champion": build.bundle, "reference": build.reference or build.bundle}
            return {role: ref for role, ref in found.items() if ref.digest != bundle}
    return {}


def answers(project: Project, workflow: str, ref: BundleRef) -> Entry:
    """What a published bundle answers or finds on validation and test, through the engine."""
    from runtimes.engine.host import machine

    corpus = project.store.latest("corpus", workflow)
    inputs = {"bundle": ref.digest, "corpus": corpus.digest, "machine": digest_of(dump(machine()))}
    if workflow in project.retrievers:
        inputs["unquantized"] = project.store.latest("unquantized", workflow).digest
    step = Step(
        name="predecessor_answers",
        inputs=inputs,
        parameters={},
        code=("evals", "runtimes.engine", "runtimes.knowledge", "pipelines.steps.predecessors", "release.published"),
        libraries=ENGINE_LIBRARIES,
    )

    def work(out: Path) -> None:
        from release import unpack

        folder = out / BUNDLE
        folder.mkdir()
        unpack(project.public, ref, folder)
        found = (_rankings if workflow in project.retrievers else _labels)(project, workflow, folder, corpus.path)
        (out / ANSWERS).write_text(json.dumps(found))

    return project.store.run(step, work)


def _labels(project: Project, workflow: str, folder: Path, corpus: Path) -> dict[str, list[str]]:
    from runtimes.engine import load

    engine = load(folder)
    texts = {split: [row["text"] for row in rows(corpus, split)] for split in ("validation", "test")}
    return {
        split: [engine.config.labels[place] for place in engine.logits(some).argmax(axis=1)]
        for split, some in texts.items()
    }


def _rankings(project: Project, workflow: str, folder: Path, corpus: Path) -> dict[str, dict[str, list[str]]]:
    """What it finds in the frozen library as it is now, embedded by itself, fused as validation chooses."""
    from runtimes.engine import load_embedder

    return retrievers.found_by(project, workflow, load_embedder(folder))


def read_answers(entry: Entry) -> Any:
    """Labels or rankings by split."""
    return json.loads((entry.path / ANSWERS).read_text())


def succession(ours: Comparison, entry: Entry, bundle: Path) -> Gate:
    """Whether a build is better or smaller than the champion; else the champion stays.

    Args:
        ours: the paired difference to the champion, on validation.
        entry: the champion's answers.
        bundle: folder of the build's bundle.
    """
    from evals.gates import succeeds

    return succeeds(ours, _megabytes(bundle), _megabytes(entry.path / BUNDLE))


def compared(
    project: Project, workflow: str, ours: Any, theirs: Any, policy: AccuracyPolicy | RetrievalPolicy
) -> Comparison:
    """The paired difference of two models' answers on validation.

    Args:
        project: whose corpus it is.
        workflow: of both.
        ours: labels or rankings of the build.
        theirs: those of the champion.
        policy: metric and statistics.
    """
    corpus = project.store.latest("corpus", workflow)
    settings: dict[str, Any] = {"confidence": policy.confidence, "resamples": policy.resamples, "seed": policy.seed}
    if workflow in project.retrievers:
        from evals.questions import read_questions
        from evals.ranking import compare_rankings, per_question

        questions = read_questions(corpus.path, "validation").questions
        relevant = {question.id: question.relevant for question in questions}
        mine, other = (per_question(found, relevant) for found in (ours, theirs))
        return compare_rankings(mine, other, metric=policy.metric, against="champion", **settings)
    from evals.predictions import encode
    from evals.statistics import MetricName, compare

    truth = [row["label"] for row in rows(corpus.path, "validation")]
    labels = sorted({*truth, *ours})
    codes = [encode(names, labels) for names in (truth, ours, theirs)]
    metric: MetricName = "accuracy" if policy.metric == "accuracy" else "macro_f1"
    return compare(*codes, classes=len(labels), metric=metric, against="champion", **settings)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
