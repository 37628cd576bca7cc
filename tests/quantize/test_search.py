"""The search: cheapest first, an outcome and a reason for every recipe, and one that is taken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from fleet_manifests import DataError, IntegrityError, LadingError, Objective, RefusedError, StorageError, Verdict
from fleet_manifests.extra import need_libraries
from quantize import RECIPES, Recipe, Score, search
from quantize.choice import Timing
from quantize.search import Outcome

pytestmark = pytest.mark.unit
ALL = tuple(RECIPES[name] for name in ("int8", "int8-reduced-range", "fp32"))
SIZES = {"int8": 10, "int8-reduced-range": 20, "fp32": 40}
SECONDS = {"int8": 2.0, "int8-reduced-range": 1.0, "fp32": 4.0}


@pytest.fixture
def build(tmp_path: Path) -> Callable[[Recipe], Path]:
    def make(recipe: Recipe) -> Path:
        folder = tmp_path / recipe.name
        (folder / "nested").mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"x" * (SIZES[recipe.name] - 3))
        (folder / "nested" / "more").write_bytes(b"xxx")
        return folder

    return make


def scored(**verdicts: Verdict) -> Callable[[Recipe, Path], Score]:
    """Scores by recipe, `_` for `-`; larger builds are better, and what is not named fails."""

    def evaluate(recipe: Recipe, _: Path) -> Score:
        verdict = verdicts.get(recipe.name.replace("-", "_"), Verdict.FAIL)
        worth = SIZES[recipe.name] / 100
        return Score(verdict, f"macro_f1 of {recipe.name}", {"macro_f1": worth}, least=worth - 1, rows=9)

    return evaluate


def timed(folders: Mapping[str, Path]) -> Timing:
    return Timing({name: (SECONDS[name],) * 9 for name in folders}, {name: SIZES[name] * 1.0 for name in folders})


def never(_: Mapping[str, Path]) -> Timing:
    raise AssertionError("there was nothing to time")


PASS, OPEN = Verdict.PASS, Verdict.INCONCLUSIVE
EVERY = scored(int8=PASS, int8_reduced_range=PASS, fp32=PASS)


@pytest.mark.parametrize(
    ("objective", "chosen"),
    [(Objective.LATENCY, "int8-reduced-range"), (Objective.SIZE, "int8"), (Objective.ACCURACY, "fp32")],
)
def test_the_objective_picks_from_those_that_pass(build, tmp_path: Path, objective: Objective, chosen: str) -> None:
    result = search(ALL, build, EVERY, timed, objective=objective)
    assert result.chosen is RECIPES[chosen]
    assert result.folder == tmp_path / chosen
    assert result.require().recipe == chosen
    assert result.require().reason.startswith("taken: ")
    assert {trial.outcome for trial in result.trials} == {Outcome.CHOSEN, Outcome.PARETO}
    others = [trial.reason for trial in result.trials if trial.recipe != chosen]
    assert all(reason.startswith(f"{chosen} is taken: the profile wants {objective.value}; ") for reason in others)


def test_every_figure_is_in_the_trial(build) -> None:
    trial = search(ALL, build, EVERY, timed).trials[2]
    assert (trial.recipe, trial.size, trial.metrics, trial.least, trial.rows) == (
        "fp32",
        40,
        {"macro_f1": 0.4},
        -0.6,
        9,
    )
    assert (trial.latency_ratio, trial.latency_low, trial.latency_high, trial.latency_ms) == (2.0, 2.0, 2.0, 4.0)
    assert (trial.memory_mb, trial.times_count) == (40.0, True)


def test_times_that_do_not_count_are_kept_and_marked(build) -> None:
    def elsewhere(folders: Mapping[str, Path]) -> Timing:
        return Timing(timed(folders).rounds, unusable="this machine is not of the profile")

    result = search(ALL, build, EVERY, elsewhere)
    assert result.chosen is RECIPES["int8"]
    assert "this machine is not of the profile" in result.require().reason
    assert all(trial.latency_ratio and not trial.times_count for trial in result.trials)


def test_what_is_beaten_in_everything_is_named_so(build) -> None:
    def flat(recipe: Recipe, _: Path) -> Score:
        return Score(PASS, "equal", {"macro_f1": 0.9})

    trials = {trial.recipe: trial for trial in search(ALL, build, flat, timed).trials}
    assert trials["fp32"].outcome is Outcome.BEATEN
    assert "as good in everything" in trials["fp32"].reason
    assert trials["int8"].outcome is Outcome.PARETO  # slower, but smaller


def test_one_that_passes_needs_no_timing(build) -> None:
    result = search(ALL, build, scored(fp32=PASS), never)
    assert result.chosen is RECIPES["fp32"]
    assert result.require().reason == "taken: the only one that passes; macro_f1 of fp32"
    assert [trial.outcome for trial in result.trials] == [Outcome.PRUNED, Outcome.PRUNED, Outcome.CHOSEN]
    assert result.trials[0].reason == "macro_f1 of int8"


def test_what_is_not_shown_competes_only_where_nothing_is(build) -> None:
    result = search(ALL, build, scored(int8=OPEN, fp32=PASS), never)
    assert result.chosen is RECIPES["fp32"]
    assert result.trials[0].outcome is Outcome.UNDECIDED
    again = search(ALL[:1], lambda recipe: result.folder or Path(), scored(int8=OPEN), never)
    assert again.chosen is RECIPES["int8"]


def test_nothing_passes_says_why_for_each(build) -> None:
    result = search(ALL, build, scored(), never)
    assert (result.chosen, result.folder) == (None, None)
    with pytest.raises(RefusedError, match=r"no recipe passes: int8: macro_f1 of int8; .*; fp32: macro_f1 of fp32"):
        result.require()


def test_a_build_over_budget_is_not_evaluated(build) -> None:
    seen: list[str] = []

    def evaluate(recipe: Recipe, _: Path) -> Score:
        seen.append(recipe.name)
        return Score(Verdict.FAIL, "too many errors")

    result = search(ALL, build, evaluate, never, size_limit=20)
    assert seen == ["int8", "int8-reduced-range"]
    assert result.trials[2].reason == "0.0 MB; the profile allows 0.0 MB"
    assert (result.trials[2].size, result.trials[2].outcome) == (40, Outcome.PRUNED)


def test_what_needs_too_much_memory_is_not_taken(build) -> None:
    result = search(ALL, build, EVERY, timed, objective=Objective.ACCURACY, memory_limit=30)
    assert result.chosen is RECIPES["int8-reduced-range"]
    assert result.trials[2].reason == "40 MB of memory; the profile allows 30 MB"
    assert search(ALL, lambda recipe: result.folder or Path(), EVERY, timed, memory_limit=1).chosen is None


def test_what_ends_its_process_when_it_is_timed_is_out_of_the_running(build) -> None:
    def ended(folders: Mapping[str, Path]) -> Timing:
        rest = {name: folder for name, folder in folders.items() if name != "int8"}
        return replace(timed(rest), failed={"int8": "ended by SIGSEGV"})

    result = search(ALL, build, EVERY, ended)
    assert [trial.outcome for trial in result.trials] == [Outcome.FAILED, Outcome.CHOSEN, Outcome.PARETO]
    assert result.trials[0].reason == "not timed: ended by SIGSEGV"


def test_nothing_that_can_be_timed_says_why_for_each(build) -> None:
    result = search(ALL, build, EVERY, lambda folders: Timing(failed=dict.fromkeys(folders, "ended by SIGSEGV")))
    with pytest.raises(RefusedError, match="int8: not timed: ended by SIGSEGV; int8-reduced-range: not timed"):
        result.require()


@pytest.mark.parametrize("error", [DataError, IntegrityError, RefusedError])
def test_a_recipe_that_cannot_be_built_or_measured_is_a_failed_trial(build, error: type[LadingError]) -> None:
    def fail_first(recipe: Recipe) -> Path:
        if recipe.name == "int8":
            raise error("no such operator")
        return build(recipe)

    def evaluate(recipe: Recipe, _: Path) -> Score:
        if recipe.name == "int8-reduced-range":
            raise error("a score is not finite")
        return Score(PASS, "fine")

    result = search(ALL, fail_first, evaluate, never)
    assert result.chosen is RECIPES["fp32"]
    assert [trial.outcome for trial in result.trials] == [Outcome.FAILED, Outcome.FAILED, Outcome.CHOSEN]
    assert result.trials[0].reason == "not built: no such operator"
    assert result.trials[0].size is None
    assert result.trials[1].reason == "not measured: a score is not finite"


def test_a_full_disk_ends_the_search(build) -> None:
    def full(*_: object) -> Path:
        raise StorageError("no space left")

    with pytest.raises(StorageError, match="no space left"):
        search(ALL, full, EVERY, timed)
    with pytest.raises(StorageError, match="no space left"):
        search(ALL, build, lambda *_: full() and Score(PASS, ""), timed)


def test_no_recipes_no_build(build) -> None:
    with pytest.raises(RefusedError, match="no recipe passes"):
        search((), build, EVERY, never).require()


def test_a_recipe_whose_library_is_missing_fails_and_the_others_go_on(build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", ModuleType("openvino"))
    monkeypatch.setattr(sys.modules["openvino"], "__spec__", ModuleSpec("openvino", None))
    monkeypatch.setitem(sys.modules, "nncf", None)

    def half(recipe: Recipe) -> Path:
        need_libraries(recipe.libraries)
        return build(recipe)

    result = search((RECIPES["openvino-int8"], *ALL), half, EVERY, timed)
    assert result.require().recipe == "int8-reduced-range"
    (failed,) = [trial for trial in result.trials if trial.outcome is Outcome.FAILED]
    assert failed.recipe == "openvino-int8"
    assert failed.reason == "not built: nncf is needed and not installed; run: pip install 'lading[openvino-factory]'"
