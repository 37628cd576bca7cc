"""The search: cheapest first, the first that passes, a reason for every recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_manifests import DataError, IntegrityError, LadingError, RefusedError, StorageError
from quantize import RECIPES, Recipe, Score, search

pytestmark = pytest.mark.unit
ALL = tuple(RECIPES.values())
SIZES = {"int8": 10, "int8-reduced-range": 20, "fp32": 40}


@pytest.fixture
def build(tmp_path: Path) -> Callable[[Recipe], Path]:
    def make(recipe: Recipe) -> Path:
        folder = tmp_path / recipe.name
        (folder / "nested").mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"x" * (SIZES[recipe.name] - 3))
        (folder / "nested" / "more").write_bytes(b"xxx")
        return folder

    return make


def passing(*names: str) -> Callable[[Path], Score]:
    return lambda folder: Score(
        folder.name in names, f"macro_f1 of {folder.name}", {"macro_f1": float(SIZES[folder.name])}
    )


def test_the_cheapest_that_passes_is_taken_and_the_rest_not_built(build, tmp_path: Path) -> None:
    result = search(ALL, build, passing("int8", "fp32"))
    assert result.chosen is RECIPES["int8"]
    assert result.folder == tmp_path / "int8"
    assert [path.name for path in tmp_path.iterdir()] == ["int8"]
    assert [(trial.recipe, trial.passed) for trial in result.trials] == [
        ("int8", True), ("int8-reduced-range", False), ("fp32", False),
    ]  # fmt: skip
    assert result.trials[2].reason == "not tried: int8 is cheaper and passes"


def test_a_recipe_that_fails_gives_way_to_the_next(build) -> None:
    result = search(ALL, build, passing("fp32"))
    assert result.chosen is RECIPES["fp32"]
    trial = result.require()
    assert (trial.recipe, trial.size, trial.metrics) == ("fp32", 40, {"macro_f1": 40.0})
    assert result.trials[0].reason == "macro_f1 of int8"


def test_nothing_passes_says_why_for_each(build) -> None:
    result = search(ALL, build, passing())
    assert (result.chosen, result.folder) == (None, None)
    with pytest.raises(RefusedError, match=r"no recipe passes: int8: macro_f1 of int8; .*; fp32: macro_f1 of fp32"):
        result.require()


def test_a_build_over_budget_is_not_evaluated(build) -> None:
    seen: list[str] = []

    def evaluate(folder: Path) -> Score:
        seen.append(folder.name)
        return Score(False, "too many errors")

    result = search(ALL, build, evaluate, size_limit=20)
    assert seen == ["int8", "int8-reduced-range"]
    assert result.trials[2].reason == "0.0 MB; the profile allows 0.0 MB"
    assert result.trials[2].size == 40


@pytest.mark.parametrize("error", [DataError, IntegrityError, RefusedError])
def test_a_recipe_that_cannot_be_built_or_measured_is_a_failed_trial(build, error: type[LadingError]) -> None:
    def fail_first(recipe: Recipe) -> Path:
        if recipe.name == "int8":
            raise error("no such operator")
        return build(recipe)

    def evaluate(folder: Path) -> Score:
        if folder.name == "int8-reduced-range":
            raise error("a score is not finite")
        return Score(True, "fine")

    result = search(ALL, fail_first, evaluate)
    assert result.chosen is RECIPES["fp32"]
    assert result.trials[0].reason == "not built: no such operator"
    assert result.trials[0].size is None
    assert result.trials[1].reason == "not measured: a score is not finite"


def test_a_full_disk_ends_the_search(build) -> None:
    def full(recipe: Recipe) -> Path:
        raise StorageError("no space left")

    with pytest.raises(StorageError, match="no space left"):
        search(ALL, full, passing("fp32"))
    with pytest.raises(StorageError, match="no space left"):
        search(ALL, build, lambda _: full(ALL[0]) and Score(True, ""))


def test_no_recipes_no_build(build) -> None:
    with pytest.raises(RefusedError, match="no recipe passes"):
        search((), build, passing("int8")).require()
