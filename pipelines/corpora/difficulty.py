"""How hard a corpus is for a classical model: if that already does it, no language model is needed."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_manifests import Wire
from pipelines.corpora.rows import Row

METHOD = "TF-IDF of words and word pairs (sublinear) with logistic regression (C=10), trained on train"


class Difficulty(Wire):
    """What the classical model reaches."""

    method: str = METHOD
    validation_macro_f1: float
    test_macro_f1: float


def measure_difficulty(train: Sequence[Row], validation: Sequence[Row], test: Sequence[Row]) -> Difficulty:
    """Fit TF-IDF + logistic regression on train and score validation and test."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
        LogisticRegression(C=10.0, max_iter=1000, random_state=0),
    )
    model.fit([row.text for row in train], [row.label for row in train])

    def macro_f1(rows: Sequence[Row]) -> float:
        predicted = model.predict([row.text for row in rows])
        return round(float(f1_score([row.label for row in rows], predicted, average="macro", zero_division=0)), 4)

    return Difficulty(validation_macro_f1=macro_f1(validation), test_macro_f1=macro_f1(test))
