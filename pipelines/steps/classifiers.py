"""A classifier before it is a bundle: what the unquantized model answers, and how its builds are judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import BundleConfig, Comparison, SmokeCase
from pipelines.project.load import Project
from pipelines.steps.configs import ENGINE_LIBRARIES, accuracy_policy, draft
from pipelines.steps.models import rows
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from evals.calibration import Calibrated
    from runtimes.engine import Engine

KNOWN_ROWS, KNOWN_ROWS_OF_CLASS = 512, 10
"""Training rows whose logits are tried as neighbours: altogether, and of each class at least."""
PREDICTIONS = "predictions.json"
LOGITS = "logits.npy"
"""Those of a build for the validation rows."""
SMOKE_CASES = 5


def reference(project: Project, workflow: str) -> Entry:
    """What the unquantized model answers on validation and test, and to the disturbed texts, through the engine."""

    def asked(corpus: Path) -> dict[str, Sequence[str]]:
        from evals.accuracy import cases

        found = {split: texts for split, texts in cases(corpus).items() if not split.startswith("oos_")}
        return {"validation": [row["text"] for row in rows(corpus, "validation")], **found}

    return project.store.keep(workflow, *_unquantized(project, workflow, "unquantized", ("evals.*",), asked))


def on_disturbed(project: Project, workflow: str) -> list[str]:
    """What the unquantized model answers to the validation texts, disturbed; only some recipes are asked for it."""

    def asked(corpus: Path) -> dict[str, Sequence[str]]:
        from evals.disturbances import disturbed

        return {"validation": disturbed([row["text"] for row in rows(corpus, "validation")]).texts}

    made = _unquantized(project, workflow, "unquantized_disturbed", ("evals.disturbances",), asked)
    found: list[str] = json.loads((project.store.run(*made).path / PREDICTIONS).read_text())["validation"]
    return found


def _unquantized(
    project: Project,
    workflow: str,
    name: str,
    asks: tuple[str, ...],
    asked: Callable[[Path], Mapping[str, Sequence[str]]],
) -> tuple[Step, Callable[[Path], None]]:
    """A step in which the unquantized model answers texts of the corpus, and how it is done.

    Args:
        project: whose store has the model.
        workflow: of the model.
        name: of the step.
        asks: code that decides what is asked.
        asked: the texts by split, from the folder of the corpus.
    """
    model = project.store.latest("onnx_model", workflow)
    corpus = project.store.latest("corpus", workflow)
    step = Step(
        name=name,
        inputs={"onnx_model": model.digest, "corpus": corpus.digest},
        parameters={},
        code=(*asks, "runtimes.engine", "pipelines.steps.classifiers"),
        libraries=ENGINE_LIBRARIES,
    )

    def work(out: Path) -> None:
        engine = unquantized_engine(project, workflow, model.path, corpus.path)
        found = {split: labels_of(engine, texts) for split, texts in asked(corpus.path).items()}
        (out / PREDICTIONS).write_text(json.dumps(found))

    return step, work


def calibrated(
    project: Project, workflow: str, folder: Path, config: BundleConfig, corpus: Path, evaluation: Path
) -> Calibrated:
    """Confidence and defer threshold of a build, from what `Judge.save` wrote of it."""
    import numpy as np

    from evals.calibration import calibrate
    from evals.predictions import encode

    engine = engine_of(folder, config)
    truth = encode([row["label"] for row in rows(corpus, "validation")], config.labels)
    outside = [row["text"] for row in rows(corpus, "oos_validation")]
    known = spread(rows(corpus, "train"), KNOWN_ROWS, KNOWN_ROWS_OF_CLASS)
    return calibrate(
        np.load(evaluation / LOGITS, allow_pickle=False),
        truth,
        project.classifier(workflow).gates.target_precision,
        outside=engine.logits(outside),
        known=engine.logits([row["text"] for row in known]),
        seed=project.settings.seed,
    )


def compared(
    project: Project,
    workflow: str,
    corpus: Path,
    ours: Sequence[str],
    theirs: Sequence[str],
    *,
    against: str,
    places: Sequence[int] | None = None,
    confidence: float | None = None,
) -> Comparison:
    """The paired difference of two models' labels on validation, by the workflow's metric.

    Args:
        project: whose policy it is.
        workflow: of both.
        corpus: folder of the corpus.
        ours: labels of the one.
        theirs: labels of the other.
        against: what the other is.
        places: rows that count; None: all.
        confidence: of the interval; None: the gate's.
    """
    from evals.predictions import encode
    from evals.statistics import compare

    policy = accuracy_policy(project, workflow)
    every = [row["label"] for row in rows(corpus, "validation")]
    some = range(len(every)) if places is None else places
    truth, ours, theirs = ([names[place] for place in some] for names in (every, ours, theirs))
    labels = sorted({*truth, *ours, *theirs})
    return compare(
        *(encode(names, labels) for names in (truth, ours, theirs)),
        against=against,
        metric=policy.metric,
        classes=len(labels),
        confidence=confidence or policy.confidence,
        resamples=policy.resamples,
        seed=policy.seed,
    )


def answers(_: Project, __: str, bundle: Path, corpus: Path) -> dict[str, list[str]]:
    """What a bundle answers on validation and test."""
    from runtimes.engine import load

    engine = load(bundle)
    return {split: labels_of(engine, [row["text"] for row in rows(corpus, split)]) for split in ("validation", "test")}


def spread(some: Sequence[dict[str, str]], most: int, of_class: int) -> list[dict[str, str]]:
    """Rows from all over a split: as many of each class, at most `of_class` or what makes `most` together."""
    by_label: dict[str, list[dict[str, str]]] = {}
    for row in some:
        by_label.setdefault(row["label"], []).append(row)
    share = max(most // max(len(by_label), 1), of_class)
    return [row for label in sorted(by_label) for row in by_label[label][:: -(-len(by_label[label]) // share)]]


def with_smoke(config: BundleConfig, build: Path, corpus: Path) -> BundleConfig:
    """The configuration with the surest correct answers of different labels on validation data.

    They must hold on every machine of the ISA.
    """
    import numpy as np

    engine = engine_of(build, config)
    sure: dict[str, tuple[float, str]] = {}
    logits = np.load(build / LOGITS, allow_pickle=False)
    answered = zip(logits.argmax(axis=1).tolist(), engine.confidence.of(logits).tolist(), strict=True)
    for row, (place, confidence) in zip(rows(corpus, "validation"), answered, strict=True):
        label = row["label"]
        if config.labels[place] == label and (label not in sure or confidence > sure[label][0]):
            sure[label] = confidence, row["text"]
    surest = sorted(sure.items(), key=lambda one: (-one[1][0], one[0]))[:SMOKE_CASES]
    answers = [(text, engine.classify(text)) for _, (_, text) in surest]
    cases = [SmokeCase(text=text, label=said.label, confidence=said.confidence) for text, said in answers]
    return config.model_copy(update={"smoke": tuple(cases)})


def unquantized_engine(project: Project, workflow: str, model: Path, corpus: Path) -> Engine:
    """The engine of an exported model that is no build of a profile."""
    return engine_of(model, draft(project, workflow, model, corpus, "fp32", None))


def engine_of(folder: Path, config: BundleConfig) -> Engine:
    """The engine of a build."""
    from runtimes.engine import load_parts

    return load_parts(folder, config)


def labels_of(engine: Engine, texts: Sequence[str]) -> list[str]:
    """The predicted label of each text."""
    return [engine.config.labels[index] for index in engine.logits(texts).argmax(axis=1)]
