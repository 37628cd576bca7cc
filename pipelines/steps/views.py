"""The release log as MLflow shows it: a registered model per build, a version per bundle, aliases and tags.

Views only. They are made anew from the log and the manifests that it names, and nothing ever reads them back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fleet_manifests import FleetManifest
from fleet_manifests.bundle import bundle_name
from pipelines.project.load import Project
from pipelines.steps.tracked import tracker

CANDIDATE, CHAMPION, REVOKED = "candidate", "champion", "lading.revoked"
"""Two aliases: what is on offer, and what `stable` has, else `canary`. A tag: why a bundle was revoked."""


@dataclass(frozen=True)
class View:
    """What one registered model shows."""

    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    """Tags by bundle digest: `lading.CHANNEL` lists the manifest versions that had it."""
    aliases: dict[str, str] = field(default_factory=dict)


def show_in_mlflow(project: Project) -> dict[str, View]:
    """Show what the release log says.

    Returns:
        What is shown, by registered model.

    Raises:
        IntegrityError: the log is not as it was written.
        StorageError: MLflow's store cannot be written.
    """
    from pipelines.steps.release import release_of

    release = release_of(project)
    history = {name: release.desk.earlier(name) for name in ("candidates", "canary", "stable")}
    found = views(history, release.interventions.orders().stops)
    if found:
        with tracker(project) as mlflow:
            for model, view in found.items():
                mlflow.show(model, view.versions, view.aliases)
    return found


def views(history: Mapping[str, Sequence[FleetManifest]], revoked: Mapping[str, str]) -> dict[str, View]:
    """What MLflow is to show. Pure.

    Args:
        history: what each channel has had, newest first.
        revoked: the reason for each digest that is revoked.
    """
    found: dict[str, View] = {}
    for channel, manifests in history.items():
        for manifest in reversed(manifests):
            for workflow, entry in manifest.workflows.items():
                for profile, build in entry.builds.items():
                    view = found.setdefault(bundle_name(workflow, profile), View())
                    tags = view.versions.setdefault(build.bundle.digest, {})
                    tag = f"lading.{channel}"
                    tags[tag] = f"{tags[tag]}, {manifest.version}" if tag in tags else str(manifest.version)
    for view in found.values():
        for digest in view.versions.keys() & revoked.keys():
            view.versions[digest][REVOKED] = revoked[digest]
    for alias, channels in ((CANDIDATE, ("candidates",)), (CHAMPION, ("canary", "stable"))):
        for channel in channels:
            for name, digest in _current(history.get(channel, ())):
                if digest not in revoked:
                    found[name].aliases[alias] = digest
    return found


def _current(manifests: Sequence[FleetManifest]) -> list[tuple[str, str]]:
    """Name and bundle digest of each build that a channel has now."""
    workflows = manifests[0].workflows if manifests else {}
    return [
        (bundle_name(workflow, profile), build.bundle.digest)
        for workflow, entry in workflows.items()
        for profile, build in entry.builds.items()
    ]
