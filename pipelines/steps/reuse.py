"""Whether a run of assets would do anything: the steps of each, tried on the store without doing work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

from fleet_manifests import LadingError, digest_of
from pipelines.project.load import Project
from pipelines.steps import builds, choice, corpora, emulation, evidence, knowledge, models, reports
from pipelines.store import NotDoneError

OF_WORKFLOW: MappingProxyType[str, Callable[[Project, str], object]] = MappingProxyType(
    {
        "corpus": corpora.corpus,
        "baselines": models.baselines,
        "adapter": models.adapter,
        "merged_model": models.merged_model,
        "chosen_model": choice.chosen_model,
        "onnx_model": choice.onnx_model,
    }
)
OF_BUILD: MappingProxyType[str, Callable[[Project, str, str], object]] = MappingProxyType(
    {
        "quantized_model": builds.quantized_model,
        "bundle": builds.bundle,
        "accuracy_report": evidence.accuracy_report,
        "knowledge_pack": knowledge.knowledge_packs,
        "latency_report": evidence.latency_report,
        "emulated_accuracy_report": emulation.emulated_accuracy_report,
        "build_report": reports.build_report,
    }
)
"""What the assets of these names do."""


def reused(project: Project, assets: Sequence[str], workflow: str | None, profile: str | None) -> str | None:
    """The digest of all store entries that a run of assets would reuse, every file of them verified.

    None: work is to be done, something is damaged or missing, or an asset reads what is outside of the store.
    """
    try:
        with project.store.reusing() as keys:
            for asset in assets:
                if workflow and profile and asset in OF_BUILD:
                    OF_BUILD[asset](project, workflow, profile)
                elif workflow and asset in OF_WORKFLOW:
                    OF_WORKFLOW[asset](project, workflow)
                else:
                    return None
    except (NotDoneError, LadingError):
        return None
    return digest_of("\n".join([*assets, workflow, profile or "", *keys]).encode()) if workflow else None
