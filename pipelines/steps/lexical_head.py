"""Whether a tuned classifier gets a lexical head: where that is better on validation, by more than chance explains."""

from __future__ import annotations

import json
from pathlib import Path

from fleet_manifests import Comparison, dump, parse
from pipelines.project.load import Project
from pipelines.steps.classifiers import compared
from pipelines.store import Entry, Step

HEAD = "lexical_head.npz"
"""The head; absent where there is none."""
COMPARISON, TRIALS = "comparison.json", "trials.json"
ONE_ERROR = 0.6827
"""Confidence of an interval that reaches one standard error to either side."""


def kept(entry: Entry) -> bool:
    """Whether there is a head."""
    return (entry.path / HEAD).is_file()


def told(entry: Entry) -> str:
    """What a head gains on validation, and whether it was kept, in words."""
    path = entry.path / COMPARISON
    found = parse(Comparison, path.read_bytes(), where=str(path))
    figures = (
        f"{found.metric} {found.ours:.4f} with it, {found.theirs:.4f} without: {found.difference:+.4f} "
        f"[{found.low:+.4f}, {found.high:+.4f}] within one standard error, n = {found.n}"
    )
    return f"kept: {figures}" if kept(entry) else f"none: {figures}; a gain of more than one standard error is asked"


def lexical_head(project: Project, workflow: str) -> Entry:
    """The lexical head of a workflow's tuned model if it is worth having, and what it gains on validation.

    It is kept where the lower end of the gain, one standard error down, is above nothing.
    """
    merged, corpus = (project.store.latest(name, workflow) for name in ("merged_model", "corpus"))
    spec = project.classifier(workflow)
    step = Step(
        name="lexical_head",
        inputs={"merged_model": merged.digest, "corpus": corpus.digest},
        parameters={
            **spec.training.model_dump(mode="json", include={"max_tokens", "class_weighting"}),
            "metric": spec.gates.metric,
            "seed": project.settings.seed,
        },
        code=("training", "evals.*", "pipelines.steps.lexical_head", "pipelines.steps.classifiers"),
        libraries=("torch", "transformers", "scikit-learn", "scipy", "numpy", "tokenizers"),
    )

    def work(out: Path) -> None:
        from training.lexical_head import fit_lexical_head

        found = fit_lexical_head(corpus.path, merged.path, spec.training)
        gain = compared(
            project,
            workflow,
            corpus.path,
            found.together,
            found.alone,
            against="without a lexical head",
            confidence=ONE_ERROR,
        )
        if found.head is not None and gain.low > 0:
            found.head.save(out / HEAD)
        (out / COMPARISON).write_bytes(dump(gain))
        (out / TRIALS).write_text(json.dumps(found.trials, indent=1, sort_keys=True) + "\n")

    return project.store.keep(workflow, step, work)
