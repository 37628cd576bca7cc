"""Choose the recipe for a build: cheapest first, and the first that passes is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fleet_manifests import DataError, IntegrityError, RefusedError
from quantize.recipes import Recipe


@dataclass(frozen=True)
class Score:
    """What an evaluation says of a build."""

    passed: bool
    reason: str
    """One sentence with the figures that decided."""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One recipe that was considered, and why it was taken or not."""

    recipe: str
    passed: bool
    reason: str
    size: int | None = None
    """Bytes of the build, None where there is none."""
    metrics: dict[str, float] = field(default_factory=dict)


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
            if trial.passed:
                return trial
        said = "; ".join(f"{trial.recipe}: {trial.reason}" for trial in self.trials)
        raise RefusedError(f"no recipe passes: {said}. Allow another recipe in the profile or relax its gate")


def search(
    recipes: Sequence[Recipe],
    build: Callable[[Recipe], Path],
    evaluate: Callable[[Path], Score],
    *,
    size_limit: int | None = None,
) -> SearchResult:
    """Try recipes in order, cheapest first, and stop at the first that passes.

    A build that is refused, cannot be made or gives invalid scores is a failed trial; a full
    disk or a wrong call ends the search.

    Args:
        recipes: what to try (`candidates` of a profile).
        build: makes the build of a recipe and returns its folder.
        evaluate: decides on a build's folder, on validation data.
        size_limit: largest sum of file sizes in bytes; a larger build is not evaluated.
    """
    trials: list[Trial] = []
    for recipe in recipes:
        folder, trial = _try(recipe, build, evaluate, size_limit)
        trials.append(trial)
        if trial.passed:
            rest = (Trial(later.name, False, f"not tried: {recipe.name} is cheaper and passes") for later in recipes)
            return SearchResult((*trials, *list(rest)[len(trials) :]), recipe, folder)
    return SearchResult(tuple(trials), None, None)


def _try(
    recipe: Recipe,
    build: Callable[[Recipe], Path],
    evaluate: Callable[[Path], Score],
    size_limit: int | None,
) -> tuple[Path | None, Trial]:
    """One trial."""
    try:
        folder = build(recipe)
    except (DataError, IntegrityError, RefusedError) as exc:
        return None, Trial(recipe.name, False, f"not built: {exc}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size_limit is not None and size > size_limit:
        reason = f"{size / 1e6:.1f} MB; the profile allows {size_limit / 1e6:.1f} MB"
        return folder, Trial(recipe.name, False, reason, size)
    try:
        score = evaluate(folder)
    except (DataError, IntegrityError, RefusedError) as exc:
        return folder, Trial(recipe.name, False, f"not measured: {exc}", size)
    return folder, Trial(recipe.name, score.passed, score.reason, size, dict(score.metrics))
