"""A lexical head: a linear model of word pieces whose scores are added to the logits of a tuned classifier.

Wide and deep (Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems"): the transformer generalizes, the
linear model remembers the very words. That pays where a class has a few dozen rows and words of its own. The linear
model is TF-IDF (sublinear, smoothed idf, length 1) over the ids that the transformer reads, one or two in a row, and a
linear SVM one against the rest; it is fitted on the training rows alone, and its scores count k times:

    logits + k * scores

A softmax over that is the one over log_softmax(logits) + k * scores, and the largest logit stays what it was where the
linear model has no opinion. Strength and k are chosen on validation, by the macro-F1 of the sum; whether the best of
them is worth having is for the caller to say. `quantize.lexical_head` puts it into the graph.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import IntegrityError
from training.arguments import TuneArguments
from training.compute import choose, held
from training.corpus import read_corpus
from training.features import load_tokenizer, outputs, tokenize
from training.loop import Examples
from training.merge import read_labels
from training.model import load_merged
from training.probe import class_weights, layer, macro_f1

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

FILE = "lexical_head.npz"
STRENGTHS = (0.1, 0.3, 1.0, 3.0)
"""Inverse regularisation strengths tried."""
WEIGHTS = (0.5, 1.0, 2.0, 4.0)
"""Values of k tried besides 0. Powers of two, so that half-precision weights lose nothing by the product."""
LONGEST = 2
"""Word pieces of a feature."""
MOST = 5_000
"""Features at most, by the number of training rows that have them. On contract clauses, order notes, documents and 150
intents validation did not tell 5,000, 10,000 and 20,000 apart."""
NOTHING = -1
"""Fills the rows of features that are shorter than the longest."""


@dataclass(frozen=True)
class LexicalHead:
    """A fitted linear model in the numbers that are stored, weighed by k."""

    pieces: tuple[tuple[int, ...], ...]
    """The features: ids of word pieces in a row, sorted."""
    idf: NDArray[np.float32]
    """[features]."""
    weight: NDArray[np.float16]
    """[features, classes]."""
    bias: NDArray[np.float32]
    """[classes]."""
    k: float
    strength: float

    def scores(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """What is added to the logits, [rows, classes], by scikit-learn.

        Args:
            rows: token ids of each text, special tokens included.
        """
        import numpy as np

        vectorizer = _vectorizer(self.pieces)
        vectorizer.idf_ = self.idf.astype(np.float64)
        found: NDArray[np.float64] = vectorizer.transform(rows) @ self.weight.astype(np.float64) + self.bias
        return found

    def weighed(self, k: float) -> LexicalHead:
        """The same with scores that count k times what they do here."""
        import numpy as np

        weight, bias = (self.weight * np.float16(k)).astype(np.float16), (self.bias * np.float32(k)).astype(np.float32)
        return replace(self, weight=weight, bias=bias, k=self.k * k)

    def save(self, path: Path) -> None:
        """Write the head: `pieces` int32 [features, 2] filled up with -1, `idf`, `weight`, `bias`, `k`, `strength`.

        Equal heads give equal bytes.
        """
        import numpy as np

        longest = max(map(len, self.pieces))
        rows = [[*piece, *[NOTHING] * (longest - len(piece))] for piece in self.pieces]
        np.savez(
            path,
            allow_pickle=False,
            pieces=np.array(rows, np.int32),
            idf=self.idf,
            weight=self.weight,
            bias=self.bias,
            k=np.float64(self.k),
            strength=np.float64(self.strength),
        )


def load_head(path: Path) -> LexicalHead:
    """Read what `LexicalHead.save` wrote.

    Raises:
        IntegrityError: the file is missing, or not a head.
    """
    import numpy as np

    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            pieces = tuple(tuple(one for one in row if one != NOTHING) for row in found["pieces"].tolist())
            numbers = {name: found[name] for name in ("idf", "weight", "bias")}
            return LexicalHead(pieces, **numbers, k=float(found["k"]), strength=float(found["strength"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
        raise IntegrityError(f"{path}: expected a lexical head: {exc}; fit it again") from exc


@dataclass(frozen=True)
class Fitted:
    """The best head on validation, and what it is chosen by."""

    head: LexicalHead | None
    """None: no head gives a higher macro-F1 than none at all, or the texts have no features."""
    alone: list[str]
    """The labels that the tuned model gives the validation rows."""
    together: list[str]
    """Those that it gives with the head; the same where there is none."""
    trials: list[dict[str, float]]
    """Strength, k, macro-F1 and accuracy of all that were tried; the first has k = 0: the tuned model alone."""


def fit_lexical_head(corpus: Path, merged: Path, arguments: TuneArguments) -> Fitted:
    """Fit heads for a merged model on the training rows, and choose on the validation rows.

    The same inputs, machine and library versions give the same head.

    Args:
        corpus: folder of the corpus that the model was tuned on.
        merged: folder of the merged model.
        arguments: of the tuning; class weighting, token limit and threads are taken from it.

    Raises:
        DataError: nothing can be learned from the corpus.
        IntegrityError: the merged model is damaged, or has other classes than the corpus.
    """
    rows = read_corpus(corpus)
    if read_labels(merged) != rows.labels:
        raise IntegrityError(f"{merged}: expected the {len(rows.labels)} labels of {corpus}; tune it on this corpus")
    tokenizer = load_tokenizer(merged, arguments.max_tokens)
    train, validation = (
        Examples(tokenize(tokenizer, [row.text for row in split]), rows.classes(split))
        for split in (rows.train, rows.validation)
    )
    logits = _logits(merged, len(rows.labels), validation.sequences, arguments)
    weights = class_weights(rows.counts(), arguments.class_weighting)
    head, trials = choose_head(train, validation, logits, weights, barred(tokenizer))
    both = [logits, logits if head is None else logits + head.scores(validation.sequences)]
    alone, together = ([rows.labels[place] for place in found.argmax(1)] for found in both)
    return Fitted(head, alone, together, trials)


def _logits(
    merged: Path, classes: int, sequences: Sequence[Sequence[int]], arguments: TuneArguments
) -> NDArray[np.float32]:
    """The logits [rows, classes] of a merged model, in float32 whatever it was tuned in: as the graph computes them."""
    compute = replace(choose(arguments), precision="fp32")
    model = load_merged(merged)
    with held(compute):
        return outputs(model, model, classes, sequences, compute)


def barred(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids that are in no feature: special tokens, and 0, which stands for what a mask leaves out."""
    added = tokenizer.get_added_tokens_decoder()
    return frozenset({0, *(id_ for id_, token in added.items() if token.special)})


def choose_head(
    train: Examples,
    validation: Examples,
    logits: NDArray[np.float32],
    weights: Sequence[float],
    left_out: frozenset[int],
) -> tuple[LexicalHead | None, list[dict[str, float]]]:
    """The head with the highest macro-F1 beside the logits, of equal ones the one with the smallest k, then strength.

    Args:
        train: token ids and classes, each class at least once.
        validation: the same of the validation rows.
        logits: of the validation rows, [rows, classes].
        weights: a weight per class.
        left_out: ids that are in no feature.

    Returns:
        The head, None where nothing is better than no head; and the figures of all that were tried.
    """
    trials = [_figures(0.0, 0.0, logits, validation.classes)]
    pieces = features(train.sequences, left_out)
    if not pieces:
        return None, trials
    vectorizer = _vectorizer(pieces)
    counted = vectorizer.fit_transform(train.sequences)
    heads: list[LexicalHead | None] = [None]
    for strength in STRENGTHS:
        head = _fitted(counted, train.classes, weights, strength, (pieces, vectorizer.idf_))
        scores = head.scores(validation.sequences)
        heads += [head.weighed(k) for k in WEIGHTS]
        trials += [_figures(strength, k, logits + k * scores, validation.classes) for k in WEIGHTS]
    best = max(range(len(trials)), key=lambda place: (trials[place]["macro_f1"], -trials[place]["k"], -place))
    return heads[best], trials


def _figures(strength: float, k: float, logits: NDArray[Any], truth: Sequence[int]) -> dict[str, float]:
    """What some logits are worth."""
    found = logits.argmax(1).tolist()
    hits = sum(one == other for one, other in zip(truth, found, strict=True))
    return {"strength": strength, "k": k, "macro_f1": macro_f1(truth, found), "accuracy": hits / len(truth)}


def features(rows: Sequence[Sequence[int]], left_out: frozenset[int]) -> tuple[tuple[int, ...], ...]:
    """The features that most rows have, at most `MOST`, of equal ones those with the smaller ids; sorted."""
    counts = Counter(one for row in rows for one in set(_pieces(row)) if left_out.isdisjoint(one))
    return tuple(sorted(sorted(counts, key=lambda one: (-counts[one], one))[:MOST]))


def _pieces(row: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All word pieces of a text, one and more in a row."""
    for length in range(1, LONGEST + 1):
        for start in range(len(row) - length + 1):
            yield tuple(row[start : start + length])


def _vectorizer(pieces: Sequence[tuple[int, ...]]) -> Any:
    """scikit-learn's vectorizer with some features, over token ids."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vocabulary = {one: place for place, one in enumerate(pieces)}
    return TfidfVectorizer(analyzer=_pieces, lowercase=False, sublinear_tf=True, vocabulary=vocabulary)


def _fitted(
    counted: Any,
    classes: Sequence[int],
    weights: Sequence[float],
    strength: float,
    known: tuple[tuple[tuple[int, ...], ...], NDArray[np.float64]],
) -> LexicalHead:
    """The head of one strength, with k = 1.

    Args:
        counted: TF-IDF of the training rows, [rows, features].
        classes: of the training rows.
        weights: a weight per class.
        strength: the SVM's.
        known: the features and their idf.
    """
    import numpy as np
    from sklearn.svm import LinearSVC

    svm = LinearSVC(C=strength, class_weight=dict(enumerate(weights)), random_state=0).fit(counted, classes)
    weight, bias = layer(svm)
    pieces, idf = known
    return LexicalHead(
        pieces, idf.astype(np.float32), weight.T.astype(np.float16), bias.astype(np.float32), 1.0, strength
    )
