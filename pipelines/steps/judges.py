"""Who judges builds in a recipe search: on validation data, against the unquantized model, task by task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from fleet_manifests import BundleConfig, Comparison, Gate
from pipelines.corpora.library import PASSAGES_FILE, read_passages
from pipelines.project.load import Project
from pipelines.steps import classifiers, retrievers
from pipelines.steps.models import rows

VALIDATION = "validation.json"
"""What a build answers to the validation rows."""


class Judge(Protocol):
    """Judges builds of one task on validation data: `ClassifierJudge` and `RetrieverJudge`."""

    margin: float
    confidence: float

    @property
    def texts(self) -> Sequence[str]:
        """What is asked on validation."""

    def training_texts(self) -> Sequence[str]:
        """Real inputs that validation has not seen."""

    def open(self, folder: Path, config: BundleConfig) -> None:
        """Load a build."""

    def answer(self, places: Sequence[int]) -> None:
        """Have it answer the texts at these places."""

    def compare(self, places: Sequence[int], confidence: float) -> Comparison:
        """The paired difference to the unquantized model there."""

    def more(self, disturbed: bool) -> Iterator[Gate]:
        """What else is asked of a build that keeps the metric; with a look at disturbed texts where that is asked."""

    def metrics(self) -> dict[str, float]:
        """What it is worth on all rows; higher is better."""

    def save(self, out: Path) -> None:
        """Write what it answered."""


class ClassifierJudge:
    """Judges builds on validation data, by what the unquantized model answers."""

    def __init__(self, project: Project, workflow: str, corpus: Path, reference: Path) -> None:
        """Take the validation rows, and what the unquantized model answers to them."""
        self._project, self._workflow, self._corpus = project, workflow, corpus
        self._theirs: list[str] = json.loads((reference / classifiers.PREDICTIONS).read_text())["validation"]
        gates = project.classifier(workflow).gates
        self.margin, self.confidence = gates.margin, gates.confidence
        self.texts = [row["text"] for row in rows(corpus, "validation")]

    def training_texts(self) -> list[str]:
        """The texts of the training rows."""
        return [row["text"] for row in rows(self._corpus, "train")]

    def open(self, folder: Path, config: BundleConfig) -> None:
        """Load a build."""
        import numpy as np

        self._engine = classifiers.engine_of(folder, config)
        self._logits = np.zeros((len(self.texts), len(config.labels)), np.float32)

    def answer(self, places: Sequence[int]) -> None:
        """Have it answer the rows at these places."""
        self._logits[list(places)] = self._engine.logits([self.texts[place] for place in places])

    def compare(self, places: Sequence[int], confidence: float) -> Comparison:
        """The paired difference to the unquantized model on the rows at these places."""
        return classifiers.compared(
            self._project,
            self._workflow,
            self._corpus,
            self._answers(),
            self._theirs,
            against="unquantized",
            places=places,
            confidence=confidence,
        )

    def more(self, disturbed: bool) -> Iterator[Gate]:
        """Whether it loses on the disturbed validation texts what it does not lose on clean ones, if that is asked."""
        from evals.disturbances import disturbed as changed
        from evals.gates import robust

        if not disturbed:
            return
        asked = changed(self.texts)
        theirs = classifiers.on_disturbed(self._project, self._workflow)
        ours = classifiers.labels_of(self._engine, asked.texts)
        every = [[""] * len(self.texts) for _ in range(2)]
        for place, *given in zip(asked.places, ours, theirs, strict=True):
            every[0][place], every[1][place] = given
        found = classifiers.compared(
            self._project, self._workflow, self._corpus, *every, against="unquantized", places=asked.places
        )
        yield robust(found, margin=self.margin)

    def metrics(self) -> dict[str, float]:
        """The gate's metric, and how often the answer is that of the unquantized model."""
        answers = self._answers()
        found = classifiers.compared(
            self._project, self._workflow, self._corpus, answers, self._theirs, against="unquantized"
        )
        same = sum(ours == theirs for ours, theirs in zip(answers, self._theirs, strict=True))
        return {found.metric: found.ours, "agreement": same / len(answers)}

    def save(self, out: Path) -> None:
        """Write labels and logits."""
        import numpy as np

        (out / VALIDATION).write_text(json.dumps(self._answers()))
        np.save(out / classifiers.LOGITS, self._logits, allow_pickle=False)

    def _answers(self) -> list[str]:
        labels = self._engine.config.labels
        return [labels[place] for place in self._logits.argmax(axis=1)]


class RetrieverJudge:
    """Judges builds by what they find in the frozen library for validation questions."""

    def __init__(self, project: Project, workflow: str, corpus: Path, reference: Path) -> None:
        """Take the validation questions, and what the unquantized model finds for them."""
        from evals.questions import read_questions

        self._project, self._workflow, self._corpus = project, workflow, corpus
        self._pack = retrievers.open_index(reference / retrievers.INDEX)
        self._questions = read_questions(corpus, "validation").questions
        self._theirs = json.loads((reference / retrievers.RANKINGS).read_text())
        gates = project.retriever(workflow).gates
        self.margin, self.confidence = gates.margin, gates.confidence
        self._least_overlap = gates.neighbour_overlap
        self.texts = [question.text for question in self._questions]

    def training_texts(self) -> list[str]:
        """Training questions and the passages of the frozen library."""
        from evals.questions import read_questions

        passages = read_passages(self._corpus / PASSAGES_FILE, PASSAGES_FILE)
        questions = read_questions(self._corpus, "train").questions
        return [*(question.text for question in questions), *(passage.content for passage in passages)]

    def open(self, folder: Path, config: BundleConfig) -> None:
        """Load a build."""
        from runtimes.engine import load_embedder_parts

        self._embedder = load_embedder_parts(folder, config)
        self._found: dict[str, list[str]] = {}
        self._near: dict[str, list[str]] = {}

    def answer(self, places: Sequence[int]) -> None:
        """Have it look for the questions at these places."""
        some = [self._questions[place] for place in places]
        for id_, ranked in retrievers.searched(self._pack, self._embedder, some):
            self._found[id_], self._near[id_] = list(ranked.fused), list(ranked.dense[: retrievers.NEIGHBOURS])

    def compare(self, places: Sequence[int], confidence: float) -> Comparison:
        """The paired difference to the unquantized model on the questions at these places."""
        return self._compared(self._found, self._theirs["validation"], places, confidence)

    def _compared(
        self, ours: retrievers.Rankings, theirs: retrievers.Rankings, places: Sequence[int] | None, level: float
    ) -> Comparison:
        return retrievers.compared(
            self._project,
            self._workflow,
            self._corpus,
            ours,
            theirs,
            against="unquantized",
            places=places,
            confidence=level,
        )

    def more(self, disturbed: bool) -> Iterator[Gate]:
        """Whether it finds the neighbours that the unquantized model finds, and, if asked, disturbed questions too."""
        from evals.disturbances import disturbed as changed
        from evals.gates import overlap, robust
        from evals.retrieval import disturbed_questions

        yield overlap(self._overlap(), len(self._near), required=self._least_overlap)
        if not disturbed:
            return
        asked, places = disturbed_questions(self._questions), changed(self.texts).places
        ours = retrievers.rankings(self._pack, self._embedder, asked)
        theirs = retrievers.rankings(self._pack, retrievers.unquantized(self._project, self._workflow), asked)
        yield robust(self._compared(ours, theirs, places, self.confidence), margin=self.margin)

    def metrics(self) -> dict[str, float]:
        """The gate's metric, and the share of the nearest passages that are those of the unquantized model."""
        found = self._compared(self._found, self._theirs["validation"], None, self.confidence)
        return {found.metric: found.ours, "neighbour_overlap": self._overlap()}

    def _overlap(self) -> float:
        theirs = self._theirs[retrievers.NEAREST]
        shared = [len(set(near) & set(theirs[id_])) / len(theirs[id_]) for id_, near in self._near.items()]
        return sum(shared) / len(shared)

    def save(self, out: Path) -> None:
        """Write the rankings."""
        (out / VALIDATION).write_text(json.dumps(self._found))


def judge_of(project: Project, workflow: str, corpus: Path, unquantized: Path) -> Judge:
    """Who judges the builds of a workflow.

    Args:
        project: whose workflow it is.
        workflow: of the builds.
        corpus: folder of the corpus.
        unquantized: what the unquantized model answers or finds.
    """
    kind = RetrieverJudge if workflow in project.retrievers else ClassifierJudge
    return kind(project, workflow, corpus, unquantized)
