"""What a build runs: the asset graph as Dagster runs in their order. Pure, but for what this machine can emulate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleet_manifests import UsageError
from pipelines.project.load import Project
from pipelines.steps.choice import candidates_of

MODELS = ("corpus", "baselines", "adapter", "merged_model", "chosen_model", "onnx_model")
TUNING = ("adapter", "merged_model")
"""Left out where the tuned model is no candidate."""
BUILDS = ("quantized_model", "bundle", "accuracy_report")
PACKS = ("knowledge_pack",)
TIMES = ("latency_report",)
EMULATED = ("emulated_accuracy_report",)
PAGES = ("build_report",)
"""Made when all builds are measured: each page shows its build among the others."""


@dataclass(frozen=True)
class Run:
    """One Dagster run: assets that share a partitioning, and a partition of it."""

    assets: tuple[str, ...]
    workflow: str | None = None
    profile: str | None = None
    channel: str | None = None
    parallel: bool = False
    """Whether other runs may go on beside it: nothing in it measures time."""

    @property
    def title(self) -> str:
        """What a progress line says."""
        parts = [part for part in (self.workflow, self.profile, self.channel) if part]
        return f"{', '.join(self.assets)} [{' x '.join(parts)}]" if parts else ", ".join(self.assets)

    def follows(self, earlier: Run) -> bool:
        """Whether it needs what an earlier run of a plan makes: a build its workflow's model, a pack its build."""
        return self.workflow == earlier.workflow and earlier.profile in (None, self.profile)


def plan(
    project: Project, workflows: Sequence[str] = (), profiles: Sequence[str] = (), *, emulate: bool = False
) -> list[Run]:
    """The runs that build the given workflows for the given profiles (all, where none is given).

    Args:
        project: the project.
        workflows: of these only.
        profiles: for these only.
        emulate: take accuracy under emulation too, where the processor of a profile is not here and can be emulated.

    Raises:
        UsageError: a name is not in the project, or nothing is left to build.
    """
    for name in workflows:
        project.workflow(name)
    for name in profiles:
        project.profile(name)
    builds = [
        (workflow, profile)
        for workflow, profile in project.builds()
        if (not workflows or workflow in workflows) and (not profiles or profile in profiles)
    ]
    if not builds:
        raise UsageError("nothing to build: no chosen workflow is built for a chosen profile; see `lading check`")
    chosen = sorted({workflow for workflow, _ in builds})
    # A search that has a choice times what it chooses from.
    known = [(workflow, profile) for workflow, profile in builds if len(project.profile(profile).recipes) == 1]
    searched = [one for one in builds if one not in known]
    runs = [Run(("erp_tables",))] if project.sources else []
    runs += [Run(("sop_documents",))] if project.libraries else []
    runs += [Run(_models(project, workflow), workflow=workflow, parallel=True) for workflow in chosen]
    runs += [Run(BUILDS, workflow=workflow, profile=profile, parallel=True) for workflow, profile in known]
    runs += _packs(project, known)
    runs += [Run(BUILDS, workflow=workflow, profile=profile) for workflow, profile in searched]
    runs += _packs(project, searched)
    runs += [Run(TIMES, workflow=workflow, profile=profile) for workflow, profile in builds]
    if emulate:
        missing = not_emulated(project, [profile for _, profile in builds])
        runs += [Run(EMULATED, workflow=name, profile=profile) for name, profile in builds if profile not in missing]
    runs += [Run(PAGES, workflow=workflow, profile=profile) for workflow, profile in builds]
    return [*runs, Run(("fleet_manifest",), channel="candidates")]


def _packs(project: Project, builds: Sequence[tuple[str, str]]) -> list[Run]:
    """The runs that make the knowledge packs of builds, where they are retrievers."""
    return [
        Run(PACKS, workflow=workflow, profile=profile, parallel=True)
        for workflow, profile in builds
        if workflow in project.retrievers
    ]


def _models(project: Project, workflow: str) -> tuple[str, ...]:
    """The assets that make the model of a workflow."""
    tunes = "tuned" in candidates_of(project, workflow)
    return tuple(name for name in MODELS if tunes or name not in TUNING)


def not_emulated(project: Project, profiles: Sequence[str]) -> dict[str, str]:
    """Why the processor of a profile is not emulated on this machine, of those that are not."""
    from evals.emulation import Missing
    from pipelines.steps.emulation import emulator_of

    found = {profile: emulator_of(project, profile) for profile in sorted(set(profiles))}
    return {profile: one.reason for profile, one in found.items() if isinstance(one, Missing)}
