"""A classifier before it is a bundle: what the unquantized model answers, and how its builds are judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import BundleConfig, Comparison, HardwareProfile, SmokeCase, Verdict
from pipelines.project.load import Project
from pipelines.steps.configs import ENGINE_LIBRARIES, accuracy_policy, draft
from pipelines.steps.models import rows
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    import numpy as np

    from evals.calibration import Calibrated
    from quantize.search import Score
    from runtimes.engine import Engine

KNOWN_ROWS, KNOWN_ROWS_OF_CLASS = 512, 10
"""Training rows whose logits are tried as neighbours: altogether, and of each class at least."""
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
        (out / "predictions.json").write_text(json.dumps(found))

    return project.store.keep(workflow, step, work)


class Trial:
    """Judges builds on validation data; remembers the last one."""

    def __init__(
        self, project: Project, workflow: str, profile: HardwareProfile, corpus: Path, reference: Path
    ) -> None:
        """Take the validation rows, and what the unquantized model answers to them."""
        self._project, self._workflow, self._profile = project, workflow, profile
        self._corpus = corpus
        self._rows = rows(corpus, "validation")
        self._theirs: list[str] = json.loads((reference / "predictions.json").read_text())["validation"]
        self._gates = project.classifier(workflow).gates
        self._engine: Engine | None = None
        self._logits: np.ndarray | None = None
        self._labels: tuple[str, ...] = ()
        self.answers: list[str] = []
        """What the last build answered to the validation rows."""

    def evaluate(self, folder: Path) -> Score:
        """Non-inferiority to the unquantized model, paired; few rows may leave it open, the test split decides."""
        from evals.gates import non_inferior
        from quantize.search import Score

        recipe = json.loads((folder / "recipe.json").read_text())["recipe"]
        engine = _engine(folder, draft(self._project, self._workflow, folder, self._corpus, recipe, self._profile))
        self._engine, self._labels = engine, engine.config.labels
        self._logits = engine.logits([row["text"] for row in self._rows])
        self.answers = [self._labels[place] for place in self._logits.argmax(axis=1)]
        found = compared(self._project, self._workflow, self._corpus, self.answers, self._theirs, against="unquantized")
        gate = non_inferior(found, margin=self._gates.margin)
        return Score(gate.verdict is not Verdict.FAIL, gate.reason, {found.metric: found.ours})

    def calibrated(self) -> Calibrated:
        """Confidence and defer threshold of the last build that was judged."""
        from evals.calibration import calibrate
        from evals.predictions import encode

        assert self._engine is not None and self._logits is not None
        truth = encode([row["label"] for row in self._rows], self._labels)
        outside = [row["text"] for row in rows(self._corpus, "oos_validation")]
        known = spread(rows(self._corpus, "train"), KNOWN_ROWS, KNOWN_ROWS_OF_CLASS)
        return calibrate(
            self._logits,
            truth,
            self._gates.target_precision,
            outside=self._engine.logits(outside),
            known=self._engine.logits([row["text"] for row in known]),
            seed=self._project.settings.seed,
        )


def compared(
    project: Project, workflow: str, corpus: Path, ours: Sequence[str], theirs: Sequence[str], *, against: str
) -> Comparison:
    """The paired difference of two models' labels on validation, by the workflow's metric."""
    from evals.predictions import encode
    from evals.statistics import compare

    policy = accuracy_policy(project, workflow)
    truth = [row["label"] for row in rows(corpus, "validation")]
    labels = sorted({*truth, *ours, *theirs})
    return compare(
        *(encode(names, labels) for names in (truth, ours, theirs)),
        against=against,
        metric=policy.metric,
        classes=len(labels),
        confidence=policy.confidence,
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
