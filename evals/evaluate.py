"""Score any bundle on rows of one's own: what a customer does with last week's tickets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evals.engines import Engine, load_engine
from evals.predictions import Predictions, encode, predict
from evals.rows import Row
from evals.scores import confusion, out_of_scope, scores
from fleet_manifests import Confusion, DataError, Metric, OutOfScope, Wire

MAX_SHOWN = 200
"""Characters of a text that a mistake shows."""


class Mistake(Wire):
    """A row that the model got wrong."""

    line: int
    text: str
    label: str
    predicted: str
    confidence: float
    answered: bool
    """Whether a site would have given the wrong answer, or deferred."""


class EvaluationSummary(Wire):
    """How a bundle does on some labelled rows. Not evidence: it has no gate and no verdict."""

    workflow: str
    profile: str
    n: int
    """Rows scored: their label is one of the model's and the engine accepts their text."""
    metrics: tuple[Metric, ...]
    """accuracy, macro_f1, coverage, precision_answered, f1/<label>."""
    out_of_scope: OutOfScope | None = None
    unknown_labels: dict[str, int] = {}
    """Labels that the model does not have, with their rows; those rows are not scored."""
    too_long: tuple[int, ...] = ()
    """Lines whose text is longer than the engine accepts; not scored."""
    worst: tuple[Mistake, ...] = ()
    """Mistakes, most confident first."""
    confusion: Confusion

    def metric(self, name: str) -> float | None:
        """Value of a metric, None where the rows gave no ground for it."""
        return next((metric.value for metric in self.metrics if metric.name == name), None)


def evaluate(
    bundle: Path, rows: Sequence[Row], *, engine: Engine | None = None, mistakes: int = 10
) -> EvaluationSummary:
    """Score a bundle through the engine that sites run.

    Args:
        bundle: folder of the bundle.
        rows: from `evals.rows.read_rows`; a row without a label is out of scope.
        engine: a loaded bundle; None loads it.
        mistakes: how many of the worst mistakes to list.

    Raises:
        DataError: no row has a label that the model knows.
        IntegrityError: the bundle does not load.
    """
    engine = engine or load_engine(bundle)
    labels = engine.config.labels
    usable = [row for row in rows if len(row.text) <= engine.config.max_characters]
    inside = [row for row in usable if row.label in labels]
    outside = [row.text for row in usable if row.label is None]
    unknown = Counter(row.label for row in usable if row.label is not None and row.label not in labels)
    if not inside:
        raise DataError(
            f"no row has a label that the model knows; it knows {', '.join(labels)}; "
            f"the rows have {', '.join(sorted(unknown)) or 'none'}"
        )
    predictions = predict(engine, [row.text for row in inside])
    truth = encode([row.label or "" for row in inside], labels)
    return EvaluationSummary(
        workflow=engine.config.workflow,
        profile=engine.config.profile,
        n=len(inside),
        metrics=tuple(scores(truth, predictions)),
        out_of_scope=out_of_scope(predictions, predict(engine, outside)) if outside else None,
        unknown_labels=dict(sorted(unknown.items())),
        too_long=tuple(row.line for row in rows if len(row.text) > engine.config.max_characters),
        worst=_mistakes(inside, predictions, mistakes),
        confusion=confusion(truth, predictions),
    )


def _mistakes(rows: Sequence[Row], predictions: Predictions, limit: int) -> tuple[Mistake, ...]:
    """The most confident wrong answers."""
    names, sure = predictions.names, predictions.answered
    wrong = [place for place, row in enumerate(rows) if names[place] != row.label]
    wrong.sort(key=lambda place: (-predictions.confidence[place], rows[place].line))
    return tuple(
        Mistake(
            line=rows[place].line,
            text=_shortened(rows[place].text),
            label=rows[place].label or "",
            predicted=names[place],
            confidence=float(predictions.confidence[place]),
            answered=bool(sure[place]),
        )
        for place in wrong[:limit]
    )


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 1] + "…"
