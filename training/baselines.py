"""What a tuned model must beat: the frozen base with a light head, and a classical model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.arguments import TuneArguments
from training.bases import ResolvedBase
from training.compute import choose, held
from training.corpus import Corpus, read_corpus
from training.features import Progress
from training.files import staged, write_json
from training.frozen import frozen_embeddings
from training.probe import LENGTH, class_weights, macro_f1

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STRENGTHS = {"frozen_lr": (0.03, 0.1, 0.3, 1.0, 3.0), "tfidf_svm": (0.1, 0.3, 1.0)}
"""Inverse regularisation strengths tried per baseline; validation macro-F1 chooses."""

SPLITS = ("validation", "test")


def fit_baselines(
    corpus: Path,
    base: ResolvedBase,
    out: Path,
    arguments: TuneArguments | None = None,
    progress: Progress | None = None,
    *,
    frozen: Path | None = None,
) -> None:
    """Fit the baselines and write `predictions.json` and `scores.json`.

    Predictions are labels, one per row of `validation.jsonl` and `test.jsonl`, in file order.

    Args:
        arguments: of the tuned model; token limit, class weighting, precision and threads are taken from it.
        progress: told how far it is.
        frozen: a folder of `training.frozen.embed_frozen` for this corpus and base; None: embedded here.

    Raises:
        DataError: nothing can be learned from the corpus.
        IntegrityError: the base cannot be loaded.
        UsageError: `out` is not empty, or the base has fewer positions than `max_tokens`.
        StorageError: `out` cannot be written.
    """
    arguments = arguments or TuneArguments()
    report: Progress = progress or (lambda share, what: None)
    rows = read_corpus(corpus)
    weights = class_weights(rows.counts(), arguments.class_weighting)
    fitted: dict[str, tuple[dict[str, list[int]], float]] = {}
    with staged(out) as partial:
        report(0.0, "embedding with the frozen base")
        vectors = _embeddings(rows, base, arguments, frozen)
        report(0.4, "logistic regression on the frozen base")
        fitted["frozen_lr"] = _choose(rows, vectors, weights, STRENGTHS["frozen_lr"], _regression)
        report(0.6, "TF-IDF and linear SVM")
        texts = _tfidf(rows)
        fitted["tfidf_svm"] = _choose(rows, texts, weights, STRENGTHS["tfidf_svm"], _svm)
        _write(partial, rows, fitted)
    report(1.0, "baselines fitted")


def _embeddings(
    rows: Corpus, base: ResolvedBase, arguments: TuneArguments, frozen: Path | None
) -> dict[str, NDArray[np.float32]]:
    """Sentence embeddings of one length, per split [n, hidden]."""
    import numpy as np

    compute = choose(arguments)
    with held(compute):
        found = frozen_embeddings(rows, base, arguments, compute, made=frozen)
    return {split: x * (LENGTH / np.linalg.norm(x, axis=1, keepdims=True)) for split, x in found.items()}


def _tfidf(rows: Corpus) -> dict[str, Any]:
    """Word 1-2-grams beside character 2-5-grams, sublinear, as sparse matrices per split; fitted on train."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )
    train = union.fit_transform([row.text for row in rows.train])
    splits = {"validation": rows.validation, "test": rows.test}
    return {"train": train} | {name: union.transform([row.text for row in split]) for name, split in splits.items()}


def _choose(
    rows: Corpus,
    features: dict[str, Any],
    weights: Sequence[float],
    strengths: Sequence[float],
    make: Callable[[float, dict[int, float]], Any],
) -> tuple[dict[str, list[int]], float]:
    """The classes that the best strength predicts per split, and that strength."""
    truth = rows.classes(rows.validation)
    found = []
    for strength in sorted(strengths):
        model = make(strength, dict(enumerate(weights))).fit(features["train"], rows.classes(rows.train))
        found.append((macro_f1(truth, model.predict(features["validation"]).tolist()), strength, model))
    _, strength, model = max(found, key=lambda trial: trial[0])
    return {split: model.predict(features[split]).tolist() for split in SPLITS}, strength


def _regression(strength: float, weights: dict[int, float]) -> Any:
    """Multinomial logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight=weights, max_iter=1000)


def _svm(strength: float, weights: dict[int, float]) -> Any:
    """Linear support vector machine, one against the rest; its solver draws numbers, so it gets a seed."""
    from sklearn.svm import LinearSVC

    return LinearSVC(C=strength, class_weight=weights, random_state=0)


def _write(folder: Path, rows: Corpus, fitted: dict[str, tuple[dict[str, list[int]], float]]) -> None:
    """`predictions.json` in labels, and `scores.json`."""
    truth = {"validation": rows.classes(rows.validation), "test": rows.classes(rows.test)}
    predictions = {
        name: {split: [rows.labels[i] for i in found] for split, found in splits.items()}
        for name, (splits, _) in fitted.items()
    }
    scores: dict[str, dict[str, Any]] = {
        name: {split: _scores(truth[split], found) for split, found in splits.items()} | {"strength": strength}
        for name, (splits, strength) in fitted.items()
    }
    write_json(folder / "predictions.json", predictions)
    write_json(folder / "scores.json", scores)


def _scores(truth: Sequence[int], predicted: Sequence[int]) -> dict[str, float]:
    """Macro-F1, accuracy and how many rows they rest on."""
    hits = sum(a == b for a, b in zip(truth, predicted, strict=True))
    return {"macro_f1": macro_f1(truth, predicted), "accuracy": hits / len(truth), "n": len(truth)}
