"""Judging a build on growing shares of the validation rows, so that one that loses too much is found out early.

A look stops only what is shown to lose more than the margin, at a bound far stricter than the gate's (Haybittle 1971,
"Repeated assessment of results in clinical trials of cancer treatment"; Peto et al. 1976, "Design and analysis of
randomized clinical trials requiring prolonged observation of each patient"). By Bonferroni a build that loses no more
than the margin is stopped by any of the looks with a probability of at most `len(SHARES) * (1 - LOOK) / 2` = 0.0015.
Nothing passes at a look: that is left to the gate on all rows, at its own confidence. So looking early cannot let a
build through that the gate alone would have refused.

The rows of a look are drawn at random, as rows often come in the order of time or of classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evals.gates import non_inferior
from fleet_manifests import Comparison, Gate, Verdict

SHARES = (1 / 8, 1 / 4, 1 / 2)
"""Of the rows, at which a look is taken before the last."""
LOOK = 0.999
"""Confidence of the two-sided interval of a look."""
FEWEST = 30
"""Rows below which a look would tell nothing."""


@dataclass(frozen=True)
class Judged:
    """How it went."""

    gate: Gate
    """Of the last look that was taken."""
    comparison: Comparison
    rows: int
    """That were looked at."""


def judge(
    n: int,
    answer: Callable[[Sequence[int]], None],
    compare: Callable[[Sequence[int], float], Comparison],
    *,
    margin: float,
    confidence: float,
    seed: int,
) -> Judged:
    """Answer rows until a build is found out, or all are answered.

    Args:
        n: rows that there are.
        answer: has the build answer the rows at these places.
        compare: the paired difference on the rows at these places, at a confidence.
        margin: of the gate.
        confidence: of the gate.
        seed: of the order of the rows.
    """
    order = np.random.default_rng(seed).permutation(n).tolist()
    seen = 0
    for share in SHARES:
        until = int(n * share)
        if until < FEWEST:
            continue
        answer(order[seen:until])
        seen = until
        found = compare(sorted(order[:seen]), LOOK)
        gate = non_inferior(found, margin=margin)
        if gate.verdict is Verdict.FAIL:
            said = f"stopped after {seen} of {n} rows: {gate.reason}"
            return Judged(gate.model_copy(update={"reason": said}), found, seen)
    answer(order[seen:])
    found = compare(range(n), confidence)
    return Judged(non_inferior(found, margin=margin), found, n)
