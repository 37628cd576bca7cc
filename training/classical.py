"""A classical classifier that a site can run: TF-IDF of words and of characters, and a linear SVM.

What a site has is the `tokenizers` library and an ONNX runtime. So everything is a sequence of characters: the
tokenizer writes a text in lower case, sets punctuation apart, makes every run of white space one space, puts a
space at either end and gives one id for each character; a word, or two in a row, is then a sequence of
characters like any other, from the space before it to the space behind it. `quantize.classical` counts such
sequences inside a graph; scikit-learn, which fits the model, reads the very same texts.

Two blocks of features, each of length 1 (Salton and Buckley 1988, "Term-weighting approaches in automatic text
retrieval"; sublinear term frequency, smoothed idf): words one and two at a time, and sequences of 2 to 5
characters within a word. A linear SVM one against the rest (Fan et al. 2008, "LIBLINEAR") reads both.
`docs/benchmarks.md` has the figures. Words are not spared: without them contract clauses lose five points of
macro-F1, order notes one and a half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import DataError, IntegrityError
from fleet_manifests.bundle import CLASSICAL
from training.arguments import ARGUMENTS, TuneArguments
from training.corpus import Corpus, read_corpus
from training.features import Progress
from training.files import read_json, staged, write_json
from training.probe import class_weights, layer, macro_f1

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

GRAMS, NUMBERS, LABELS, TOKENIZER, SCORES = (
    "grams.json", "numbers.npz", "labels.json", "tokenizer.json", "scores.json",
)  # fmt: skip
BLOCKS = ("words", "characters")
STRENGTHS = (0.1, 0.3, 1.0, 3.0)
"""Inverse regularisation strengths tried; validation macro-F1 chooses, of equal ones the smallest."""
MOST = 50_000
"""Features of a block at most, by the number of training rows that have them. 6,054 contract clauses have more."""
LONGEST = 32
"""Characters of a feature at most, its spaces included."""
PER_PIECE = 5
"""Characters for a word piece, where a latency is measured: 3.4 to 4.8 are usual (order notes, papers, contracts)."""
READ_PER_PIECE = 8
"""Characters that are read for each word piece that a transformer would read, so that nothing is cut that it would not
cut: of four sets no text was."""
MOST_CHARACTERS = 8192
PAD, UNKNOWN, SPACE = 0, 1, 2
"""Ids that every tokenizer of this kind has; no feature has the first two."""
ISOLATE = r"(?<=\w)(?=[^\w\s])|(?<=[^\w\s])(?=\S)"
"""Where punctuation is set apart: between it and what touches it."""
WHITE = r"[\s\x1c-\x1f]+"
"""All that Python takes for white space."""


@dataclass(frozen=True)
class Block:
    """Some features and what they weigh."""

    grams: tuple[str, ...]
    """As scikit-learn names them; sorted."""
    idf: NDArray[np.float32]
    """[features]."""
    weight: NDArray[np.float16]
    """[features, classes]; half precision is what the model is, not what a copy of it lost."""


@dataclass(frozen=True)
class Classical:
    """A fitted model. Scores are those of the numbers as they are stored."""

    labels: tuple[str, ...]
    blocks: dict[str, Block]
    bias: NDArray[np.float32]
    """[classes]."""
    max_tokens: int
    """Characters that are read, the space at either end included."""

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Scores [texts, classes] by scikit-learn."""
        import numpy as np

        read = framed(texts, self.max_tokens)
        total = np.tile(self.bias.astype(np.float64), (len(read), 1))
        for name, block in self.blocks.items():
            vectorizer = _vectorizer(name, block.grams)
            vectorizer.idf_ = block.idf.astype(np.float64)
            total += vectorizer.transform(read) @ block.weight.astype(np.float64)
        return total

    def predict(self, texts: Sequence[str]) -> list[int]:
        """The class of each text."""
        return [int(place) for place in self.scores(texts).argmax(1)]


def max_characters(arguments: TuneArguments) -> int:
    """How many characters such a model reads where a transformer reads `max_tokens` word pieces."""
    return min(READ_PER_PIECE * arguments.max_tokens, MOST_CHARACTERS)


def normalizer() -> Normalizer:
    """Lower case, punctuation apart, single spaces, none at the ends. Training and sites both use this one."""
    from tokenizers import Regex, normalizers

    return normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(ISOLATE), " "),
            normalizers.Replace(Regex(WHITE), " "),
            normalizers.Strip(),
        ]
    )


def framed(texts: Sequence[str], max_tokens: int) -> list[str]:
    """Texts as the model reads them: normalized, cut, a space at either end."""
    rules = normalizer()
    return [f" {rules.normalize_str(text)[: max_tokens - 2]} " for text in texts]


def tokenizer_of(grams: Sequence[str], max_tokens: int) -> Tokenizer:
    """A tokenizer with an id for each character of some features; every other character is unknown."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    characters = sorted({character for gram in grams for character in gram} - {" "})
    vocabulary = {"[PAD]": PAD, "[UNK]": UNKNOWN, " ": SPACE}
    vocabulary |= {character: place for place, character in enumerate(characters, len(vocabulary))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizer()
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    made.post_processor = processors.TemplateProcessing(single="[END] $A [END]", special_tokens=[("[END]", SPACE)])
    made.enable_truncation(max_tokens)
    return made


def fit_classical(
    corpus: Path, out: Path, arguments: TuneArguments | None = None, progress: Progress | None = None
) -> Classical:
    """Fit a model and write the folder `out`; equal inputs give equal bytes.

    The folder holds `labels.json`, `arguments.json`, `tokenizer.json`, the features (`grams.json`), their numbers
    (`numbers.npz`: of each block `idf` [features] and `weight` [features, classes], and `bias` [classes]) and
    `scores.json`, the figures on validation per strength.

    Args:
        arguments: of the tuned model; class weighting is taken from it, and how much of a text is read.
        progress: told how far it is.

    Raises:
        DataError: nothing can be learned from the corpus.
        UsageError: `out` is not empty.
        StorageError: `out` cannot be written.
    """
    arguments = arguments or TuneArguments()
    report: Progress = progress or (lambda share, what: None)
    rows = read_corpus(corpus)
    with staged(out) as partial:
        report(0.0, "counting words and characters")
        model, trials = _fit(rows, arguments, report)
        _write(partial, model, trials, arguments)
    report(1.0, f"fitted; macro-F1 {max(trial['macro_f1'] for trial in trials):.4f}")
    return model


def load_classical(folder: Path) -> Classical:
    """Read what `fit_classical` wrote.

    Raises:
        IntegrityError: a file is missing, or not what it should be.
    """
    import numpy as np

    grams, labels, arguments = (read_json(folder / name) for name in (GRAMS, LABELS, ARGUMENTS))
    try:
        with np.load(folder / NUMBERS, allow_pickle=False) as found:
            blocks = {name: Block(tuple(grams[name]), found[f"{name}_idf"], found[f"{name}_weight"]) for name in BLOCKS}
            return Classical(tuple(labels), blocks, found["bias"], int(arguments["max_tokens"]))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise IntegrityError(f"{folder}: expected a classical model: {exc}; fit it again") from exc


def _fit(rows: Corpus, arguments: TuneArguments, report: Progress) -> tuple[Classical, list[dict[str, float]]]:
    """The model of the best strength, and the figures of each."""
    from scipy import sparse

    max_tokens = max_characters(arguments)
    read = framed([row.text for row in rows.train], max_tokens)
    vectorizers = {name: _features(name, read) for name in BLOCKS}
    train = sparse.hstack([vectorizer.transform(read) for vectorizer in vectorizers.values()]).tocsr()
    truth = rows.classes(rows.validation)
    texts = [row.text for row in rows.validation]
    weights = dict(enumerate(class_weights(rows.counts(), arguments.class_weighting)))
    fitted, trials = [], []
    for number, strength in enumerate(STRENGTHS):
        report(0.2 + 0.8 * number / len(STRENGTHS), f"linear SVM, strength {strength:g}")
        svm = _svm(strength, weights).fit(train, rows.classes(rows.train))
        model = _stored(svm, vectorizers, rows.labels, max_tokens)
        found = model.predict(texts)
        hits = sum(one == other for one, other in zip(truth, found, strict=True))
        trials.append({"strength": strength, "macro_f1": macro_f1(truth, found), "accuracy": hits / len(truth)})
        fitted.append(model)
    best = max(range(len(trials)), key=lambda place: trials[place]["macro_f1"])
    return fitted[best], trials


def _vectorizer(name: str, grams: Sequence[str] | None = None) -> Any:
    """scikit-learn's vectorizer of a block, over framed texts; with its features where they are known."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    given: dict[str, Any] = {"lowercase": False, "sublinear_tf": True, "vocabulary": grams}
    if name == "words":
        return TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"[^ ]+", **given)
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=1 if grams else 2, **given)


def _features(name: str, read: Sequence[str]) -> Any:
    """The fitted vectorizer of a block with the features that are kept.

    Raises:
        DataError: the texts have none.
    """
    import numpy as np

    try:
        first = _vectorizer(name)
        counts = np.bincount(first.fit_transform(read).indices, minlength=len(first.vocabulary_))
    except ValueError as exc:
        raise DataError(_nothing(name)) from exc
    grams = first.get_feature_names_out()
    frame = 2 if name == "words" else 0
    short = [place for place, gram in enumerate(grams) if len(gram) + frame <= LONGEST]
    kept = sorted(sorted(short, key=lambda place: (-counts[place], grams[place]))[:MOST])
    if not kept:
        raise DataError(_nothing(name))
    return _vectorizer(name, [str(grams[place]) for place in kept]).fit(read)


def _nothing(name: str) -> str:
    return (
        f"train.jsonl: the texts have no {name} that a classical model could learn from; "
        "look at them, or leave `classical` out of the workflow's training.candidates"
    )


def _svm(strength: float, weights: dict[int, float]) -> Any:
    """Linear support vector machine, one against the rest; its solver draws numbers, so it gets a seed."""
    from sklearn.svm import LinearSVC

    return LinearSVC(C=strength, class_weight=weights, random_state=0)


def _stored(svm: Any, vectorizers: dict[str, Any], labels: tuple[str, ...], max_tokens: int) -> Classical:
    """A fitted machine in the numbers that are stored."""
    import numpy as np

    weight, bias = layer(svm)
    blocks, start = {}, 0
    for name, vectorizer in vectorizers.items():
        grams = tuple(str(gram) for gram in vectorizer.get_feature_names_out())
        part = weight[:, start : start + len(grams)].T
        blocks[name] = Block(grams, vectorizer.idf_.astype(np.float32), part.astype(np.float16))
        start += len(grams)
    return Classical(labels, blocks, bias.astype(np.float32), max_tokens)


def _write(folder: Path, model: Classical, trials: list[dict[str, float]], arguments: TuneArguments) -> None:
    """The files of a model."""
    import numpy as np

    best = max(trials, key=lambda trial: trial["macro_f1"])
    told = {
        "kind": CLASSICAL,
        "max_tokens": model.max_tokens,
        "tokens_per_piece": PER_PIECE,
        "strength": best["strength"],
    }
    write_json(folder / ARGUMENTS, told | {"class_weighting": arguments.class_weighting})
    write_json(folder / LABELS, list(model.labels))
    write_json(folder / GRAMS, {name: list(block.grams) for name, block in model.blocks.items()})
    write_json(folder / SCORES, {"validation": trials})
    numbers: dict[str, NDArray[Any]] = {}
    for name, block in model.blocks.items():
        numbers |= {f"{name}_idf": block.idf, f"{name}_weight": block.weight}
    np.savez(folder / NUMBERS, allow_pickle=False, bias=model.bias, **numbers)
    every = [gram for block in model.blocks.values() for gram in block.grams]
    tokenizer_of(every, model.max_tokens).save(str(folder / TOKENIZER))
