"""`lading check`: what a valid project would do."""

from __future__ import annotations

from fleet_manifests import Name, Where, Wire, place
from pipelines.project.load import Project
from pipelines.steps.configs import keys_of


class WorkflowPlan(Wire):
    """One workflow of a project."""

    workflow: Name
    owner: str
    base: str
    placement: Where
    reasons: tuple[str, ...]
    data_classes: tuple[str, ...]


class BuildPlan(Wire):
    """One build of a project, and whether its evidence can be complete on this machine."""

    workflow: Name
    profile: Name
    recipes: tuple[str, ...]
    measurable: bool
    why_not: str | None = None


class Explanation(Wire):
    """What `lading build` would do."""

    project: Name
    sources: dict[str, tuple[str, ...]]
    workflows: tuple[WorkflowPlan, ...]
    builds: tuple[BuildPlan, ...]
    sites: int
    keys: str


def explain(project: Project) -> Explanation:
    """Explain a project; refuses recipes that do not exist or are not legal for a profile.

    Raises:
        UsageError: a profile names an unknown recipe.
        RefusedError: a recipe is not legal for the profile's instruction set.
    """
    from quantize.recipes import candidates
    from runtimes.engine.host import facts

    host = facts()
    builds = []
    for workflow, name in project.builds():
        profile = project.profile(name).resolved(host)
        candidates(profile)
        why = profile.mismatch(host)
        builds.append(
            BuildPlan(workflow=workflow, profile=name, recipes=profile.recipes, measurable=why is None, why_not=why)
        )
    return Explanation(
        project=project.settings.name,
        sources={
            **{name: tuple(source.tables) for name, source in project.sources.items()},
            **{name: (source.path,) for name, source in project.libraries.items()},
        },
        workflows=tuple(_workflow(project, name) for name in sorted(project.workflows)),
        builds=tuple(builds),
        sites=len(project.fleet.sites),
        keys=str(keys_of(project).folder),
    )


def _workflow(project: Project, name: str) -> WorkflowPlan:
    spec = project.workflow(name)
    placement = place(
        spec.placement,
        spec.data_classes,
        allowed_at_sites=project.settings.allowed_at_sites,
        override=spec.placement.override,
    )
    return WorkflowPlan(
        workflow=name,
        owner=spec.owner,
        base=spec.base.title,
        placement=placement.where,
        reasons=placement.reasons,
        data_classes=tuple(sorted(spec.data_classes)),
    )
