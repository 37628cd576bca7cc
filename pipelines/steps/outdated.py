"""Evidence that no longer counts is measured again, though nothing else has changed."""

from __future__ import annotations

from collections.abc import Callable

from fleet_manifests import Evidence
from fleet_manifests.evidence import now
from pipelines.project.load import Project
from pipelines.store import Entry, Step


def forget_outdated(project: Project, step: Step, read: Callable[[Entry], Evidence]) -> None:
    """Drop a report that is older than `evidence_days` in fleet.yaml, so that its step measures anew.

    Args:
        project: the project.
        step: the one that measures.
        read: reads its report.
    """
    earlier = project.store.get(step)
    if earlier is not None and (now() - read(earlier).taken).days > project.fleet.evidence_days:
        project.store.drop(step)
