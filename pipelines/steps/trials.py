"""What a recipe search does: builds, evaluations and timings, each kept in the store, so that none is made twice.

A build is shared by the profiles that allow its recipe, an evaluation by those that also run it with the same session
options on the same machine. An interrupted search goes on where it was. What cannot be built or run is kept too, as
the sentence that says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import BundleConfig, HardwareProfile, RefusedError, Verdict, digest_of, dump
from fleet_manifests.extra import need_libraries
from pipelines.project.load import Project
from pipelines.steps.configs import ENGINE_LIBRARIES, draft
from pipelines.steps.judges import Judge, judge_of
from pipelines.steps.timings import side_by_side
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from quantize.choice import Timing
    from quantize.recipes import Recipe
    from quantize.search import Score

FAILED = "failed.txt"
"""Why a recipe cannot be built or run; alone in its folder."""
SCORE = "score.json"
BUILD_CODE = ("quantize", "pipelines.steps.trials")
"""What makes a build."""
CODE = (
    "quantize", "runtimes.engine", "runtimes.knowledge", "evals.*", "pipelines.steps.trials",
    "pipelines.steps.classifiers", "pipelines.steps.configs", "pipelines.steps.judges",
    "pipelines.steps.retrievers",
)  # fmt: skip
"""What judges a build."""


@dataclass(frozen=True)
class Inputs:
    """What the trials of a workflow rest on."""

    model: Entry
    corpus: Entry
    unquantized: Entry

    @property
    def digests(self) -> dict[str, str]:
        """By role."""
        return {
            "onnx_model": self.model.digest,
            "corpus": self.corpus.digest,
            "unquantized": self.unquantized.digest,
        }


class Trials:
    """The recipes of one workflow and profile, tried."""

    def __init__(self, project: Project, workflow: str, profile: HardwareProfile, inputs: Inputs) -> None:
        """Take what the trials are about.

        Args:
            project: whose store keeps them.
            workflow: of the model.
            profile: resolved.
            inputs: the entries that the trials rest on.
        """
        self._project, self._workflow, self._profile, self._inputs = project, workflow, profile, inputs
        self._builds: dict[str, Entry] = {}
        self.evaluations: dict[str, Entry] = {}
        """Those that were made, by recipe."""

    @cached_property
    def _judge(self) -> Judge:
        inputs = self._inputs
        return judge_of(self._project, self._workflow, inputs.corpus.path, inputs.unquantized.path)

    def config(self, recipe: str, folder: Path) -> BundleConfig:
        """How the engine runs a build."""
        return draft(self._project, self._workflow, folder, self._inputs.corpus.path, recipe, self._profile)

    def build(self, recipe: Recipe) -> Path:
        """A recipe applied to the model.

        Raises:
            MissingExtraError: a library of the recipe is not installed.
            RefusedError: it cannot be applied.
        """
        from quantize import apply

        need_libraries(recipe.libraries)  # before the store keeps it: what is missing today may be there tomorrow
        model, corpus = self._inputs.model, self._inputs.corpus
        texts = recipe.needs_texts
        step = Step(
            name="recipe_build",
            inputs={"onnx_model": model.digest, **({"corpus": corpus.digest} if texts else {})},
            parameters={**described(recipe), **({"max_tokens": self._max_tokens} if texts else {})},
            code=BUILD_CODE,
            libraries=("onnx", "onnxruntime", "numpy", *(("tokenizers",) if texts else ()), *recipe.libraries),
        )

        def work(out: Path) -> None:
            samples = self._samples if texts else ()
            _or_why_not(out, lambda: apply(recipe, model.path, out, samples, prepared=self._prepared(recipe)))

        entry = self._builds[recipe.name] = self._project.store.run(step, work)
        return _require(entry).path

    def _prepared(self, recipe: Recipe) -> Path | None:
        """The model after the passes that most recipes begin with; None where this one does not.

        Raises:
            RefusedError: they cannot be applied.
        """
        from quantize.build import prepare
        from quantize.recipes import UNPADDED

        if recipe.passes[: len(UNPADDED)] != UNPADDED:
            return None
        model = self._inputs.model
        step = Step(
            name="prepared_graph",
            inputs={"onnx_model": model.digest},
            parameters={"passes": UNPADDED},
            code=BUILD_CODE,
            libraries=("onnx", "onnxruntime"),
        )
        entry = self._project.store.run(step, lambda out: _or_why_not(out, lambda: prepare(model.path, out)))
        return _require(entry).path

    @cached_property
    def _samples(self) -> list[list[int]]:
        """Token ids of the training texts."""
        from quantize.folder import TOKENIZER, tokenize

        return tokenize(self._inputs.model.path / TOKENIZER, self._judge.training_texts(), self._max_tokens)

    @property
    def _max_tokens(self) -> int:
        return self._project.workflow(self._workflow).training.max_tokens

    def evaluate(self, recipe: Recipe, folder: Path) -> Score:
        """What a build loses against the unquantized model, in growing looks.

        Raises:
            RefusedError: it cannot be run.
        """
        from quantize.search import Score

        config = self.config(recipe.name, folder)
        step = Step(
            name="recipe_evaluation",
            inputs={**self._inputs.digests, "recipe_build": self._builds[recipe.name].digest, "machine": _machine()},
            parameters={
                "session": config.session.model_dump(mode="json"),
                "gates": self._project.workflow(self._workflow).gates.model_dump(mode="json"),
                "max_characters": config.max_characters,
                "disturbed": recipe.forgets,
                "seed": self._project.settings.seed,
            },
            code=CODE,
            libraries=(*ENGINE_LIBRARIES, "scipy"),
        )

        def work(out: Path) -> None:
            _or_why_not(out, lambda: self._evaluate(folder, config, recipe.forgets, out))

        entry = self.evaluations[recipe.name] = self._project.store.run(step, work)
        found = json.loads((_require(entry).path / SCORE).read_text())
        return Score(**{**found, "verdict": Verdict(found["verdict"])})

    def _evaluate(self, folder: Path, config: BundleConfig, disturbed: bool, out: Path) -> None:
        from evals.looks import judge

        one = self._judge
        one.open(folder, config)
        found = judge(
            len(one.texts),
            one.answer,
            one.compare,
            margin=one.margin,
            confidence=one.confidence,
            seed=self._project.settings.seed,
        )
        gate, whole = found.gate, found.rows == len(one.texts)
        if gate.verdict is not Verdict.FAIL:
            gate = next((other for other in one.more(disturbed) if other.verdict is Verdict.FAIL), gate)
        score = {
            "verdict": gate.verdict.value,
            "reason": gate.reason,
            "metrics": one.metrics() if whole else {},
            "least": found.comparison.low,
            "rows": found.rows,
        }
        (out / SCORE).write_text(json.dumps(score, indent=2, sort_keys=True) + "\n")
        if whole:
            one.save(out)

    def time(self, folders: Mapping[str, Path]) -> Timing:
        """Builds side by side on validation texts, and the memory of each; only on a machine of the profile."""
        from quantize.choice import Timing
        from runtimes.engine.host import facts
        from runtimes.measure import abreast

        why = self._profile.mismatch(facts())
        if why is not None:
            return Timing(unusable=f"this machine is not of the profile: {why}")
        builds = [
            abreast.Build(name=name, folder=str(folder), config=self.config(name, folder))
            for name, folder in folders.items()
        ]
        inputs = {f"{name}/recipe_build": self._builds[name].digest for name in folders}
        inputs["corpus"] = self._inputs.corpus.digest
        return side_by_side(self._project, self._profile, builds, inputs, self._judge.texts)


def described(recipe: Recipe) -> dict[str, object]:
    """A recipe as a parameter of a step."""
    return {**asdict(recipe), "isa": sorted(recipe.isa), "session": recipe.session.model_dump(mode="json")}


def _machine() -> str:
    """Integer arithmetic, and with it an answer, may differ by processor."""
    from runtimes.engine.host import machine

    return digest_of(dump(machine()))


def _or_why_not(out: Path, work: Callable[[], object]) -> None:
    """Do some work, or write down why it cannot be done."""
    from quantize.search import REFUSALS

    try:
        work()
    except REFUSALS as exc:
        (out / FAILED).write_text(str(exc))


def _require(entry: Entry) -> Entry:
    """An entry that is not a sentence that says why there is none.

    Raises:
        RefusedError: it is.
    """
    if (entry.path / FAILED).is_file():
        raise RefusedError((entry.path / FAILED).read_text())
    return entry
