"""Open the knowledge pack in a folder: every file is checked against `pack.json`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from fleet_manifests import IntegrityError, PackConfig, parse
from fleet_manifests.knowledge import PACK_FILE
from fleet_manifests.memory import give_back
from runtimes.knowledge import layout
from runtimes.knowledge.lexical import Lexical, Postings
from runtimes.knowledge.library import Library
from runtimes.knowledge.pack import Pack
from runtimes.knowledge.rows import Dense
from runtimes.knowledge.sealed import opener
from runtimes.knowledge.search import FEATURES
from runtimes.knowledge.store import Blob, PlainStore, SealedStore, Store, missing


def open_pack(folder: Path, *, retriever: str, identity: bytes | None = None) -> Pack:
    """Open the pack in a folder; its signature was verified before.

    Args:
        folder: holds `pack.json` and the files beside it.
        retriever: digest of the bundle that will embed the questions.
        identity: the secret key of the pack's site class (age, `AGE-SECRET-KEY-1...`), for an encrypted pack.

    Raises:
        IntegrityError: a file is missing, damaged or not what `pack.json` says, or the pack belongs
            to another retriever.
        RefusedError: the pack is encrypted and the key is missing or another.
    """
    config = _config(folder, retriever)
    store: Store = PlainStore(folder)
    if config.encrypted:
        store = SealedStore(folder, opener(folder, identity, config.site_class))
    count = config.passages
    with contextlib.ExitStack() as opened:
        passages = opened.enter_context(contextlib.closing(store.blob(layout.PASSAGES)))
        library = Library(passages, folder / layout.PASSAGES, digest=config.library, count=count)
        corrections = opened.enter_context(contextlib.closing(store.blob(layout.CORRECTIONS)))
        dense = _dense(folder, store, config, corrections)
        pack = Pack(config, library, dense, Lexical(_postings(store), count))
        opened.pop_all()
    give_back()  # what decrypting took for a moment
    return pack


def _dense(folder: Path, store: Store, config: PackConfig, corrections: Blob) -> Dense:
    """The embeddings."""
    count, dimension = config.passages, config.dimension
    codes = store.array(layout.CODES, np.int8, (count, dimension))
    scales = store.array(layout.SCALES, np.float32, (count,))
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise IntegrityError(f"{folder / layout.SCALES}: positive numbers were expected; fetch the pack again")
    if corrections.size != count * dimension:
        raise IntegrityError(
            f"{folder / layout.CORRECTIONS}: {count * dimension} bytes were expected, found {corrections.size}; "
            "fetch the pack again"
        )
    return Dense(codes, scales, corrections)


def _config(folder: Path, retriever: str) -> PackConfig:
    """`pack.json`, if it is for this retriever and this version."""
    path = folder / PACK_FILE
    try:
        config = parse(PackConfig, path.read_bytes(), where=str(path))
    except OSError as exc:
        raise missing(folder, PACK_FILE) from exc
    if config.retriever != retriever:
        raise IntegrityError(
            f"{path}: retriever: the pack is for {config.retriever}, here runs {retriever}; "
            "fetch the pack that was made with this bundle"
        )
    if unknown := sorted(set(config.relevance.weights) - set(FEATURES)):
        raise IntegrityError(f"{path}: relevance.weights: no feature {unknown[0]!r} in this version; update lading")
    if config.encrypted and (plain := [name for name in layout.FILES if (folder / name).exists()]):
        raise IntegrityError(f"{path}: encrypted, but {plain[0]} lies beside it in the clear; fetch the pack again")
    return config


def _postings(store: Store) -> Postings:
    """The BM25 index."""
    with contextlib.closing(store.blob(layout.TERMS)) as blob:
        terms = blob.read(0, blob.size).decode("utf-8", "replace").split("\n")
    return Postings(
        terms=tuple(terms),
        starts=store.array(layout.STARTS, np.int64, (None,)),
        rows=store.array(layout.ROWS, np.int32, (None,)),
        scores=store.array(layout.SCORES, np.float32, (None,)),
    )
