from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.evaluate import EvaluationSummary, evaluate
from evals.rows import Row
from fleet_manifests import DataError, dump, parse

pytestmark = pytest.mark.unit


def rows_of(made: Any) -> list[Row]:
    return [Row(f"note {place}", label, place + 2) for place, label in enumerate(made.truth)]


def test_rows_of_ones_own_are_scored(case: Any) -> None:
    made = case(n=200, wrong=0.1)
    rows = [*rows_of(made), Row("weather", None, 900), Row("what", "stolen", 901), Row("gone", "stolen", 902)]
    found = evaluate(Path("unused"), rows, engine=made.engine)
    right = sum(a == b for a, b in zip(made.ours, made.truth, strict=True))
    assert found.n == 200 and found.metric("accuracy") == pytest.approx(right / 200)
    assert found.unknown_labels == {"stolen": 2}
    assert found.out_of_scope is not None and found.out_of_scope.n == 1 and found.out_of_scope.deferred == 1.0
    assert parse(EvaluationSummary, dump(found)) == found


def test_the_worst_mistakes_come_first(case: Any) -> None:
    made = case(n=200, wrong=0.2)
    wrong = next(place for place in range(200) if made.ours[place] != made.truth[place])
    sure = [9.0 if score else 0.0 for score in made.engine.scores[f"note {wrong}"]]
    made.engine.scores[f"note {wrong}"] = sure
    found = evaluate(Path("unused"), rows_of(made), engine=made.engine, mistakes=3)
    assert len(found.worst) == 3
    first = found.worst[0]
    assert (first.line, first.predicted, first.label) == (wrong + 2, made.ours[wrong], made.truth[wrong])
    assert first.answered and first.confidence > 0.99 and not found.worst[1].answered


def test_long_texts_are_shortened_or_set_aside(case: Any) -> None:
    made = case(n=20, wrong=0.0)
    long = Row("word " * 200, "late", 30)
    much = Row("x" * 20_001, "late", 31)
    made.engine.scores[long.text] = [5.0, 0.0, 0.0]
    found = evaluate(Path("unused"), [*rows_of(made), long, much], engine=made.engine)
    assert found.too_long == (31,) and found.n == 21
    assert len(found.worst[0].text) == 200 and found.worst[0].text.endswith("…")


def test_rows_that_the_model_cannot_know_are_an_error(case: Any) -> None:
    made = case(n=10)
    with pytest.raises(DataError, match="it knows damaged, late, missing; the rows have stolen"):
        evaluate(Path("unused"), [Row("gone", "stolen", 1)], engine=made.engine)
