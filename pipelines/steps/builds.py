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
from fleet_manifests.profile import OPENVINO
from pipelines.project.load import Project
from pipelines.steps import classifiers, retrievers, trials
from pipelines.steps.attestations import attest_bundle
from pipelines.steps.configs import ENGINE_LIBRARIES, author_of, draft, resolved_profile, versions
from pipelines.steps.derivations import derivation
from pipelines.steps.judges import VALIDATION
from pipelines.steps.searches import track
from pipelines.steps.trials import Inputs, Trials, described
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from evals.calibration import Calibrated
    from quantize.search import SearchResult

WEIGHTS = ("model.onnx", WORD_EMBEDDINGS, FROZEN, TUNED, HEAD, "model.xml", "model.bin")
BUILD_FILES = (*WEIGHTS, "tokenizer.json", "labels.json", "arguments.json", "recipe.json")
CODE = ("pipelines.steps.builds", *trials.CODE)
"""What judges a build."""


def unquantized(project: Project, workflow: str) -> Entry:
    """What the unquantized model answers or finds, which every build of the workflow is held to."""
    entry: Entry = family_of(project, workflow).reference(project, workflow)
    return entry


def family_of(project: Project, workflow: str) -> ModuleType:
    """The steps of a workflow's task: `classifiers` or `retrievers`, which have the same functions."""
    return retrievers if workflow in project.retrievers else classifiers


def quantized_model(project: Project, workflow: str, profile_name: str) -> Entry:
    """The build of a profile: of the recipes that keep the accuracy on validation the one it prefers, calibrated."""
    from quantize.folder import kind_of
    from quantize.recipes import candidates
    from quantize.search import search

    inputs = Inputs(
        model=project.store.latest("onnx_model", workflow),
        corpus=project.store.latest("corpus", workflow),
        unquantized=unquantized(project, workflow),
    )
    profile = resolved_profile(project, profile_name)
    gates = project.workflow(workflow).gates
    recipes = candidates(profile, kind_of(inputs.model.path))
    step = Step(
        name="quantized_model",
        inputs=inputs.digests,
        parameters={
            "profile": profile.model_dump(mode="json"),
            "recipes": [described(recipe) for recipe in recipes],
            "extras": versions(name for recipe in recipes for name in recipe.libraries),
            "gates": gates.model_dump(mode="json"),
        },
        code=(*CODE, "runtimes.measure", "pipelines.steps.timings"),
        libraries=("onnx", *ENGINE_LIBRARIES, "scipy"),
    )

    def work(out: Path) -> None:
        family = family_of(project, workflow)
        tried = Trials(project, workflow, profile, inputs)
        found = search(
            recipes,
            tried.build,
            tried.evaluate,
            tried.time,
            objective=profile.objective,
            size_limit=round(profile.size_budget_mb * 1e6),
            memory_limit=profile.memory_mb,
        )
        name = found.require().recipe
        assert found.folder is not None
        evaluation = tried.evaluations[name].path
        config = tried.config(name, found.folder)
        _keep(found, family.calibrated(project, workflow, found.folder, config, inputs.corpus.path, evaluation), out)
        for answers in (VALIDATION, classifiers.LOGITS):
            if (evaluation / answers).is_file():
                shutil.copyfile(evaluation / answers, out / answers)

    entry = project.store.keep(bundle_name(workflow, profile_name), step, work)
    track(project, workflow, profile_name, entry)
    return entry


def _keep(found: SearchResult, calibrated: Calibrated, out: Path) -> None:
    import numpy as np

    assert found.folder is not None
    for name in BUILD_FILES:
        if (found.folder / name).is_file():
            shutil.copyfile(found.folder / name, out / name)
    (out / "calibration.json").write_bytes(dump(calibrated.calibration))
    if calibrated.neighbours is not None:
        np.save(out / NEIGHBOURS, calibrated.neighbours, allow_pickle=False)
    for name, tried in (("search", found.trials), ("calibrations", calibrated.trials)):
        (out / f"{name}.json").write_text(json.dumps([asdict(one) for one in tried], indent=2, sort_keys=True))


def bundle(project: Project, workflow: str, profile_name: str) -> Entry:
    """The signed bundle of a build: `<workflow>--<profile>/`, `manifest.json`, `config.json`, `model.sig`.

    What is said beside it is made too: attestations, and how a site computes the tuned weights.
    """
    from release.bundles import assemble
    from release.signing import sign_bundle

    build = project.store.latest("quantized_model", bundle_name(workflow, profile_name))
    corpus = project.store.latest("corpus", workflow)
    profile = resolved_profile(project, profile_name)
    author = author_of(project)
    recipe = json.loads((build.path / "recipe.json").read_text())["recipe"]
    calibration = parse(Calibration, (build.path / "calibration.json").read_bytes(), where="calibration.json")
    config = draft(project, workflow, build.path, corpus.path, recipe, profile)
    neighbours = NEIGHBOURS if calibration.score == "neighbours" else None
    config = config.model_copy(update={"calibration": calibration, "neighbours": neighbours})
    step = Step(
        name="bundle",
        inputs={"quantized_model": build.digest, "corpus": corpus.digest},
        parameters={"config": config.model_dump(mode="json"), "author": author.described},
        code=("release", "fleet_manifests", *CODE),
        libraries=("model-signing", *ENGINE_LIBRARIES, *((OPENVINO,) if config.engine == OPENVINO else ())),
    )

    def work(out: Path) -> None:
        family = family_of(project, workflow)
        signed = family.with_smoke(config, build.path, corpus.path)
        files = {name: build.path / name for name in config.files}
        assemble({**files, config.data_card_file: corpus.path / "data_card.json"}, signed, out)
        sign_bundle(out, author)

    made = project.store.keep(bundle_name(workflow, profile_name), step, work)
    attest_bundle(project, workflow, profile_name, made, corpus)
    derivation(project, workflow, profile_name)
    return made
