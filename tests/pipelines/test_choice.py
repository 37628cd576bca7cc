"""The choice among candidates, from a corpus to a bundle that answers. The tuned model is a tiny one that learned nothing."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from fleet_manifests import LadingError, RefusedError
from pipelines.project.load import Project, load_project
from pipelines.steps import builds, choice, corpora, lexical_head, trials
from pipelines.steps.models import rows
from pipelines.store import Step

if TYPE_CHECKING:
    from training.lexical_head import LexicalHead

pytestmark = pytest.mark.integration

WORDS = {"late": "truck pallet late delayed waiting slot", "short": "cartons missing short count incomplete two"}
LABELS = ["late", "short"]
SITE = """
import sys
from pathlib import Path
from runtimes.engine import load
engine = load(Path(sys.argv[1]))
assert engine.smoke() == [] and len(engine.config.smoke) > 0
for text in ("truck delayed, waiting for a slot", "two cartons missing", "\\U0001f600", "\\u6570\\u91cf", "x " * 5000):
    answer = engine.classify(text)
    print(answer.label, answer.truncated)
heavy = {"sklearn", "scipy", "torch", "transformers", "onnx"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture
def project(
    project_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Project]:
    """Makes a project with a corpus, where `training` may be said."""
    monkeypatch.setenv("LADING_KEYS", str(tmp_path / "keys"))

    def make(training: str = "{}", floor: float = 0.5) -> Project:
        gates = f"gates: {{metric: macro_f1, floor: {floor}"
        root = project_folder(
            workflows__triage_yaml=("gates: {metric: macro_f1, floor: 0.5", f"training: {training}\n{gates}")
        )
        draw = random.Random(5)
        with sqlite3.connect(root / "erp.sqlite") as erp:
            erp.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, updated_at TIMESTAMP, note TEXT, label TEXT)")
            for number in range(200):
                label = LABELS[number % 2]
                note = " ".join(
                    [*draw.sample(WORDS[label].split(), 3), f"ref {draw.randrange(10**6)}", "order, customer"]
                )
                erp.execute(
                    "INSERT INTO notes VALUES (?, ?, ?, ?)",
                    (number, f"2026-01-{number % 27 + 1:02} 10:00:00", note, label),
                )
        made = load_project(root)
        corpora.erp_tables(made)
        corpora.corpus(made, "triage")
        return made

    return make


def tune(project: Project, best_epoch: int = 2) -> None:
    """Put the outcome of a tuning that learned nothing into the store: a tiny random BERT."""
    project.store.keep("triage", _step("adapter"), lambda out: _write(out / "history.json", {"best_epoch": best_epoch}))
    project.store.keep("triage", _step("merged_model"), _tiny)


def _step(name: str) -> Step:
    return Step(name=name, inputs={}, parameters={}, code=("pipelines.store",))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _tiny(out: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertModel

    from training.model import build, save_merged

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", *sorted({word for some in WORDS.values() for word in some.split()}), "ready"]
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(words), attn_implementation="eager", **sizes)
    save_merged(build(BertModel(config, add_pooling_layer=False), 2), out, ("late", "short"))
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.save(str(out / "tokenizer.json"))
    _write(out / "labels.json", LABELS)
    _write(out / "arguments.json", {})


def test_a_classical_model_that_wins_is_exported_bundled_and_answers(project: Callable[..., Project]) -> None:
    made = project("{lexical_head: false}")
    tune(made, best_epoch=0)
    found = choice.read_choice(choice.chosen_model(made, "triage"))
    assert [one.name for one in found.candidates] == ["classical", "tuned"]
    assert found.best.metric.value == 1.0 and found.best.metric.n == 28 and found.above_floor
    assert "frozen base with a light head" in found.reason
    model = choice.onnx_model(made, "triage")
    assert json.loads((model.path / "arguments.json").read_text())["kind"] == "classical"
    build = builds.quantized_model(made, "triage", "edge")
    assert [trial["recipe"] for trial in json.loads((build.path / "search.json").read_text())] == ["as-is"]
    folder = builds.bundle(made, "triage", "edge").path / "triage--edge"
    config = json.loads((folder / "bundle.json").read_text())
    assert (config["kind"], config["recipe"], config["max_tokens"]) == ("classical", "as-is", 8 * 256)
    assert config["tokens_per_piece"] == 5 and config["isa"] == "x86-64-v3" and "word_embeddings" not in config
    done = subprocess.run(
        [sys.executable, "-c", SITE, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["late False", "short False"]
    assert done.stdout.splitlines()[-1].endswith("True")


def test_both_kinds_answer_through_the_same_line(project: Callable[..., Project]) -> None:
    """Restricted to the tuned model, the same project ships that one, below its floor, and says so."""
    made = project("{candidates: [tuned], lexical_head: false}", floor=0.9)
    tune(made)
    found = choice.read_choice(choice.chosen_model(made, "triage"))
    assert [one.what for one in found.candidates] == ["tuned model (epoch 2)"]
    assert not found.above_floor and "below the floor of 0.900" in found.reason
    model = choice.onnx_model(made, "triage")
    assert "kind" not in json.loads((model.path / "arguments.json").read_text())
    assert not (made.store.root / "classical_model").exists()


def test_a_lexical_head_that_pays_ships_with_the_tuned_model(project: Callable[..., Project]) -> None:
    """The tiny model learned nothing, and the words of a label tell it: from the head to a bundle that answers."""
    made = searched(project, "int8-reduced-range, fp32")
    found = choice.read_choice(choice.chosen_model(made, "triage"))
    assert found.best.what == "tuned model (epoch 2) and a lexical head" and found.best.metric.value > 0.9
    tried = choice.tried_head(made, "triage")
    assert tried is not None and tried.reused and lexical_head.kept(tried)
    assert lexical_head.told(tried).startswith("kept: macro_f1 ") and "n = 28" in lexical_head.told(tried)
    model = choice.onnx_model(made, "triage")
    assert (model.path / "lexical_head.npz").read_bytes() == (tried.path / "lexical_head.npz").read_bytes()
    build = builds.quantized_model(made, "triage", "edge")
    told = json.loads((build.path / "recipe.json").read_text())["lexical_head"]
    assert told["features"] > 10 and told["k"] > 0
    folder = builds.bundle(made, "triage", "edge").path / "triage--edge"
    done = subprocess.run(
        [sys.executable, "-c", SITE, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:2]] == ["late", "short"]


def test_a_lexical_head_that_does_not_pay_changes_nothing(
    project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.lexical_head import Fitted

    def useless(corpus: Path, *_: Any) -> Fitted:
        """One row of 28 more is right: less than one standard error."""
        right = [row["label"] for row in rows(corpus, "validation")]
        wrong = [LABELS[1 - LABELS.index(right[0])], *right[1:]]
        return Fitted(head=cast("LexicalHead", object()), alone=wrong, together=right, trials=[{"k": 0.0}])

    monkeypatch.setattr("training.lexical_head.fit_lexical_head", useless)
    made = project("{candidates: [tuned]}")
    tune(made)
    found = choice.read_choice(choice.chosen_model(made, "triage"))
    assert found.best.what == "tuned model (epoch 2)"
    tried = choice.tried_head(made, "triage")
    assert tried is not None and not lexical_head.kept(tried)
    assert lexical_head.told(tried).startswith("none: macro_f1 1.0000 with it, 0.96")
    kept = choice.onnx_model(made, "triage")
    (made.root / "workflows" / "triage.yaml").write_text(
        (made.root / "workflows" / "triage.yaml").read_text().replace("[tuned]", "[tuned], lexical_head: false")
    )
    without = load_project(made.root)
    assert choice.tried_head(without, "triage") is None
    choice.chosen_model(without, "triage")
    assert choice.onnx_model(without, "triage").path == kept.path


def test_a_person_sees_whether_there_is_a_lexical_head(project: Callable[..., Project]) -> None:
    from pipelines.cli.plans import Run
    from pipelines.cli.runs import execute, instance
    from training.lexical_head import STRENGTHS, WEIGHTS

    made = project("{candidates: [tuned]}")
    tune(made)
    execute(made, [Run(("chosen_model",), workflow="triage")], lambda number, run: None)
    with instance(made) as live:
        from dagster import AssetKey

        event = live.get_latest_materialization_event(AssetKey("chosen_model"))
        assert event is not None and event.asset_materialization is not None
        shown = event.asset_materialization.metadata
    assert str(shown["lexical_head"].value).startswith("kept: macro_f1 ")
    assert "macro_f1" in str(shown["lexical_heads_tried"].value).splitlines()[0]
    assert len(str(shown["lexical_heads_tried"].value).splitlines()) == 2 + 1 + len(STRENGTHS) * len(WEIGHTS)


def test_without_the_tuned_model_nothing_is_tuned(project: Callable[..., Project]) -> None:
    from pipelines.cli.plans import plan

    made = project("{candidates: [classical]}")
    assert plan(made)[1].assets == ("corpus", "baselines", "chosen_model", "onnx_model")
    found = choice.read_choice(choice.chosen_model(made, "triage"))
    assert found.chosen == "classical" and "the only candidate" in found.reason
    again = choice.chosen_model(made, "triage")
    assert again.reused and choice.onnx_model(made, "triage").path == choice.onnx_model(made, "triage").path


def test_a_candidate_that_was_not_made_is_missed(project: Callable[..., Project]) -> None:
    with pytest.raises(RefusedError, match="merged_model"):
        choice.chosen_model(project(), "triage")


def test_what_a_person_sees(project: Callable[..., Project]) -> None:
    from pipelines.cli.plans import Run
    from pipelines.cli.runs import execute, instance

    made = project("{candidates: [classical]}")
    execute(made, [Run(("chosen_model", "onnx_model"), workflow="triage")], lambda number, run: None)
    with instance(made) as live:
        from dagster import AssetKey

        event = live.get_latest_materialization_event(AssetKey("chosen_model"))
        assert event is not None and event.asset_materialization is not None
        shown = event.asset_materialization.metadata
    assert shown["chosen"].value == "classical"
    assert "n = 28" in str(shown["reason"].value)
    assert "| classical model (TF-IDF, linear SVM) |" in str(shown["candidates"].value)


RECIPES = "int8-reduced-range, int8-reduced-range-mixed, fp32-fused, fp32"


def searched(project: Callable[..., Project], recipes: str = RECIPES) -> Project:
    """A project with the tiny tuned model, exported, whose profile is of this machine and allows some recipes."""
    made = project("{candidates: [tuned]}")
    tune(made)
    choice.chosen_model(made, "triage")
    choice.onnx_model(made, "triage")
    path = made.root / "profiles" / "edge.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("recipes:")]
    text = "\n".join([*lines, f"recipes: [{recipes}]", ""])
    path.write_text(text.replace("isa: x86-64-v3", "isa: host"))
    return load_project(made.root)


def entries(project: Project, step: str) -> set[str]:
    """What the store has of a step."""
    return {path.parent.name for path in (project.store.root / step).glob("*/entry.json")}


def test_an_interrupted_search_goes_on_where_it_was(
    project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.steps.trials import Trials

    made = searched(project)
    whole = Trials.evaluate

    def cut_off(self: Trials, recipe: Any, folder: Path) -> Any:
        if recipe.name == "fp32-fused":
            raise KeyboardInterrupt
        return whole(self, recipe, folder)

    monkeypatch.setattr(Trials, "evaluate", cut_off)
    with pytest.raises(KeyboardInterrupt):
        builds.quantized_model(made, "triage", "edge")
    monkeypatch.undo()
    before = {step: entries(made, step) for step in ("recipe_build", "recipe_evaluation")}
    assert [len(some) for some in before.values()] == [3, 2]
    made = load_project(made.root)
    done: list[str] = []
    work = type(made.store)._work
    monkeypatch.setattr(
        type(made.store), "_work", lambda self, name, key, do: (done.append(name), work(self, name, key, do))[1]
    )
    build = builds.quantized_model(made, "triage", "edge")
    assert sorted(done) == [
        "quantized_model", "recipe_build", "recipe_evaluation", "recipe_evaluation", "recipe_timing",
    ]  # fmt: skip
    assert all(some < entries(made, step) for step, some in before.items())
    trials = json.loads((build.path / "search.json").read_text())
    assert [trial["recipe"] for trial in trials] == RECIPES.split(", ")
    assert [trial["outcome"] for trial in trials].count("chosen") == 1
    assert all(trial["reason"] and trial["rows"] == 28 and trial["memory_mb"] > 0 for trial in trials)
    done.clear()
    assert builds.quantized_model(made, "triage", "edge").reused and done == []


def test_another_objective_reuses_builds_evaluations_and_times(project: Callable[..., Project]) -> None:
    made = searched(project)
    builds.quantized_model(made, "triage", "edge")
    steps = ("recipe_build", "recipe_evaluation", "recipe_timing", "prepared_graph")
    before = [entries(made, step) for step in steps]
    path = made.root / "profiles" / "edge.yaml"
    path.write_text(path.read_text() + "objective: accuracy\n")
    made = load_project(made.root)
    trials = json.loads((builds.quantized_model(made, "triage", "edge").path / "search.json").read_text())
    assert [entries(made, step) for step in steps] == before
    (chosen,) = [trial for trial in trials if trial["outcome"] == "chosen"]
    assert chosen["least"] == max(trial["least"] for trial in trials)
    assert "sure to lose least" in chosen["reason"]


def test_times_on_another_machine_are_not_taken(project: Callable[..., Project]) -> None:
    made = searched(project, "int8-reduced-range, fp32")
    path = made.root / "profiles" / "edge.yaml"
    path.write_text(path.read_text().replace("isa: host", "isa: arm64-dotprod"))
    made = load_project(made.root)
    trials = json.loads((builds.quantized_model(made, "triage", "edge").path / "search.json").read_text())
    assert trials[0]["outcome"] == "chosen"
    assert "times do not decide: this machine is not of the profile: isa arm64-dotprod is needed" in trials[0]["reason"]
    assert all(trial["latency_ratio"] is None for trial in trials) and entries(made, "recipe_timing") == set()


HARMFUL = """
import ctypes, os, sys, time
import numpy as np
import onnx
from onnx import numpy_helper
from pipelines.steps import judges, trial_worker
from quantize import passes, recipes

def poison(path, _):
    model = onnx.load(str(path))
    bias = next(one for one in model.graph.initializer if len(one.dims) == 1 and one.data_type == 1)
    bias.CopyFrom(numpy_helper.from_array(np.full(tuple(bias.dims), np.nan, np.float32), bias.name))
    onnx.save(model, str(path))
    return 1

def confused(*_):
    raise AttributeError("no such node")

def ends(*_):
    ctypes.string_at(0)

def eats(*_):
    held = []
    while True:
        held.append(np.zeros(2**28, np.uint8))

passes.PASSES = {
    **passes.PASSES,
    "keep-sensitive": passes.Pass(confused),
    "embeddings-16bit": passes.Pass(poison),
    "embeddings-8bit": passes.Pass(ends),
    "embeddings-4bit": passes.Pass(eats),
}
recipes.PASSES = passes.PASSES
whole = judges.ClassifierJudge.open

def opened(judge, folder, config):
    if config.recipe == "fp32-fused":
        ends()
    if config.recipe == "int8-reduced-range-unfused":
        os._exit(1)
    if config.recipe == "int8-reduced-range-skip-norm":
        time.sleep(600)
    whole(judge, folder, config)

judges.ClassifierJudge.open = opened
trial_worker.main()
"""
FATES = {
    "int8-reduced-range-mixed": "not built: recipe int8-reduced-range-mixed cannot be applied: no such node",
    "fp32-16bit-embeddings": "not measured: .* not finite",
    "int8-reduced-range-8bit-embeddings": "not built: its process was ended by SIGSEGV",
    "int8-reduced-range-4bit-embeddings": r"not built: it needs more than \d+ MB of memory",
    "int8-reduced-range-skip-norm": "not measured: its process did not finish in 20 s and was killed",
    "int8-reduced-range-unfused": "not measured: its process ended with code 1",
    "fp32-fused": "not measured: its process was ended by SIGSEGV",
    "fp32": "taken: the only one that passes",
}
"""What becomes of recipes in the process above."""


def test_a_recipe_costs_itself_only_whatever_it_does(
    project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    worker = partial(trials.Trials, worker=(sys.executable, "-c", HARMFUL), seconds=20)
    monkeypatch.setattr(builds, "Trials", worker)
    made = searched(project, ", ".join(FATES))
    found = json.loads((builds.quantized_model(made, "triage", "edge").path / "search.json").read_text())
    assert [trial["outcome"] for trial in found] == ["failed"] * 7 + ["chosen"]
    for trial, (recipe, reason) in zip(found, FATES.items(), strict=True):
        assert trial["recipe"] == recipe and re.match(reason, trial["reason"]), trial
    client = MlflowClient(tracking_uri=made.tracking_uri)
    (experiment,) = [one for one in client.search_experiments() if one.name == "triage"]
    (run,) = client.search_runs([experiment.experiment_id], "tags.step = 'quantized_model'")
    assert run.data.params["recipe/fp32-fused"] == "failed"
    kept = [json.loads(path.read_text()) for path in (made.store.root / "recipe_evaluation").glob("*/entry.json")]
    assert sorted(len(entry["files"]) for entry in kept) == [1, 3], "a death is not kept"


def test_an_error_of_ours_ends_the_search(project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "from pipelines.steps import trial_worker as one\none._evaluate = None\none.main()"
    monkeypatch.setattr(builds, "Trials", partial(trials.Trials, worker=(sys.executable, "-c", broken)))
    made = searched(project, "fp32")
    with pytest.raises(LadingError, match="recipe fp32: TypeError: "):
        builds.quantized_model(made, "triage", "edge")


def test_a_project_that_changes_during_a_search_ends_it(project: Callable[..., Project]) -> None:
    made = searched(project, "fp32")
    path = made.root / "workflows" / "triage.yaml"
    path.write_text(path.read_text().replace("floor: 0.5", "floor: 0.4"))
    with pytest.raises(LadingError, match="its files were changed during the search; build again"):
        builds.quantized_model(made, "triage", "edge")


def test_a_project_that_was_changed_back_is_built_again(project: Callable[..., Project]) -> None:
    made = searched(project, "fp32")
    path = made.root / "workflows" / "triage.yaml"
    before = path.read_text()
    path.write_text(before.replace("floor: 0.5", "floor: 0.4"))
    with pytest.raises(LadingError, match="build again"):
        builds.quantized_model(made, "triage", "edge")
    path.write_text(before)
    assert not builds.quantized_model(made, "triage", "edge").reused


def test_the_same_process_does_the_next_search_by_what_the_project_says_then(project: Callable[..., Project]) -> None:
    made = searched(project, "fp32")
    builds.quantized_model(made, "triage", "edge")
    process = trials._process(trials.WORKER)._process
    assert process is not None
    path = made.root / "workflows" / "triage.yaml"
    path.write_text(path.read_text().replace("floor: 0.5", "floor: 0.4"))
    assert not builds.quantized_model(load_project(made.root), "triage", "edge").reused
    assert trials._process(trials.WORKER)._process is process and process.poll() is None


def test_every_trial_is_in_mlflow(project: Callable[..., Project]) -> None:
    from mlflow import MlflowClient

    made = searched(project, "int8-reduced-range, fp32")
    entry = builds.quantized_model(made, "triage", "edge")
    client = MlflowClient(tracking_uri=made.tracking_uri)
    (experiment,) = [one for one in client.search_experiments() if one.name == "triage"]
    (run,) = client.search_runs([experiment.experiment_id], "tags.step = 'quantized_model'")
    assert run.data.tags["quantized_model"] == entry.digest
    assert {"recipe/int8-reduced-range", "recipe/fp32", "profile"} == set(run.data.params)
    assert {"fp32/macro_f1", "fp32/agreement", "fp32/size", "int8-reduced-range/least"} <= set(run.data.metrics)


def test_what_a_person_sees_of_a_search(project: Callable[..., Project]) -> None:
    from pipelines.cli.plans import Run
    from pipelines.cli.runs import execute, instance

    made = searched(project, "int8-reduced-range, fp32")
    execute(made, [Run(("quantized_model",), workflow="triage", profile="edge")], lambda number, run: None)
    with instance(made) as live:
        from dagster import AssetKey

        event = live.get_latest_materialization_event(AssetKey("quantized_model"))
        assert event is not None and event.asset_materialization is not None
        table = str(event.asset_materialization.metadata["trials"].value)
    assert "| int8-reduced-range |" in table and "| fp32 |" in table
    assert "taken: " in table and "agreement" in table
