"""Embeddings of a corpus by the frozen base: where a tuning starts, and a baseline that it must beat.

Both need the same vectors, so a pipeline makes them once: those of a classifier with `embed_frozen`, those of a
retriever, whose passages come back in other libraries, with a `Reader` that remembers texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fleet_manifests import IntegrityError
from training.arguments import Arguments, TuneArguments
from training.bases import ResolvedBase
from training.compute import Compute, choose, held
from training.corpus import Corpus, read_corpus
from training.features import Progress, embed, load_tokenizer, require_length, tokenize
from training.files import staged
from training.model import ATTENTION_WITHOUT_GRADIENTS, load_encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EMBEDDINGS = "embeddings.npy"
"""float32 [rows, hidden]: the rows of `SPLITS`, one split after the other."""
SPLITS = ("train", "validation", "test")
Reader: TypeAlias = "Callable[[Sequence[str]], NDArray[np.float32]]"
"""Texts to what the frozen base makes of them, float32 [texts, hidden], of any length."""


def embed_frozen(corpus: Path, base: ResolvedBase, arguments: TuneArguments, out: Path) -> None:
    """Embed every row of a corpus folder and write the folder `out`.

    Raises:
        DataError: nothing can be learned from the corpus.
        IntegrityError: the base cannot be loaded.
        UsageError: the base has fewer positions than `max_tokens`, or `out` is not empty.
        StorageError: `out` cannot be written.
    """
    import numpy as np

    rows = read_corpus(corpus)
    compute = choose(arguments)
    with staged(out) as partial, held(compute):
        np.save(partial / EMBEDDINGS, _embedded(rows, base, arguments, compute, SPLITS, None), allow_pickle=False)


def frozen_embeddings(
    rows: Corpus,
    base: ResolvedBase,
    arguments: TuneArguments,
    compute: Compute,
    splits: tuple[str, ...] = SPLITS,
    *,
    made: Path | None = None,
    progress: Progress | None = None,
) -> Mapping[str, NDArray[np.float32]]:
    """Mean-pooled embeddings of some splits, each float32 [rows, hidden].

    Args:
        rows: the corpus.
        base: the frozen base.
        arguments: say where texts are cut.
        compute: what they are computed with, held by the caller.
        splits: which ones are wanted.
        made: a folder of `embed_frozen` for the same corpus and base; None: they are computed here.
        progress: told how far it is.

    Raises:
        IntegrityError: the base cannot be loaded, or `made` is of another corpus or base.
        UsageError: the base has fewer positions than `max_tokens`.
    """
    if made is None:
        return _split(rows, _embedded(rows, base, arguments, compute, splits, progress), splits)
    found = _split(rows, _read(rows, made), SPLITS)
    return {split: found[split] for split in splits}


def _embedded(
    rows: Corpus,
    base: ResolvedBase,
    arguments: TuneArguments,
    compute: Compute,
    splits: tuple[str, ...],
    progress: Progress | None,
) -> NDArray[np.float32]:
    """Compute them, one split after the other."""
    texts = [row.text for split in splits for row in getattr(rows, split)]
    return _read_texts(texts, base, arguments, compute, progress)


def reader(base: ResolvedBase, arguments: Arguments, progress: Progress | None = None) -> Reader:
    """The frozen base as a reader of texts; it is loaded for each call.

    Args:
        base: the frozen base.
        arguments: say where texts are cut and what they are computed with.
        progress: told how far it is.

    Raises, when it reads:
        IntegrityError: the base cannot be loaded.
        UsageError: the base has fewer positions than `max_tokens`.
    """

    def read(texts: Sequence[str]) -> NDArray[np.float32]:
        compute = choose(arguments)
        with held(compute):
            return _read_texts(texts, base, arguments, compute, progress)

    return read


def _read_texts(
    texts: Sequence[str], base: ResolvedBase, arguments: Arguments, compute: Compute, progress: Progress | None
) -> NDArray[np.float32]:
    """Mean-pooled embeddings of texts, float32 [texts, hidden]; the caller holds `compute`."""
    encoder = load_encoder(base.path, attention=ATTENTION_WITHOUT_GRADIENTS)
    require_length(encoder, arguments.max_tokens)
    tokenizer = load_tokenizer(base.path, arguments.max_tokens)
    return embed(encoder, tokenize(tokenizer, texts), compute, progress)


def _read(rows: Corpus, made: Path) -> NDArray[np.float32]:
    """What `embed_frozen` wrote."""
    import numpy as np

    path = made / EMBEDDINGS
    try:
        found: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as exc:
        raise IntegrityError(f"{path}: expected the embeddings of a corpus: {exc}; embed it again") from exc
    expected = sum(len(getattr(rows, split)) for split in SPLITS)
    if found.dtype != np.float32 or found.ndim != 2 or len(found) != expected:
        raise IntegrityError(
            f"{path}: expected float32 [{expected}, hidden], one row a text, found {found.dtype} "
            f"{list(found.shape)}; it is of another corpus, embed this one"
        )
    return found


def _split(rows: Corpus, found: NDArray[np.float32], splits: tuple[str, ...]) -> Mapping[str, NDArray[np.float32]]:
    """One array for each split."""
    import numpy as np

    ends = np.cumsum([len(getattr(rows, split)) for split in splits])[:-1]
    return dict(zip(splits, np.split(found, ends), strict=True))
