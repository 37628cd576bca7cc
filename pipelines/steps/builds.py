"""From an ONNX model to a signed bundle, per hardware profile."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import (
    BundleConfig,
    Calibration,
    HardwareProfile,
    IsaClass,
    SessionConfig,
    SmokeCase,
    Verdict,
    dump,
    parse,
    sha256_of,
)
from fleet_manifests.bundle import bundle_name
from pipelines.project.load import Project
from pipelines.steps.models import base_of, rows
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    import numpy as np

    from quantize.recipes import Recipe
    from quantize.search import Score, SearchResult
    from release.keys import Keys, SigningKey
    from runtimes.engine import Engine

ENGINE_LIBRARIES = ("onnxruntime", "tokenizers", "numpy")
SMOKE_CASES = 5
SMOKE_ROWS = 200
"""Validation rows among which smoke cases are looked for."""
BUILD_FILES = ("model.onnx", "tokenizer.json", "labels.json", "arguments.json", "recipe.json")


def resolved_profile(project: Project, name: str) -> HardwareProfile:
    """A profile of the project, with isa `host` replaced by that of this machine."""
    from runtimes.engine.host import facts

    fields = project.profile(name).resolved(facts()).model_dump()
    return HardwareProfile.model_validate(fields)


def unquantized(project: Project, workflow: str) -> Entry:
    """What the unquantized model answers on validation and test, through the engine."""
    model = project.store.latest("onnx_model", workflow)
    corpus = project.store.latest("corpus", workflow)
    step = Step(
        name="unquantized",
        inputs={"onnx_model": model.digest, "corpus": corpus.digest},
        parameters={},
        code=("runtimes.engine", "pipelines.steps.builds"),
        libraries=ENGINE_LIBRARIES,
    )

    def work(out: Path) -> None:
        engine = _engine(model.path, draft(project, workflow, model.path, corpus.path, "fp32", None))
        found = {split: _labels(engine, corpus.path, split) for split in ("validation", "test")}
        (out / "predictions.json").write_text(json.dumps(found))

    return project.store.keep(workflow, step, work)


def quantized_model(project: Project, workflow: str, profile_name: str) -> Entry:
    """The build of a profile: the cheapest allowed recipe that keeps the accuracy on validation, calibrated."""
    from quantize.recipes import candidates
    from quantize.search import search

    model = project.store.latest("onnx_model", workflow)
    corpus = project.store.latest("corpus", workflow)
    reference = unquantized(project, workflow)
    profile = resolved_profile(project, profile_name)
    gates = project.workflow(workflow).gates
    recipes = candidates(profile)
    step = Step(
        name="quantized_model",
        inputs={"onnx_model": model.digest, "corpus": corpus.digest, "unquantized": reference.digest},
        parameters={
            "profile": profile.model_dump(mode="json"),
            "recipes": [_described(recipe) for recipe in recipes],
            "gates": gates.model_dump(mode="json"),
        },
        code=("quantize", "runtimes.engine", "evals", "pipelines.steps.builds"),
        libraries=("onnx", *ENGINE_LIBRARIES, "scipy"),
    )

    def work(out: Path) -> None:
        trial = _Trial(project, workflow, profile, corpus.path, reference.path)
        found = search(
            recipes,
            lambda recipe: _recipe_build(project, model, recipe).path,
            trial.evaluate,
            size_limit=round(profile.size_budget_mb * 1e6),
        )
        found.require()
        _keep(found, trial, out)

    return project.store.keep(bundle_name(workflow, profile_name), step, work)


class _Trial:
    """Judges builds on validation data; remembers the logits of the last one."""

    def __init__(
        self, project: Project, workflow: str, profile: HardwareProfile, corpus: Path, reference: Path
    ) -> None:
        self._project, self._workflow, self._profile = project, workflow, profile
        self._corpus = corpus
        self._rows = rows(corpus, "validation")
        self._theirs: list[str] = json.loads((reference / "predictions.json").read_text())["validation"]
        self._gates = project.workflow(workflow).gates
        self._logits: np.ndarray | None = None
        self._labels: tuple[str, ...] = ()

    def evaluate(self, folder: Path) -> Score:
        """Non-inferiority to the unquantized model, paired; few rows may leave it open, the test split decides."""
        from evals.gates import non_inferior
        from evals.predictions import decode, encode
        from evals.statistics import compare
        from quantize.search import Score

        recipe = json.loads((folder / "recipe.json").read_text())["recipe"]
        engine = _engine(folder, draft(self._project, self._workflow, folder, self._corpus, recipe, self._profile))
        self._logits, self._labels = engine.logits([row["text"] for row in self._rows]), engine.config.labels
        truth = encode([row["label"] for row in self._rows], self._labels)
        ours = decode(self._logits.astype("float64"), self._labels, Calibration()).codes
        found = compare(
            truth,
            ours,
            encode(self._theirs, self._labels),
            against="unquantized",
            metric=self._gates.metric,
            classes=len(self._labels),
            confidence=self._gates.confidence,
            seed=self._project.settings.seed,
        )
        gate = non_inferior(found, margin=self._gates.margin)
        return Score(gate.verdict is not Verdict.FAIL, gate.reason, {found.metric: found.ours})

    def calibration(self) -> Calibration:
        """Temperature and defer threshold of the last build that was judged."""
        from evals.calibration import calibrate
        from evals.predictions import encode

        assert self._logits is not None
        truth = encode([row["label"] for row in self._rows], self._labels)
        return calibrate(self._logits, truth, self._gates.target_precision)


def _keep(found: SearchResult, trial: _Trial, out: Path) -> None:
    assert found.folder is not None
    for name in BUILD_FILES:
        if (found.folder / name).is_file():
            shutil.copyfile(found.folder / name, out / name)
    (out / "calibration.json").write_bytes(dump(trial.calibration()))
    trials = [asdict(one) for one in found.trials]
    (out / "search.json").write_text(json.dumps(trials, indent=2, sort_keys=True))


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
    config = config.model_copy(update={"calibration": calibration})
    step = Step(
        name="bundle",
        inputs={"quantized_model": build.digest, "corpus": corpus.digest},
        parameters={
            "config": config.model_dump(mode="json"),
            "key": key.public_pem.decode(),
            "smoke": [SMOKE_CASES, SMOKE_ROWS],
        },
        code=("release", "fleet_manifests", "runtimes.engine", "pipelines.steps.builds"),
        libraries=("model-signing", *ENGINE_LIBRARIES),
    )

    def work(out: Path) -> None:
        engine = _engine(build.path, config)
        signed = config.model_copy(update={"smoke": smoke_cases(engine, corpus.path)})
        files = {name: build.path / name for name in (config.model, config.tokenizer)}
        assemble({**files, config.data_card_file: corpus.path / "data_card.json"}, signed, out)
        sign_bundle(out, key)

    return project.store.keep(bundle_name(workflow, profile_name), step, work)


def smoke_cases(engine: Engine, corpus: Path) -> tuple[SmokeCase, ...]:
    """The surest correct answers of different labels on validation data: what must hold on every machine of the ISA."""
    sure: dict[str, SmokeCase] = {}
    for row in rows(corpus, "validation")[:SMOKE_ROWS]:
        answer = engine.classify(row["text"])
        best = sure.get(answer.label)
        if answer.label == row["label"] and (best is None or answer.confidence > best.confidence):
            sure[answer.label] = SmokeCase(text=row["text"], label=answer.label, confidence=answer.confidence)
    ranked = sorted(sure.values(), key=lambda case: (-case.confidence, case.label))
    return tuple(ranked[:SMOKE_CASES])


def draft(
    project: Project, workflow: str, folder: Path, corpus: Path, recipe: str, profile: HardwareProfile | None
) -> BundleConfig:
    """The bundle configuration of a build that is not calibrated yet; without a profile, of the unquantized model."""
    from quantize.recipes import RECIPES

    spec = project.workflow(workflow)
    return BundleConfig(
        workflow=workflow,
        task=spec.task,
        profile=profile.name if profile else "unquantized",
        isa=profile.isa if profile else IsaClass.HOST,
        recipe=recipe,
        max_tokens=spec.training.max_tokens,
        max_characters=spec.guardrails.max_characters,
        labels=tuple(json.loads((folder / "labels.json").read_text())),
        session=RECIPES[recipe].session_for(profile) if profile else SessionConfig(),
        base=base_of(project, workflow).ref,
        data_card=sha256_of(corpus / "data_card.json"),
        prompt_version=spec.prompt_version,
        policy_version=spec.policy_version,
    )


def builder_key(project: Project) -> SigningKey:
    """The key that signs bundles and evidence; made, with the other keys, when the project has none."""
    from release.keys import BUILDER

    keys = keys_of(project)
    keys.ensure([BUILDER])
    return keys[BUILDER]


def keys_of(project: Project) -> Keys:
    """The key store of a project, apart from the project and from what it publishes."""
    from release.keys import Keys

    return Keys.of_project(project.settings.name, outside=[project.root])


def _engine(folder: Path, config: BundleConfig) -> Engine:
    from runtimes.engine import load_parts

    return load_parts(folder, config)


def _labels(engine: Engine, corpus: Path, split: str) -> list[str]:
    """The predicted label of each row of a split."""
    logits = engine.logits([row["text"] for row in rows(corpus, split)])
    return [engine.config.labels[index] for index in logits.argmax(axis=1)]
