"""Notes and papers are worth a model: words alone do not decide, and yet there is much to learn."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from pipelines.corpora.difficulty import measure_difficulty
from pipelines.corpora.leakage import without_near_duplicates
from pipelines.corpora.rows import parse_rows
from pipelines.corpora.spec import Split
from pipelines.corpora.split import divide

pytestmark = pytest.mark.integration

QUERY = "SELECT note, exception_class FROM order_exceptions WHERE disposition = 'confirmed' ORDER BY reported_at"


@pytest.fixture
def by_time(erp: sqlite3.Connection) -> tuple[tuple[list[str], np.ndarray], tuple[list[str], np.ndarray]]:
    rows = erp.execute(QUERY).fetchall()
    texts, labels = [note for note, _ in rows], np.array([label for _, label in rows])
    first, last = int(0.7 * len(rows)), int(0.85 * len(rows))
    return (texts[:first], labels[:first]), (texts[last:], labels[last:])


@pytest.mark.parametrize("strength", [1.0, 10.0])
def test_words_alone_stay_below_090(
    by_time: tuple[tuple[list[str], np.ndarray], tuple[list[str], np.ndarray]], strength: float
) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline

    (texts, labels), (later, truth) = by_time
    words = TfidfVectorizer(ngram_range=(1, 2))
    model = make_pipeline(words, LogisticRegression(C=strength, max_iter=1000)).fit(texts, labels)
    score = f1_score(truth, model.predict(later), average="macro")
    assert 0.60 < score < 0.90


PAPERS = "SELECT document_id AS id, body AS text, document_type AS label, received_at AS time FROM inbound_documents"


def test_papers_are_worth_a_model_too_and_can_be_told_apart(erp: sqlite3.Connection) -> None:
    erp.row_factory = sqlite3.Row
    records = [dict(row) for row in erp.execute(f"{PAPERS} WHERE disposition = 'filed'")]
    splits = divide(parse_rows(records, "papers", labelled=True), Split(by="time"), seed=7)
    assert sum(map(len, splits.values())) == len(records)
    found = measure_difficulty(splits["train"], splits["validation"], splits["test"])
    assert 0.80 < found.validation_macro_f1 < 0.95
    assert 0.80 < found.test_macro_f1 < 0.95


def test_no_paper_is_nearly_the_same_as_a_later_one(erp: sqlite3.Connection) -> None:
    erp.row_factory = sqlite3.Row
    records = [dict(row) for row in erp.execute(f"{PAPERS} WHERE disposition = 'filed'")]
    splits = divide(parse_rows(records, "papers", labelled=True), Split(by="time"), seed=7)
    _, removed = without_near_duplicates(splits)
    assert sum(removed.values()) <= 0.01 * len(records)
