"""What a tuned retriever must beat: the frozen base, stemmed BM25, and both together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.arguments import RetrieveArguments
from training.bases import ResolvedBase
from training.contrast import cosines
from training.features import Progress, between
from training.files import staged, write_json
from training.frozen import Reader, reader
from training.lexical import Lexical
from training.library import Library, Question, read_library
from training.ranking import best_weight, figures, fuse, rank, z_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.ranking import Scores

SPLITS = ("validation", "test")
DENSE, LEXICAL, FUSED = "frozen_dense", "bm25", "frozen_fused"


def rank_baselines(
    corpus: Path,
    base: ResolvedBase,
    out: Path,
    arguments: RetrieveArguments | None = None,
    progress: Progress | None = None,
    *,
    frozen: Reader | None = None,
) -> None:
    """Rank the library for every validation and test question and write `rankings.json` and `scores.json`.

    `rankings.json` holds model > split > question id > at most 100 passage ids, best first; `scores.json` model >
    split > nDCG@10, recall@5, MRR and the number of questions. The weight of the sum is chosen on validation.

    Args:
        arguments: of the tuned model; token limit, precision and threads are taken from it.
        frozen: the base as a reader of texts; None: it is loaded here.

    Raises:
        DataError: the corpus cannot be used.
        IntegrityError: the base cannot be loaded.
        UsageError: `out` is not empty, or the base has fewer positions than `max_tokens`.
        StorageError: `out` cannot be written.
    """
    arguments = arguments or RetrieveArguments()
    report: Progress = progress or (lambda share, what: None)
    library = read_library(corpus)
    splits = {"validation": library.validation, "test": library.test}
    with staged(out) as partial:
        texts = library.contents + [one.text for split in SPLITS for one in splits[split]]
        read = frozen or reader(base, arguments, between(report, 0.0, 0.8))
        dense = _cosines(read(texts), len(library.passages), splits)
        report(0.8, "BM25")
        index = Lexical(library.contents)
        lexical = {split: index.scores([one.text for one in some]) for split, some in splits.items()}
        found, weight = _rankings(splits, dense, lexical)
        _write(partial, library, splits, found, weight)
    report(1.0, "baselines ranked")


def _cosines(vectors: NDArray[np.float32], passages: int, splits: dict[str, tuple[Question, ...]]) -> dict[str, Scores]:
    """Cosines of the questions of each split and all passages, which come first."""
    found, at = {}, passages
    for split in SPLITS:
        found[split] = cosines(vectors[at : at + len(splits[split])], vectors[:passages])
        at += len(splits[split])
    return found


def _rankings(
    splits: dict[str, tuple[Question, ...]], dense: dict[str, Scores], lexical: dict[str, Scores]
) -> tuple[dict[str, dict[str, list[list[int]]]], float]:
    """Places by model and split, and the weight of the sum."""
    by_meaning = {split: z_scores(scores) for split, scores in dense.items()}
    by_words = {split: z_scores(scores) for split, scores in lexical.items()}
    weight = best_weight(splits["validation"], by_meaning["validation"], by_words["validation"])
    found = {
        DENSE: {split: rank(dense[split]) for split in SPLITS},
        LEXICAL: {split: rank(lexical[split], above=0.0) for split in SPLITS},
        FUSED: {split: rank(fuse(by_meaning[split], by_words[split], weight)) for split in SPLITS},
    }
    return found, weight


def _write(
    folder: Path,
    library: Library,
    splits: dict[str, tuple[Question, ...]],
    found: dict[str, dict[str, list[list[int]]]],
    weight: float,
) -> None:
    """`rankings.json` in ids, and `scores.json`."""
    rankings = {
        model: {split: _named(library, splits[split], places) for split, places in by_split.items()}
        for model, by_split in found.items()
    }
    scores: dict[str, dict[str, Any]] = {
        model: {
            split: {**figures(splits[split], places), "n": len(splits[split])} for split, places in by_split.items()
        }
        for model, by_split in found.items()
    }
    scores[FUSED]["dense_weight"] = weight
    write_json(folder / "rankings.json", rankings)
    write_json(folder / "scores.json", scores)


def _named(library: Library, questions: Sequence[Question], places: Sequence[Sequence[int]]) -> dict[str, list[str]]:
    """Rankings in ids of questions and passages."""
    return {
        question.id: [library.passages[place].id for place in some]
        for question, some in zip(questions, places, strict=True)
    }
