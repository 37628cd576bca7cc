"""Choose the recipe for a build: try what a profile allows, cheapest first, and keep what nothing else beats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from fleet_manifests import DataError, IntegrityError, MissingExtraError, Objective, RefusedError, Verdict
from quantize.choice import Figures, Timing, choose, noise, ratios
from quantize.recipes import Recipe

REFUSALS = (DataError, IntegrityError, MissingExtraError, RefusedError)
"""What makes a failed trial; a full disk or a wrong call ends the search."""


class Outcome(StrEnum):
    """What became of a recipe."""

    CHOSEN = "chosen"
    PARETO = "pareto"
    """It passes, and no other one beats it in everything; the objective prefers another."""
    BEATEN = "beaten"
    """It passes, and another one is as good in everything and better in something."""
    UNDECIDED = "undecided"
    """The validation rows are too few to say, and another one is shown to pass."""
    PRUNED = "pruned"
    """It loses too much, or is too large for the profile."""
    FAILED = "failed"
    """It could not be built or run."""


@dataclass(frozen=True)
class Score:
    """What an evaluation says of a build."""

    verdict: Verdict
    """Of the accuracy gate on validation data."""
    reason: str
    """One sentence with the figures that decided."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Higher is better in each."""
    least: float = 0.0
    """Lower bound of the difference to the unquantized model."""
    rows: int = 0
    """Rows or questions that were looked at."""


@dataclass(frozen=True)
class Trial:
    """One recipe that was considered, and what became of it."""

    recipe: str
    outcome: Outcome
    reason: str
    size: int | None = None
    """Bytes of the build, None where there is none."""
    metrics: dict[str, float] = field(default_factory=dict)
    least: float | None = None
    """Lower bound of the difference to the unquantized model."""
    rows: int = 0
    """Validation rows that were looked at before it was decided."""
    latency_ratio: float | None = None
    """Median time of a text against the first recipe that was timed."""
    latency_low: float | None = None
    latency_high: float | None = None
    """Interval of that."""
    latency_ms: float | None = None
    """Median, in this run; only ratios compare across runs."""
    times_count: bool = False
    """Whether the times were good enough to decide: on hardware of the profile, and steady."""
    memory_mb: float | None = None
    """Peak memory of a process that runs it."""


@dataclass(frozen=True)
class SearchResult:
    """Every recipe in the order of the search, and the build that was chosen."""

    trials: tuple[Trial, ...]
    chosen: Recipe | None
    folder: Path | None
    """The chosen build."""

    def require(self) -> Trial:
        """The trial that was chosen.

        Raises:
            RefusedError: no recipe passed, with the reason of each.
        """
        for trial in self.trials:
            if trial.outcome is Outcome.CHOSEN:
                return trial
        said = "; ".join(f"{trial.recipe}: {trial.reason}" for trial in self.trials)
        raise RefusedError(f"no recipe passes: {said}. Allow another recipe in the profile or relax its gate")


@dataclass(frozen=True)
class _Tried:
    """A recipe that may be taken."""

    recipe: Recipe
    folder: Path
    size: int
    score: Score


def search(
    recipes: Sequence[Recipe],
    build: Callable[[Recipe], Path],
    evaluate: Callable[[Recipe, Path], Score],
    time: Callable[[Mapping[str, Path]], Timing],
    *,
    objective: Objective = Objective.LATENCY,
    size_limit: int | None = None,
    memory_limit: int | None = None,
) -> SearchResult:
    """Try every recipe, time those that pass side by side, and take the one that the objective prefers.

    Where none is shown to pass, those of which the validation rows say neither compete: the test split decides.

    Args:
        recipes: what to try (`candidates` of a profile), cheapest first.
        build: makes the build of a recipe and returns its folder.
        evaluate: decides on a build, on validation data; it may stop as soon as it is sure of a failure.
        time: times builds side by side, by recipe; asked where more than one passes.
        objective: what the profile wants most.
        size_limit: largest sum of file sizes in bytes; a larger build is not evaluated.
        memory_limit: most memory of the process in MB; checked where it was measured.
    """
    trials: dict[str, Trial] = {}
    open_: list[_Tried] = []
    for recipe in recipes:
        found = _try(recipe, build, evaluate, size_limit)
        if isinstance(found, Trial):
            trials[recipe.name] = found
        else:
            open_.append(found)
    passing = [one for one in open_ if one.score.verdict is Verdict.PASS]
    for one in open_ if passing else ():
        if one not in passing:
            trials[one.recipe.name] = _trial(one, Outcome.UNDECIDED, one.score.reason, Timing())
    taken = _decide(passing or open_, time, objective, memory_limit, trials)
    ordered = tuple(trials[recipe.name] for recipe in recipes)
    return SearchResult(ordered, taken.recipe if taken else None, taken.folder if taken else None)


def _decide(
    some: Sequence[_Tried],
    time: Callable[[Mapping[str, Path]], Timing],
    objective: Objective,
    memory_limit: int | None,
    trials: dict[str, Trial],
) -> _Tried | None:
    """Time what may be taken, and take one; adds the trials of all."""
    timing = time({one.recipe.name: one.folder for one in some}) if len(some) > 1 else Timing()
    fitting = []
    for one in some:
        used = timing.memory_mb.get(one.recipe.name, 0.0)
        if one.recipe.name in timing.failed:
            reason = f"not timed: {timing.failed[one.recipe.name]}"
            trials[one.recipe.name] = _trial(one, Outcome.FAILED, reason, timing)
        elif memory_limit is not None and used > memory_limit:
            reason = f"{used:.0f} MB of memory; the profile allows {memory_limit} MB"
            trials[one.recipe.name] = _trial(one, Outcome.PRUNED, reason, timing)
        else:
            fitting.append(one)
    if not fitting:
        return None
    figures = [Figures(one.recipe.name, one.score.metrics, one.score.least, one.size) for one in fitting]
    choice = choose(figures, timing, objective)
    taken = next(one for one in fitting if one.recipe.name == choice.recipe)
    for one in fitting:
        name = one.recipe.name
        if one is taken:
            outcome, says = Outcome.CHOSEN, choice.reason
        elif name in choice.front:
            outcome, says = Outcome.PARETO, f"{choice.recipe} is taken: the profile wants {objective.value}"
        else:
            outcome, says = Outcome.BEATEN, "another that passes is as good in everything and better in something"
        trials[name] = _trial(one, outcome, f"{says}; {one.score.reason}", timing)
    return taken


def _trial(one: _Tried, outcome: Outcome, reason: str, timing: Timing) -> Trial:
    """What is known of a recipe that was evaluated to the end."""
    name = one.recipe.name
    base = Trial(name, outcome, reason, one.size, dict(one.score.metrics), one.score.least, one.score.rows)
    base = replace(base, memory_mb=timing.memory_mb.get(name))
    if name not in timing.rounds:
        return base
    found, rounds = ratios(timing)[name], sorted(timing.rounds[name])
    return replace(
        base,
        latency_ratio=found.median,
        latency_low=found.low,
        latency_high=found.high,
        latency_ms=rounds[len(rounds) // 2],
        times_count=not noise(timing),
    )


def _try(
    recipe: Recipe,
    build: Callable[[Recipe], Path],
    evaluate: Callable[[Recipe, Path], Score],
    size_limit: int | None,
) -> Trial | _Tried:
    """Build and evaluate one recipe; a trial where it is out of the running."""
    try:
        folder = build(recipe)
    except REFUSALS as exc:
        return Trial(recipe.name, Outcome.FAILED, f"not built: {exc}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size_limit is not None and size > size_limit:
        reason = f"{size / 1e6:.1f} MB; the profile allows {size_limit / 1e6:.1f} MB"
        return Trial(recipe.name, Outcome.PRUNED, reason, size)
    try:
        score = evaluate(recipe, folder)
    except REFUSALS as exc:
        return Trial(recipe.name, Outcome.FAILED, f"not measured: {exc}", size)
    if score.verdict is Verdict.FAIL:
        return _trial(_Tried(recipe, folder, size, score), Outcome.PRUNED, score.reason, Timing())
    return _Tried(recipe, folder, size, score)
