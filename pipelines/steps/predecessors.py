"""What a build would take the place of: the champion that a channel has, and the reference that it is held to.

They are run anew on the corpus as it is now, so that both answer the same rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fleet_manifests import Gate, digest_of, dump
from fleet_manifests.bundle import BundleRef
from pipelines.project.load import Project
from pipelines.steps.builds import family_of
from pipelines.steps.configs import ENGINE_LIBRARIES
from pipelines.store import Entry, Step

CHANNELS = ("stable", "canary")
"""Where the champion is looked for, in this order."""
ANSWERS = "answers.json"
BUNDLE = "bundle"


def predecessors(project: Project, workflow: str, profile: str, bundle: str) -> dict[str, BundleRef]:
    """The `champion` and the `reference` of a build, as far as there are such and they are not the build itself.

    Args:
        project: whose published tree is read, verified.
        workflow: of the build.
        profile: of the build.
        bundle: digest of the build's own bundle.
    """
    from pipelines.steps.release import release_of

    release = release_of(project)
    if not release.repository.exists:
        return {}
    for channel in CHANNELS:
        manifest = release.manifest(channel)
        entry = manifest.workflows.get(workflow) if manifest else None
        build = entry.builds.get(profile) if entry else None
        if build is not None:
            found = {"champion": build.bundle, "reference": build.reference or build.bundle}
            return {role: ref for role, ref in found.items() if ref.digest != bundle}
    return {}


def answers(project: Project, workflow: str, ref: BundleRef) -> Entry:
    """What a published bundle answers or finds on validation and test, through the engine."""
    from runtimes.engine.host import machine

    corpus = project.store.latest("corpus", workflow)
    inputs = {"bundle": ref.digest, "corpus": corpus.digest, "machine": digest_of(dump(machine()))}
    if workflow in project.retrievers:
        inputs["unquantized"] = project.store.latest("unquantized", workflow).digest
    step = Step(
        name="predecessor_answers",
        inputs=inputs,
        parameters={},
        code=(
            "evals.*",
            "runtimes.engine",
            "runtimes.knowledge",
            "release.published",
            "pipelines.steps.classifiers",
            "pipelines.steps.predecessors",
            "pipelines.steps.retrievers",
        ),
        libraries=ENGINE_LIBRARIES,
    )

    def work(out: Path) -> None:
        from release import unpack

        folder = out / BUNDLE
        folder.mkdir()
        unpack(project.public, ref, folder)
        found = family_of(project, workflow).answers(project, workflow, folder, corpus.path)
        (out / ANSWERS).write_text(json.dumps(found))

    return project.store.run(step, work)


def read_answers(entry: Entry) -> Any:
    """Labels or rankings by split."""
    return json.loads((entry.path / ANSWERS).read_text())


def succession(project: Project, workflow: str, ours: Any, champion: Entry, bundle: Path) -> Gate:
    """Whether a build is better than the champion on validation, or smaller; else the champion stays.

    Args:
        project: whose corpus and policy it is.
        workflow: of both.
        ours: what the build answers on validation.
        champion: the champion's answers.
        bundle: folder of the build's bundle.
    """
    from evals.gates import succeeds
    from evals.latency import size_mb

    corpus, theirs = project.store.latest("corpus", workflow).path, read_answers(champion)["validation"]
    found = family_of(project, workflow).compared(project, workflow, corpus, ours, theirs, against="champion")
    return succeeds(found, size_mb(bundle), size_mb(champion.path / BUNDLE))
