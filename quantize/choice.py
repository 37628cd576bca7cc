"""Which of the recipes that pass is taken: the Pareto set of their figures, and the profile's objective. Pure.

Latencies are compared as ratios of rounds that were timed side by side. The interval of a median ratio is that of
order statistics (Conover, "Practical Nonparametric Statistics", 3rd ed. 1999, section 3.2): it holds whatever the
distribution of the noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fleet_manifests import Objective
from fleet_manifests.pareto import front

CONFIDENCE = 0.95
"""Of the interval of a ratio, at least."""
EQUAL = 0.02
"""A recipe counts as fast as the fastest where it may be this share slower, or less."""
SAME_SIZE = 0.01
NOISY = 0.10
"""A machine is too noisy to choose where a recipe may be as fast as the fastest or slower by more than this share."""


@dataclass(frozen=True)
class Ratio:
    """How long one recipe takes, as a share of another."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Timing:
    """Recipes timed side by side on the same texts."""

    rounds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Milliseconds a text in each round, by recipe; round for round under the same conditions."""
    memory_mb: Mapping[str, float] = field(default_factory=dict)
    """Peak memory of a process that runs the recipe."""
    unusable: str = ""
    """Why these latencies may not decide; empty: they may."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why a recipe could not be run alone, by recipe."""


@dataclass(frozen=True)
class Figures:
    """What is known of a recipe that passes."""

    recipe: str
    metrics: Mapping[str, float]
    """On validation; higher is better in each."""
    least: float
    """Lower bound of the difference to the unquantized model in the gate's metric."""
    size: int


@dataclass(frozen=True)
class Choice:
    """The recipe that is taken."""

    recipe: str
    front: frozenset[str]
    """Recipes that no other one beats in everything."""
    reason: str
    timing: str
    """Why times did not decide; empty: they did, or there was nothing to decide."""


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """The median ratio of rounds timed side by side, with its interval of order statistics."""
    found = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    n = len(found)
    tail, place = 0.0, 0
    while place < (n - 1) // 2:  # of Binomial(n, 1/2): so unlikely is it that the median lies below this place
        tail += math.comb(n, place) / 2**n
        if 2 * tail > 1 - CONFIDENCE:
            break
        place += 1
    place = max(place - 1, 0)
    return Ratio(statistics.median(found), found[place], found[n - 1 - place])


def ratios(timing: Timing) -> dict[str, Ratio]:
    """Each recipe against the first."""
    first = next(iter(timing.rounds.values()), ())
    return {name: ratio(rounds, first) for name, rounds in timing.rounds.items()}


def noise(timing: Timing) -> str:
    """Why latencies may not decide; empty: they may."""
    if timing.unusable:
        return timing.unusable
    if not timing.rounds:
        return "nothing was timed"
    medians = {name: found.median for name, found in ratios(timing).items()}
    fastest = min(medians, key=lambda name: medians[name])
    for name, rounds in timing.rounds.items():
        found = ratio(rounds, timing.rounds[fastest])
        if found.low <= 1 + EQUAL and found.high > 1 + NOISY:
            return f"the machine was too noisy: {name} may be as fast as {fastest} or take {found.high:.2f} of its time"
    return ""


def choose(candidates: Sequence[Figures], timing: Timing, objective: Objective) -> Choice:
    """The recipe of the Pareto set that a profile wants.

    What decides: of `latency` the time, of `size` the bytes, of `accuracy` the bound of the loss; where that is the
    same, time, bytes, bound in turn; then the profile's order. Times that are no more than `EQUAL` apart are the
    same. Where times may not decide, the profile's order (cheapest first) stands in for them.

    Args:
        candidates: at least one, in the profile's order.
        timing: of all of them.
        objective: of the profile.
    """
    alone = len(candidates) == 1
    why_not = "there was nothing to compare it with" if alone else noise(timing)
    times = _times([one.recipe for one in candidates], timing, why_not)
    best = front([_axes(one, times, timing) for one in candidates])
    some = [one for one, kept in zip(candidates, best, strict=True) if kept]
    place = {one.recipe: rank for rank, one in enumerate(candidates)}
    smallest, closest = min(one.size for one in some), max(one.least for one in some)
    fastest = min(some, key=lambda one: (times[one.recipe], place[one.recipe])).recipe

    def slow(one: Figures) -> float:
        if why_not:
            return times[one.recipe]
        found = ratio(timing.rounds[one.recipe], timing.rounds[fastest])
        return 0.0 if found.low <= 1 + EQUAL else found.median

    def large(one: Figures) -> float:
        return 0.0 if one.size <= smallest * (1 + SAME_SIZE) else one.size

    def loses(one: Figures) -> float:
        return closest - one.least

    orders = {
        Objective.LATENCY: (slow, large, loses),
        Objective.SIZE: (large, slow, loses),
        Objective.ACCURACY: (loses, slow, large),
    }
    taken = min(some, key=lambda one: (*(key(one) for key in orders[objective]), place[one.recipe]))
    reason = _reason(taken, objective, why_not, len(candidates), fastest)
    return Choice(taken.recipe, frozenset(one.recipe for one in some), reason, "" if alone else why_not)


def _times(names: Sequence[str], timing: Timing, why_not: str) -> dict[str, float]:
    """What stands for the time of each recipe."""
    if why_not:
        return {name: float(rank) for rank, name in enumerate(names)}
    found = ratios(timing)
    return {name: found[name].median for name in names}


def _axes(one: Figures, times: Mapping[str, float], timing: Timing) -> tuple[float, ...]:
    """The figures that compete; lower is better."""
    better = [-one.metrics[name] for name in sorted(one.metrics)]
    return (*better, -one.least, times[one.recipe], one.size, timing.memory_mb.get(one.recipe, 0.0))


def _reason(taken: Figures, objective: Objective, why_not: str, candidates: int, fastest: str) -> str:
    """Why this one, in words."""
    if candidates == 1:
        return "taken: the only one that passes"
    equal = f"one that is as fast as the fastest ({fastest}) and smaller or surer,"
    by = {
        Objective.LATENCY: "the fastest" if taken.recipe == fastest else equal,
        Objective.SIZE: f"the smallest ({taken.size / 1e6:.1f} MB)",
        Objective.ACCURACY: f"the one that is sure to lose least (at most {max(-taken.least, 0.0):.3f})",
    }[objective]
    if why_not and objective is Objective.LATENCY:
        return (
            f"taken: the first in the profile's order of {candidates} that pass, since times do not decide: {why_not}"
        )
    return f"taken: {by} of {candidates} that pass" + (f"; times did not count: {why_not}" if why_not else "")
