"""What a recipe search does: builds, evaluations and timings, each kept in the store, so that none is made twice.

A build is shared by the profiles that allow its recipe, an evaluation by those that also run it with the same session
options on the same machine. An interrupted search goes on where it was. What cannot be built or run is kept too, as
the sentence that says why.

A process of its own builds and judges (`pipelines.steps.trial_worker`). A recipe that ends it, needs too much memory
or goes on for ever is refused; that is not kept, as the machine may have had its part in it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fleet_manifests import (
    BundleConfig,
    HardwareProfile,
    LadingError,
    RefusedError,
    StorageError,
    Verdict,
    digest_of,
    dump,
    parse,
)
from fleet_manifests.extra import need_libraries
from pipelines.project.load import Project
from pipelines.steps.configs import ENGINE_LIBRARIES, draft
from pipelines.steps.judges import judge_of
from pipelines.steps.timings import side_by_side
from pipelines.steps.trial_worker import FAILED, SCORE, Answer, Job, meant
from pipelines.store import Entry, Step
from pipelines.workers import EndedError, Worker

if TYPE_CHECKING:
    from quantize.choice import Timing
    from quantize.recipes import Recipe
    from quantize.search import Score

WORKER = (sys.executable, "-m", "pipelines.steps.trial_worker")
SECONDS = 1800.0
"""What a recipe may take to be built, and to be judged."""
BASE_MEMORY_MB, MODEL_MEMORY = 2048, 16
"""Data that the process may hold: so many MB, and so many times the exported model."""
BUILD_CODE = ("quantize", "pipelines.steps.trials", "pipelines.steps.trial_worker")
"""What makes a build."""
CODE = (
    "quantize", "runtimes.engine", "runtimes.knowledge", "evals.*", "pipelines.steps.trials",
    "pipelines.steps.trial_worker", "pipelines.steps.classifiers", "pipelines.steps.configs",
    "pipelines.steps.judges", "pipelines.steps.retrievers",
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

    def __init__(
        self,
        project: Project,
        workflow: str,
        profile: HardwareProfile,
        inputs: Inputs,
        *,
        worker: Sequence[str] = WORKER,
        seconds: float = SECONDS,
    ) -> None:
        """Take what the trials are about.

        Args:
            project: whose store keeps them.
            workflow: of the model.
            profile: resolved.
            inputs: the entries that the trials rest on.
            worker: starts the process that does the work.
            seconds: what a recipe may take to be built, and to be judged.
        """
        self._project, self._workflow, self._profile, self._inputs = project, workflow, profile, inputs
        self._seconds = seconds
        self._builds: dict[str, Entry] = {}
        self._memory_mb = BASE_MEMORY_MB + MODEL_MEMORY * _megabytes(inputs.model.path)
        self._worker = _process(tuple(worker))
        self.evaluations: dict[str, Entry] = {}
        """Those that were made, by recipe."""

    def config(self, recipe: str, folder: Path) -> BundleConfig:
        """How the engine runs a build."""
        return draft(self._project, self._workflow, folder, self._inputs.corpus.path, recipe, self._profile)

    def build(self, recipe: Recipe) -> Path:
        """A recipe applied to the model.

        Raises:
            MissingExtraError: a library of the recipe is not installed.
            RefusedError: it cannot be applied.
        """
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
            self._do("build", recipe, out, folder=self._prepared(recipe))

        entry = self._builds[recipe.name] = self._project.store.run(step, work)
        return _require(entry).path

    def _prepared(self, recipe: Recipe) -> Path | None:
        """The model after the passes that most recipes begin with; None where this one does not.

        Raises:
            RefusedError: they cannot be applied.
        """
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
        entry = self._project.store.run(step, lambda out: self._do("prepare", recipe, out))
        return _require(entry).path

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
            self._do("evaluate", recipe, out, folder=folder, config=config)

        entry = self.evaluations[recipe.name] = self._project.store.run(step, work)
        found = json.loads((_require(entry).path / SCORE).read_text())
        return Score(**{**found, "verdict": Verdict(found["verdict"])})

    def _do(
        self,
        action: Literal["prepare", "build", "evaluate"],
        recipe: Recipe,
        out: Path,
        *,
        folder: Path | None = None,
        config: BundleConfig | None = None,
    ) -> None:
        """Have the process do something for a recipe.

        Raises:
            RefusedError: it ended, had too little memory or did not finish.
            StorageError, OSError: the disk is full or not writable.
            LadingError: an error of ours, whose traceback it wrote to standard error.
        """
        inputs = self._inputs
        job = Job(
            action=action, recipe=recipe.name, project=str(self._project.root), workflow=self._workflow,
            meant=meant(self._project, self._workflow), model=str(inputs.model.path), corpus=str(inputs.corpus.path),
            unquantized=str(inputs.unquantized.path), folder=str(folder) if folder else None, config=config,
            out=str(out), memory_mb=self._memory_mb,
        )  # fmt: skip
        try:
            answer = parse(Answer, self._worker.ask(dump(job), self._seconds), where="answer of the trial process")
        except TimeoutError as exc:
            raise RefusedError(f"its process did not finish in {self._seconds:g} s and was killed") from exc
        except EndedError as exc:
            hint = ", which usually means that the machine ran out of memory" if exc.code == -signal.SIGKILL else ""
            raise RefusedError(f"its process {exc}{hint}") from exc
        if answer.error:
            raise LadingError(f"recipe {recipe.name}: {answer.error}")
        if answer.memory:
            self._worker.end()  # what it holds may not come back
            raise RefusedError(f"it needs more than {self._memory_mb} MB of memory")
        if answer.storage:
            raise StorageError(answer.storage)
        if answer.errno:
            raise OSError(answer.errno, os.strerror(answer.errno), str(out))

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
        corpus, theirs = self._inputs.corpus.path, self._inputs.unquantized.path
        texts = judge_of(self._project, self._workflow, corpus, theirs).texts
        return side_by_side(self._project, self._profile, builds, inputs, texts)


@cache
def _process(command: tuple[str, ...]) -> Worker:
    """The process that tries recipes for this one. It ends with this one: its libraries take seconds to load."""
    return Worker(command)


def described(recipe: Recipe) -> dict[str, object]:
    """A recipe as a parameter of a step."""
    return {**asdict(recipe), "isa": sorted(recipe.isa), "session": recipe.session.model_dump(mode="json")}


def _machine() -> str:
    """Integer arithmetic, and with it an answer, may differ by processor."""
    from runtimes.engine.host import machine

    return digest_of(dump(machine()))


def _require(entry: Entry) -> Entry:
    """An entry that is not a sentence that says why there is none.

    Raises:
        RefusedError: it is.
    """
    if (entry.path / FAILED).is_file():
        raise RefusedError((entry.path / FAILED).read_text())
    return entry


def _megabytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file()) // 2**20
