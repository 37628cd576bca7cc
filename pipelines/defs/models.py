"""Group `models`, and the ONNX export: one partition per workflow."""

import json
from collections.abc import Callable

import dagster as dg

from pipelines.defs import show
from pipelines.defs.partitions import workflows
from pipelines.project.load import Project
from pipelines.steps import choice, models


def build(project: Project) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The assets of this group and their checks."""
    partitions = workflows(project)

    @dg.asset(group_name="models", partitions_def=partitions, deps=["corpus"], kinds={"scikitlearn"})
    def baselines(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Frozen base + logistic regression, TF-IDF + linear SVM: what a tuned model must beat."""
        entry = models.baselines(project, context.partition_key)
        scores = json.loads((entry.path / "scores.json").read_text())
        return show.outcome(entry, scores=show.scores(scores))

    @dg.asset(group_name="models", partitions_def=partitions, deps=["corpus"], kinds={"pytorch", "huggingface"})
    def adapter(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """LoRA weights and head of a workflow; a registered model version in MLflow."""
        entry = models.adapter(project, context.partition_key, _in_steps(context.log.info))
        return show.outcome(entry, **show.training(entry.path))

    @dg.asset(group_name="models", partitions_def=partitions, deps=[adapter], kinds={"pytorch"})
    def merged_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The base with the adapter merged into its weights."""
        return show.outcome(models.merged_model(project, context.partition_key))

    @dg.asset(group_name="models", partitions_def=partitions, deps=[merged_model, "corpus"], kinds={"scikitlearn"})
    def chosen_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Which candidate ships: tuned model, frozen base with a light head, or classical; the best on validation."""
        entry = choice.chosen_model(project, context.partition_key)
        head = choice.tried_head(project, context.partition_key)
        return show.outcome(entry, **show.choice(entry.path), **(show.lexical_head(head) if head else {}))

    @dg.asset(group_name="edge_builds", partitions_def=partitions, deps=[chosen_model, "corpus"], kinds={"onnx"})
    def onnx_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The chosen model as ONNX."""
        entry = choice.onnx_model(project, context.partition_key)
        parity = json.loads((entry.path / "parity.json").read_text())
        return show.outcome(entry, parity=show.mapping(parity))

    @dg.asset_check(asset=onnx_model, partitions_def=partitions, blocking=True)
    def parity(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """ONNX Runtime gives the logits of torch or scikit-learn on the workflow's own texts."""
        entry = project.store.latest("onnx_model", context.partition_key)
        found = json.loads((entry.path / "parity.json").read_text())
        return dg.AssetCheckResult(
            passed=found["max_difference"] <= found["tolerance"], metadata={"parity": show.mapping(found)}
        )

    return [baselines, adapter, merged_model, chosen_model, onnx_model], [parity]


def _in_steps(log: Callable[[str], None]) -> Callable[[float, str], None]:
    """Progress as one line per 10 %."""
    said = -1

    def report(done: float, text: str) -> None:
        nonlocal said
        if int(done * 10) > said:
            said = int(done * 10)
            log(f"{done:.0%} {text}")

    return report
