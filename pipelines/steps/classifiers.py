"""A classifier before it is a bundle: what the unquantized model answers, and how its builds are judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import BundleConfig, Comparison, Gate, SmokeCase
from pipelines.project.load import Project
from pipelines.steps.configs import ENGINE_LIBRARIES, accuracy_policy, draft
from pipelines.steps.models import rows
from pipelines.steps.trials import VALIDATION
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
SMOKE_ROWS = 200
"""Validation rows among which smoke cases are looked for."""


def reference(project: Project, workflow: str) -> Entry:
    """What the unquantized model answers on validation and test, and to the disturbed texts, through the engine."""
    model = project.store.latest("onnx_model", workflow)
    corpus = project.store.latest("corpus", workflow)
    step = Step(
        name="unquantized",
        inputs={"onnx_model": model.digest, "corpus": corpus.digest},
        parameters={},
        code=("evals.*", "runtimes.engine", "pipelines.steps.classifiers"),
        libraries=ENGINE_LIBRARIES,
    )

    def work(out: Path) -> None:
        from evals.accuracy import cases

        engine = _engine(model.path, draft(project, workflow, model.path, corpus.path, "fp32", None))
        texts = {"validation": [row["text"] for row in rows(corpus.path, "validation")], **cases(corpus.path)}
        found = {split: _labels(engine, some) for split, some in texts.items() if not split.startswith("oos_")}
        (out / PREDICTIONS).write_text(json.dumps(found))

    return project.store.keep(workflow, step, work)


def on_disturbed(project: Project, workflow: str) -> list[str]:
    """What the unquantized model answers to the validation texts, disturbed; only some recipes are asked for it."""
    model = project.store.latest("onnx_model", workflow)
    corpus = project.store.latest("corpus", workflow)
    step = Step(
        name="unquantized_disturbed",
        inputs={"onnx_model": model.digest, "corpus": corpus.digest},
        parameters={},
        code=("evals.disturbances", "runtimes.engine", "pipelines.steps.classifiers"),
        libraries=ENGINE_LIBRARIES,
    )

    def work(out: Path) -> None:
        from evals.disturbances import disturbed

        engine = _engine(model.path, draft(project, workflow, model.path, corpus.path, "fp32", None))
        texts = disturbed([row["text"] for row in rows(corpus.path, "validation")]).texts
        (out / PREDICTIONS).write_text(json.dumps(_labels(engine, texts)))

    found: list[str] = json.loads((project.store.run(step, work).path / PREDICTIONS).read_text())
    return found


class Judge:
    """Judges builds on validation data, by what the unquantized model answers."""

    def __init__(self, project: Project, workflow: str, corpus: Path, reference: Path) -> None:
        """Take the validation rows, and what the unquantized model answers to them."""
        self._project, self._workflow, self._corpus = project, workflow, corpus
        self._theirs: list[str] = json.loads((reference / PREDICTIONS).read_text())["validation"]
        gates = project.classifier(workflow).gates
        self.margin, self.confidence = gates.margin, gates.confidence
        self.texts = [row["text"] for row in rows(corpus, "validation")]

    def training_texts(self) -> list[str]:
        """The texts of the training rows."""
        return [row["text"] for row in rows(self._corpus, "train")]

    def open(self, folder: Path, config: BundleConfig) -> None:
        """Load a build."""
        import numpy as np

        self._engine = _engine(folder, config)
        self._logits = np.zeros((len(self.texts), len(config.labels)), np.float32)

    def answer(self, places: Sequence[int]) -> None:
        """Have it answer the rows at these places."""
        self._logits[list(places)] = self._engine.logits([self.texts[place] for place in places])

    def compare(self, places: Sequence[int], confidence: float) -> Comparison:
        """The paired difference to the unquantized model on the rows at these places."""
        return compared(
            self._project,
            self._workflow,
            self._corpus,
            self._answers(),
            self._theirs,
            against="unquantized",
            places=places,
            confidence=confidence,
        )

    def robust(self) -> Gate:
        """Whether it loses on the disturbed validation texts what it does not lose on clean ones."""
        from evals.disturbances import disturbed
        from evals.gates import robust

        asked = disturbed(self.texts)
        theirs = on_disturbed(self._project, self._workflow)
        ours = _labels(self._engine, asked.texts)
        every = [[""] * len(self.texts) for _ in range(2)]
        for place, *given in zip(asked.places, ours, theirs, strict=True):
            every[0][place], every[1][place] = given
        found = compared(
            self._project, self._workflow, self._corpus, *every, against="unquantized", places=asked.places
        )
        return robust(found, margin=self.margin)

    def metrics(self) -> dict[str, float]:
        """The gate's metric, and how often the answer is that of the unquantized model."""
        answers = self._answers()
        found = compared(self._project, self._workflow, self._corpus, answers, self._theirs, against="unquantized")
        same = sum(ours == theirs for ours, theirs in zip(answers, self._theirs, strict=True))
        return {found.metric: found.ours, "agreement": same / len(answers)}

    def save(self, out: Path) -> None:
        """Write labels and logits."""
        import numpy as np

        (out / VALIDATION).write_text(json.dumps(self._answers()))
        np.save(out / LOGITS, self._logits, allow_pickle=False)

    def _answers(self) -> list[str]:
        labels = self._engine.config.labels
        return [labels[place] for place in self._logits.argmax(axis=1)]


def calibrated(
    project: Project, workflow: str, folder: Path, config: BundleConfig, corpus: Path, evaluation: Path
) -> Calibrated:
    """Confidence and defer threshold of a build, from what `Judge.save` wrote of it."""
    import numpy as np

    from evals.calibration import calibrate
    from evals.predictions import encode

    engine = _engine(folder, config)
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
    return {split: _labels(engine, [row["text"] for row in rows(corpus, split)]) for split in ("validation", "test")}


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
    engine = _engine(build, config)
    sure: dict[str, SmokeCase] = {}
    for row in rows(corpus, "validation")[:SMOKE_ROWS]:
        answer = engine.classify(row["text"])
        best = sure.get(answer.label)
        if answer.label == row["label"] and (best is None or answer.confidence > best.confidence):
            sure[answer.label] = SmokeCase(text=row["text"], label=answer.label, confidence=answer.confidence)
    ranked = sorted(sure.values(), key=lambda case: (-case.confidence, case.label))
    return config.model_copy(update={"smoke": tuple(ranked[:SMOKE_CASES])})


def _engine(folder: Path, config: BundleConfig) -> Engine:
    from runtimes.engine import load_parts

    return load_parts(folder, config)


def _labels(engine: Engine, texts: Sequence[str]) -> list[str]:
    """The predicted label of each text."""
    return [engine.config.labels[index] for index in engine.logits(texts).argmax(axis=1)]
