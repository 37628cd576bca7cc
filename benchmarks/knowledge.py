"""Search over a knowledge pack of 100,000 passages against brute force in float32 with bm25s.

The library is made up and seeded: words in Zipf's proportions, the frequent ones from the
sample's procedures and the rare ones spelled like them; about 80 words a passage; unit
vectors in clusters. Questions are eight words of a passage and a vector near its own. Both
sides run in one process on one core, in turn. Memory is what opening the pack and the
searches add to a fresh process that has imported what it needs: resident (RSS), of it only
in this process (USS), and of it not backed by files, which is all that the kernel cannot
drop: mapped pages are read again, and shared by all processes that map the same pack.

    python -m benchmarks.knowledge --passages 100000 --bundle BUNDLE
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from fleet_manifests import PackConfig, Passage, dump
from fleet_manifests.knowledge import PACK_FILE
from pipelines.steps.pack_files import write
from runtimes.knowledge import Pack, encrypt_files, open_pack

SOPS = Path(__file__).resolve().parent.parent / "sample" / "sops" / "documents"
GOAL_MS, GOAL_MB = 15.0, 120.0
DIMENSION, CLUSTERS, VOCABULARY, WORDS = 384, 1000, 60_000, 80
NONE = f"sha256:{'0' * 64}"
SEED = 7
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """Something to search for."""

    text: str
    vector: Vectors


def main(argv: Sequence[str] | None = None) -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=200, help="measured questions of each side")
    parser.add_argument(
        "--bundle", type=Path, help="a retriever bundle of dimension 384: adds its embedding of the question"
    )
    parser.add_argument("--measure", nargs=2, metavar=("PACK", "KEY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if arguments.measure:
        print(json.dumps(_memory(*arguments.measure)))
        return
    with tempfile.TemporaryDirectory() as work:
        passages, vectors = library(arguments.passages)
        questions = asked(passages, vectors, arguments.searches)
        plain, sealed = Path(work) / "plain", Path(work) / "sealed"
        begun = time.perf_counter()
        _build(passages, vectors, plain)
        print(f"{len(passages):,} passages of {DIMENSION} dimensions, written in {time.perf_counter() - begun:.0f} s")
        key = _seal(plain, sealed)
        _print_size(plain)
        _print_memory("mapped", plain, "", questions, Path(work))
        _print_memory("encrypted", sealed, key, questions, Path(work))
        _print_times(plain, (sealed, key), passages, vectors, questions, arguments.bundle)


def library(count: int) -> tuple[list[Passage], Vectors]:
    """Made-up passages and their embeddings, float32 [count, 384]."""
    rng = np.random.default_rng(SEED)
    words = np.array(vocabulary(rng), dtype=object)
    weights = 1 / (np.arange(len(words)) + 2.7) ** 1.07
    lengths = np.clip(rng.normal(WORDS, 20, count), 20, 220).astype(int)
    drawn = rng.choice(len(words), size=int(lengths.sum()), p=weights / weights.sum())
    passages, at = [], 0
    for number, length in enumerate(lengths.tolist()):
        mine = words[drawn[at : at + length]].tolist()
        at += length
        passages.append(
            Passage(
                id=f"sop-{number // 10:05d}/section-{number % 10}",
                document=f"SOP-{number // 10:05d}",
                title=" ".join(mine[:4]),
                section=(" ".join(mine[4:8]),),
                text=". ".join(" ".join(mine[i : i + 12]) for i in range(8, length, 12)),
            )
        )
    centres = rng.standard_normal((CLUSTERS, DIMENSION), dtype=np.float32)
    vectors = centres[rng.integers(CLUSTERS, size=count)]
    vectors += 0.8 * rng.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return passages, vectors


def vocabulary(rng: np.random.Generator) -> list[str]:
    """Words from the most frequent down: those of the sample's procedures, then words spelled like them."""
    texts = [path.read_text(encoding="utf-8").lower() for path in sorted(SOPS.glob("*.md"))]
    counted = Counter(word for text in texts for word in re.findall(r"[a-z]+", text))
    words = [word for word, _ in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))]
    follows: dict[str, list[str]] = {}
    for word in words:
        padded = f"^^{word}$"
        for i in range(len(padded) - 2):
            follows.setdefault(padded[i : i + 2], []).append(padded[i + 2])
    known = set(words)
    while len(words) < VOCABULARY:
        made = _spelled(follows, rng)
        if 4 <= len(made) <= 14 and made not in known:
            known.add(made)
            words.append(made)
    return words


def _spelled(follows: dict[str, list[str]], rng: np.random.Generator) -> str:
    """One word, letter by letter after the two before it."""
    made = "^^"
    while not made.endswith("$"):
        choices = follows[made[-2:]]
        made += choices[int(rng.integers(len(choices)))]
    return made[2:-1]


def asked(passages: Sequence[Passage], vectors: Vectors, count: int) -> list[Question]:
    """Questions near passages."""
    rng = np.random.default_rng(SEED + 1)
    found = []
    for row in rng.integers(len(passages), size=count).tolist():
        words = re.findall(r"\w+", passages[row].text)
        text = "how do i " + " ".join(rng.choice(words, size=min(8, len(words)), replace=False).tolist())
        vector = vectors[row] + 0.03 * rng.standard_normal(DIMENSION, dtype=np.float32)
        found.append(Question(text, (vector / np.linalg.norm(vector)).astype(np.float32)))
    return found


def _build(passages: Sequence[Passage], vectors: Vectors, folder: Path) -> None:
    """Write the pack."""
    folder.mkdir()
    digest = write(passages, vectors, folder)
    config = PackConfig(
        workflow="benchmark", profile="benchmark", site_class="warehouse", retriever=NONE, library=digest,
        passages=len(passages), dimension=DIMENSION,
    )  # fmt: skip
    (folder / PACK_FILE).write_bytes(dump(config))


def _seal(plain: Path, sealed: Path) -> str:
    """An encrypted copy of the pack; returns its key."""
    import shutil

    from pyrage import x25519

    shutil.copytree(plain, sealed)
    identity = x25519.Identity.generate()
    encrypt_files(sealed, str(identity.to_public()))
    config = json.loads((sealed / PACK_FILE).read_bytes()) | {"encrypted": True}
    (sealed / PACK_FILE).write_text(json.dumps(config))
    return str(identity)


def _print_size(folder: Path) -> None:
    """Megabytes on disk, file by file."""
    for path in sorted(folder.iterdir()):
        print(f"{path.name:>28} {path.stat().st_size / 1e6:8.1f} MB")
    print(f"{'on disk':>28} {sum(path.stat().st_size for path in folder.iterdir()) / 1e6:8.1f} MB")


def _print_memory(name: str, folder: Path, key: str, questions: Sequence[Question], work: Path) -> None:
    """Ask a fresh process what the open pack costs it."""
    np.savez(
        work / "questions.npz",
        vectors=np.stack([one.vector for one in questions]),
        texts=np.array([one.text for one in questions]),
    )
    words = [sys.executable, "-m", "benchmarks.knowledge", "--measure", str(folder), key]
    told = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    verdict = "met" if max(told["rss"], told["uss"]) <= GOAL_MB else "missed"
    asked = len(questions)
    print(
        f"{name}: opened in {told['open_s']:.2f} s; opening adds USS {told['open_uss']:.1f} MB, RSS "
        f"{told['open_rss']:.1f} MB; after {asked} searches USS {told['uss']:.1f} MB, RSS {told['rss']:.1f} MB, "
        f"not backed by files {told['anonymous']:.1f} MB (goal {GOAL_MB:.0f}: {verdict})"
    )


def _memory(folder: str, key: str) -> dict[str, float]:
    """What opening a pack and searching it adds to this process, in megabytes (10^6 bytes)."""
    import pyrage  # noqa: F401
    import simsimd  # noqa: F401
    import Stemmer  # noqa: F401

    with np.load(Path(folder).parent / "questions.npz") as kept:
        questions = [Question(str(text), vector) for text, vector in zip(kept["texts"], kept["vectors"], strict=True)]
    process = psutil.Process()
    before = process.memory_full_info()
    begun = time.perf_counter()
    pack = open_pack(Path(folder), retriever=NONE, identity=key.encode() or None)
    opened = time.perf_counter() - begun
    between = process.memory_full_info()
    for question in questions:
        pack.search(question.vector, question.text)
    after = process.memory_full_info()
    return {
        "open_s": opened,
        "open_uss": (between.uss - before.uss) / 1e6,
        "open_rss": (between.rss - before.rss) / 1e6,
        "uss": (after.uss - before.uss) / 1e6,
        "rss": (after.rss - before.rss) / 1e6,
        "anonymous": (after.rss - after.shared - before.rss + before.shared) / 1e6,
    }


def _print_times(
    folder: Path,
    sealed: tuple[Path, str],
    passages: Sequence[Passage],
    vectors: Vectors,
    questions: Sequence[Question],
    bundle: Path | None,
) -> None:
    """All sides, question by question in turn; who goes first alternates."""
    sides: dict[str, Callable[[Question], object]] = {}
    pack = open_pack(folder, retriever=NONE)
    sides["search"] = lambda question: pack.search(question.vector, question.text)
    closed = open_pack(sealed[0], retriever=NONE, identity=sealed[1].encode())
    sides["search, encrypted"] = lambda question: closed.search(question.vector, question.text)
    if bundle is not None:
        sides["embed + search"] = _with_embedder(pack, bundle)
    sides["float32 + bm25s"] = brute_force(passages, vectors)
    spent: dict[str, list[float]] = {name: [] for name in sides}
    same = 0
    for number, question in enumerate(questions):
        names = list(sides) if number % 2 else list(sides)[::-1]
        told = {}
        for name in names:
            begun = time.perf_counter()
            told[name] = sides[name](question)
            spent[name].append((time.perf_counter() - begun) * 1e3)
        found = pack.search(question.vector, question.text).hits
        same += [hit.passage.id for hit in found] == told["float32 + bm25s"]
    print(f"{'one thread':>18} {'p50 ms':>8} {'p90 ms':>8}")
    for name, times in spent.items():
        print(f"{name:>18} {statistics.median(times):8.2f} {np.percentile(times, 90):8.2f}")
    median = statistics.median(spent["search"])
    print(f"same five passages in the same order as float32: {same} of {len(questions)}")
    print(f"goal for search: p50 at most {GOAL_MS:.0f} ms: {'met' if median <= GOAL_MS else 'missed'} at {median:.2f}")


def _with_embedder(pack: Pack, bundle: Path) -> Callable[[Question], object]:
    """The question is embedded first; what it finds is not looked at, the library is of another space."""
    from runtimes.engine import load_embedder

    embedder = load_embedder(bundle, threads=1)
    return lambda question: pack.search(embedder.embed(question.text).vector, question.text)


def brute_force(passages: Sequence[Passage], vectors: Vectors) -> Callable[[Question], list[str]]:
    """The baseline: a float32 matrix, bm25s in memory, z-scores, the five best ids."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    texts = [passage.content for passage in passages]
    engine = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    engine.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    ids = [passage.id for passage in passages]

    def search(question: Question) -> list[str]:
        words = bm25s.tokenize([question.text], stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)[
            0
        ]
        dense, lexical = vectors @ question.vector, engine.get_scores(list(dict.fromkeys(words)))
        fused = (dense - dense.mean()) / dense.std() + (lexical - lexical.mean()) / lexical.std()
        best = np.argpartition(fused, -5)[-5:]
        return [ids[row] for row in best[np.argsort(-fused[best])]]

    return search


if __name__ == "__main__":
    main()
