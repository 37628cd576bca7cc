"""Workflows, profiles and channels as Dagster partitions."""

import dagster as dg

from pipelines.project.load import Project

CHANNELS = dg.StaticPartitionsDefinition(["candidates", "canary", "stable"])


def workflows(project: Project) -> dg.StaticPartitionsDefinition:
    """One partition per workflow."""
    return dg.StaticPartitionsDefinition(sorted(project.workflows))


def builds(project: Project) -> dg.MultiPartitionsDefinition:
    """One partition per workflow and profile."""
    profiles = dg.StaticPartitionsDefinition(sorted(project.profiles))
    return dg.MultiPartitionsDefinition({"workflow": workflows(project), "profile": profiles})


def packs(project: Project) -> dg.MultiPartitionsDefinition:
    """One partition per workflow of task `retrieve` and profile."""
    profiles = dg.StaticPartitionsDefinition(sorted(project.profiles))
    return dg.MultiPartitionsDefinition(
        {"workflow": dg.StaticPartitionsDefinition(project.retrievers), "profile": profiles}
    )


def build_key(workflow: str, profile: str) -> dg.MultiPartitionKey:
    """The partition key of one build."""
    return dg.MultiPartitionKey({"workflow": workflow, "profile": profile})


def build_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> tuple[str, str]:
    """The workflow and profile of the running partition."""
    key = context.partition_key
    if not isinstance(key, dg.MultiPartitionKey):
        raise TypeError(f"{key}: not a workflow x profile partition")
    keys = key.keys_by_dimension
    return keys["workflow"], keys["profile"]
