"""From an ONNX model to a signed bundle, per hardware profile."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from fleet_manifests import Calibration, dump, parse
from fleet_manifests.bundle import FROZEN, HEAD, NEIGHBOURS, TUNED, WORD_EMBEDDINGS, bundle_name
from pipelines.project.load import Project
from pipelines.steps import classifiers, retrievers
from pipelines.steps.configs import ENGINE_LIBRARIES, builder_key, draft, resolved_profile
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from evals.calibration import Calibrated
    from quantize.recipes import Recipe
    from quantize.search import SearchResult

WEIGHTS = ("model.onnx", WORD_EMBEDDINGS, FROZEN, TUNED, HEAD)
BUILD_FILES = (*WEIGHTS, "tokenizer.json", "labels.json", "arguments.json", "recipe.json")
VALIDATION = "validation.json"
"""What a build answers to the validation rows."""
CODE = (
    "quantize", "runtimes.engine", "runtimes.knowledge", "evals.*", "pipelines.steps.builds",
    "pipelines.steps.classifiers", "pipelines.steps.configs", "pipelines.steps.retrievers",
)  # fmt: skip
"""What judges a build."""


def unquantized(project: Project, workflow: str) -> Entry:
    """What the unquantized model answers or finds, which every build of the workflow is held to."""
    entry: Entry = family_of(project, workflow).reference(project, workflow)
    return entry


def family_of(project: Project, workflow: str) -> ModuleType:
    """The steps of a workflow's task: `classifiers` or `retrievers`, which have the same functions."""
    return retrievers if workflow in project.retrievers else classifiers


def quantized_model(project: Project, workflow: str, profile_name: str) -> Entry:
    """The build of a profile: the cheapest allowed recipe that keeps the accuracy on validation, calibrated."""
    from quantize.export import kind_of
    from quantize.recipes import candidates
    from quantize.search import search

    model = project.store.latest("onnx_model", workflow)
    corpus = project.store.latest("corpus", workflow)
    reference = unquantized(project, workflow)
    profile = resolved_profile(project, profile_name)
    gates = project.workflow(workflow).gates
    recipes = candidates(profile, kind_of(model.path))
    step = Step(
        name="quantized_model",
        inputs={"onnx_model": model.digest, "corpus": corpus.digest, "unquantized": reference.digest},
        parameters={
            "profile": profile.model_dump(mode="json"),
            "recipes": [_described(recipe) for recipe in recipes],
            "gates": gates.model_dump(mode="json"),
        },
        code=CODE,
        libraries=("onnx", *ENGINE_LIBRARIES, "scipy"),
    )

    def work(out: Path) -> None:
        family = family_of(project, workflow)
        trial = family.Trial(project, workflow, profile, corpus.path, reference.path)
        found = search(
            recipes,
            lambda recipe: _recipe_build(project, model, recipe).path,
            trial.evaluate,
            size_limit=round(profile.size_budget_mb * 1e6),
        )
        found.require()
        _keep(found, trial.calibrated(), out)
        (out / VALIDATION).write_text(json.dumps(trial.answers))

    return project.store.keep(bundle_name(workflow, profile_name), step, work)


def _keep(found: SearchResult, calibrated: Calibrated, out: Path) -> None:
    import numpy as np

    assert found.folder is not None
    for name in BUILD_FILES:
        if (found.folder / name).is_file():
            shutil.copyfile(found.folder / name, out / name)
    (out / "calibration.json").write_bytes(dump(calibrated.calibration))
    if calibrated.neighbours is not None:
        np.save(out / NEIGHBOURS, calibrated.neighbours, allow_pickle=False)
    for name, trials in (("search", found.trials), ("calibrations", calibrated.trials)):
        (out / f"{name}.json").write_text(json.dumps([asdict(one) for one in trials], indent=2, sort_keys=True))


def _recipe_build(project: Project, model: Entry, recipe: Recipe) -> Entry:
    """A recipe applied to a model; profiles that share a recipe share the outcome."""
    from quantize.recipes import apply

    step = Step(
        name="recipe_build",
        inputs={"onnx_model": model.digest},
        parameters=_described(recipe),
        code=("quantize", "pipelines.steps.builds"),
        libraries=("onnx", "onnxruntime"),
    )

    def work(out: Path) -> None:
        apply(recipe, model.path, out)

    return project.store.run(step, work)


def _described(recipe: Recipe) -> dict[str, object]:
    return {**asdict(recipe), "isa": sorted(recipe.isa), "session": recipe.session.model_dump(mode="json")}


def bundle(project: Project, workflow: str, profile_name: str) -> Entry:
    """The signed bundle of a build: `<workflow>--<profile>/`, `manifest.json`, `config.json`, `model.sig`."""
    from release.bundles import assemble
    from release.signing import sign_bundle

    build = project.store.latest("quantized_model", bundle_name(workflow, profile_name))
    corpus = project.store.latest("corpus", workflow)
    profile = resolved_profile(project, profile_name)
    key = builder_key(project)
    recipe = json.loads((build.path / "recipe.json").read_text())["recipe"]
    calibration = parse(Calibration, (build.path / "calibration.json").read_bytes(), where="calibration.json")
    config = draft(project, workflow, build.path, corpus.path, recipe, profile)
    neighbours = NEIGHBOURS if calibration.score == "neighbours" else None
    config = config.model_copy(update={"calibration": calibration, "neighbours": neighbours})
    step = Step(
        name="bundle",
        inputs={"quantized_model": build.digest, "corpus": corpus.digest},
        parameters={"config": config.model_dump(mode="json"), "key": key.public_pem.decode()},
        code=("release", "fleet_manifests", *CODE),
        libraries=("model-signing", *ENGINE_LIBRARIES),
    )

    def work(out: Path) -> None:
        family = family_of(project, workflow)
        signed = family.with_smoke(config, build.path, corpus.path)
        files = {name: build.path / name for name in config.files}
        assemble({**files, config.data_card_file: corpus.path / "data_card.json"}, signed, out)
        sign_bundle(out, key)

    return project.store.keep(bundle_name(workflow, profile_name), step, work)
