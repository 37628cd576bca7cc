"""A sample of a corpus that is large enough for the margin, where every answer is dear."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evals.statistics import items_needed
from fleet_manifests import Comparison, DataError

FEWEST = 500
"""Items of a sample at least, where the split has as many."""


def size(comparisons: Sequence[Comparison], margin: float, *, against: str = "unquantized") -> int | None:
    """Items on which a build that loses nothing would pass in four of five measurements; None: take all.

    Read off a comparison of the same two models on other hardware: there they differ about as often.

    Args:
        comparisons: of a report of the whole split.
        margin: largest loss that does not matter.
        against: the model that the margin is about.
    """
    found = next((one for one in comparisons if one.against == against), None)
    return None if found is None else max(FEWEST, items_needed(found, margin))


def spread(strata: Sequence[str], n: int, seed: int) -> list[int]:
    """Places of `n` items, every stratum by its share, in their order.

    Systematic sampling of a list that is sorted by stratum and shuffled within (Cochran 1977, "Sampling
    Techniques", chapter 8).

    Args:
        strata: of each item.
        n: how many; all where there are no more.
        seed: of the shuffling.
    """
    total = len(strata)
    if n >= total:
        return list(range(total))
    shuffled = np.random.default_rng(seed).permutation(total)
    by_stratum = sorted(shuffled.tolist(), key=lambda place: strata[place])
    steps = ((np.arange(n) + 0.5) * total / n).astype(int)
    return sorted(by_stratum[step] for step in steps)


def sample(corpus: Path, out: Path, splits: Sequence[str], n: int | None, seed: int) -> Mapping[str, list[int]]:
    """Write splits of a corpus with at most `n` items each, and give the places of those taken.

    A sampled `test.jsonl` of rows keeps its line numbers: lines not taken are empty.

    Args:
        corpus: folder of a corpus.
        out: an empty folder.
        splits: to be taken where the corpus has them.
        n: items of each; None: all.
        seed: of the drawing.

    Raises:
        DataError: a split cannot be read.
    """
    taken = {}
    for split in splits:
        path = corpus / f"{split}.jsonl"
        if not path.is_file():
            continue
        try:
            lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
            items = [json.loads(line) for line in lines]
            strata = [_stratum(item) for item in items]
        except (OSError, ValueError, AttributeError) as exc:
            raise DataError(f"{path}: expected lines of JSON objects: {exc}; build the corpus again") from exc
        places = spread(strata, len(items) if n is None else n, seed)
        rows, chosen = any("label" in item for item in items), frozenset(places)
        kept = [line if place in chosen else "" for place, line in enumerate(lines) if rows or place in chosen]
        (out / path.name).write_text("\n".join(kept) + "\n", encoding="utf-8")
        taken[split] = places
    return taken


def _stratum(item: Mapping[str, object]) -> str:
    """The class of a row; the first passage that answers a question."""
    relevant = item.get("relevant")
    return str(item.get("label") or (relevant[0] if isinstance(relevant, list) and relevant else ""))
