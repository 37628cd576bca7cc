"""Which candidate of a workflow ships: each is exported, answers the validation rows, and the best is chosen.

The candidates of a classifier are the tuned model (the frozen base with a light head where no epoch beat that; either
with a lexical head where that pays) and the classical model. A retriever has one: the tuned model, which is the frozen
base where tuning does not win.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import dump, parse
from pipelines.project.load import Project
from pipelines.steps.classifiers import labels_of, unquantized_engine
from pipelines.steps.configs import ENGINE_LIBRARIES
from pipelines.steps.lexical_head import HEAD, kept, lexical_head
from pipelines.steps.models import rows
from pipelines.store import Entry, Step
from training.arguments import RetrieveArguments

if TYPE_CHECKING:
    from evals.choice import Choice, Scored

PARITY_TEXTS = 32
"""Validation texts on which torch and ONNX Runtime must agree."""
CHOICE = "choice.json"
SHIPPED = ("model.onnx", "tokenizer.json")
RETRIEVER = {
    "chosen": "tuned",
    "reason": "the only candidate of a retriever: the frozen base where tuning does not win",
}


@dataclass(frozen=True)
class Export:
    """How a candidate becomes ONNX."""

    step: Step
    work: Callable[[Path], None]


def chosen_model(project: Project, workflow: str) -> Entry:
    """Which candidate ships, with the figures of all: `choice.json`."""
    names = candidates_of(project, workflow)
    exported = {name: _exported(project, workflow, name) for name in names}
    if workflow in project.retrievers:
        return _only(project, workflow, exported["tuned"])
    corpus = project.store.latest("corpus", workflow)
    entries = {name: project.store.run(one.step, one.work) for name, one in exported.items()}
    gates, seed = project.classifier(workflow).gates, project.settings.seed
    step = Step(
        name="chosen_model",
        inputs={"corpus": corpus.digest, **{name: entry.digest for name, entry in entries.items()}},
        parameters={"metric": gates.metric, "floor": gates.floor, "confidence": gates.confidence, "seed": seed},
        code=(
            "evals.*",
            "runtimes.engine",
            "pipelines.steps.choice",
            "pipelines.steps.classifiers",
            "pipelines.steps.configs",
        ),
        libraries=(*ENGINE_LIBRARIES, "scipy"),
    )

    def work(out: Path) -> None:
        from evals.choice import choose

        scored = [_scored(project, workflow, name, entry.path, corpus.path) for name, entry in entries.items()]
        (out / CHOICE).write_bytes(dump(choose(scored, gates.floor)))

    return project.store.keep(workflow, step, work)


def onnx_model(project: Project, workflow: str) -> Entry:
    """The chosen candidate as ONNX, proved to give what torch or scikit-learn gives on the workflow's own texts."""
    told = json.loads((project.store.latest("chosen_model", workflow).path / CHOICE).read_bytes())
    chosen = _exported(project, workflow, told["chosen"])
    return project.store.keep(workflow, chosen.step, chosen.work)


def candidates_of(project: Project, workflow: str) -> tuple[str, ...]:
    """What may ship for a workflow."""
    training = project.workflow(workflow).training
    return ("tuned",) if isinstance(training, RetrieveArguments) else training.candidates


def read_choice(entry: Entry) -> Choice:
    """What was chosen for a classifier."""
    from evals.choice import Choice

    return parse(Choice, (entry.path / CHOICE).read_bytes(), where=f"{entry.path}/{CHOICE}")


def _only(project: Project, workflow: str, exported: Export) -> Entry:
    """The choice where there is none."""
    step = Step(
        name="chosen_model", inputs=exported.step.inputs, parameters=RETRIEVER, code=("pipelines.steps.choice",)
    )
    return project.store.keep(workflow, step, lambda out: _write(out / CHOICE, RETRIEVER))


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def _exported(project: Project, workflow: str, candidate: str) -> Export:
    """How a candidate is exported; both kinds of model are entries of the step `onnx_model`."""
    return (_exported_classical if candidate == "classical" else _exported_tuned)(project, workflow)


def _exported_tuned(project: Project, workflow: str) -> Export:
    """The merged model and its lexical head, held to torch and scikit-learn."""
    merged = project.store.latest("merged_model", workflow)
    max_tokens = project.workflow(workflow).training.max_tokens
    tried = tried_head(project, workflow)
    head = tried if tried and kept(tried) else None
    corpus = project.store.latest("corpus", workflow)
    step = Step(
        name="onnx_model",
        inputs={
            "merged_model": merged.digest,
            "corpus": corpus.digest,
            **({"lexical_head": head.digest} if head else {}),
        },
        parameters={"texts": PARITY_TEXTS, "max_tokens": max_tokens},
        code=("quantize", "training", "pipelines.steps.choice"),
        libraries=("torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime"),
    )

    def work(out: Path) -> None:
        from quantize.export import export_onnx
        from quantize.lexical_head import Lexical
        from training.lexical_head import load_head
        from training.model import load_merged

        texts = [row["text"] for row in rows(corpus.path, "validation")[:PARITY_TEXTS]]
        lexical = Lexical(head.path / HEAD, load_head(head.path / HEAD).scores) if head else None
        export_onnx(merged.path, out, load=load_merged, texts=texts, max_tokens=max_tokens, lexical=lexical)

    return Export(step, work)


def tried_head(project: Project, workflow: str) -> Entry | None:
    """The lexical head of the tuned model, kept or not; None where the workflow is to have none."""
    training = project.workflow(workflow).training
    if isinstance(training, RetrieveArguments) or not training.lexical_head or "tuned" not in training.candidates:
        return None
    return lexical_head(project, workflow)


def _exported_classical(project: Project, workflow: str) -> Export:
    """The classical model, held to scikit-learn."""
    fitted = classical_model(project, workflow)
    corpus = project.store.latest("corpus", workflow)
    step = Step(
        name="onnx_model",
        inputs={"classical_model": fitted.digest, "corpus": corpus.digest},
        parameters={},
        code=("quantize", "training", "pipelines.steps.choice"),
        libraries=("scikit-learn", "tokenizers", "onnx", "onnxruntime"),
    )

    def work(out: Path) -> None:
        from quantize.classical import export_classical
        from training.classical import load_classical

        texts = [row["text"] for row in rows(corpus.path, "validation")]
        export_classical(fitted.path, out, reference=load_classical(fitted.path).scores, texts=texts)

    return Export(step, work)


def classical_model(project: Project, workflow: str) -> Entry:
    """TF-IDF and a linear SVM, in a form that a site can run."""
    corpus = project.store.latest("corpus", workflow)
    arguments = project.classifier(workflow).training
    step = Step(
        name="classical_model",
        inputs={"corpus": corpus.digest},
        parameters=arguments.model_dump(mode="json", include={"max_tokens", "class_weighting"}),
        code=("training", "pipelines.steps.choice"),
        libraries=("scikit-learn", "scipy", "numpy", "tokenizers"),
    )

    def work(out: Path) -> None:
        from training.classical import fit_classical

        fit_classical(corpus.path, out, arguments)

    return project.store.keep(workflow, step, work)


def _scored(project: Project, workflow: str, name: str, folder: Path, corpus: Path) -> Scored:
    """A candidate's figure on the validation rows, which it answers through the engine that sites run."""
    from evals.choice import Scored, score

    gates = project.classifier(workflow).gates
    validation = rows(corpus, "validation")
    engine = unquantized_engine(project, workflow, folder, corpus)
    return Scored(
        name=name,
        what=_what(project, workflow, name),
        metric=score(
            [row["label"] for row in validation],
            labels_of(engine, [row["text"] for row in validation]),
            gates.metric,
            confidence=gates.confidence,
            seed=project.settings.seed,
        ),
        size=sum((folder / file).stat().st_size for file in SHIPPED),
    )


def _what(project: Project, workflow: str, name: str) -> str:
    """A candidate in words; of a tuning it is said which epoch was kept, as it may be none."""
    if name == "classical":
        return "classical model (TF-IDF, linear SVM)"
    history = json.loads((project.store.latest("adapter", workflow).path / "history.json").read_bytes())
    best = history["best_epoch"]
    said = f"tuned model (epoch {best})" if best else "frozen base with a light head (no epoch beat it)"
    tried = tried_head(project, workflow)
    return f"{said} and a lexical head" if tried and kept(tried) else said
