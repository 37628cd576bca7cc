"""Group `edge_builds`: one partition per workflow and profile."""

import json

import dagster as dg

from pipelines.defs import show
from pipelines.defs.partitions import build_of, builds
from pipelines.project.load import Project
from pipelines.steps import builds as steps
from pipelines.steps.searches import told


def build(project: Project) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The assets of this group and their checks."""

    @dg.asset(group_name="edge_builds", partitions_def=builds(project), deps=["onnx_model"], kinds={"onnx"})
    def quantized_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Of the recipes that keep the accuracy on validation data the one that the profile prefers, calibrated."""
        entry = steps.quantized_model(project, *build_of(context))
        trials = json.loads((entry.path / "search.json").read_text())
        calibrations = json.loads((entry.path / "calibrations.json").read_text())
        calibration = json.loads((entry.path / "calibration.json").read_text())
        weights = [entry.path / name for name in steps.WEIGHTS]
        size = round(sum(path.stat().st_size for path in weights if path.is_file()) / 1e6, 2)
        return show.outcome(
            entry,
            model_mb=dg.MetadataValue.float(size),
            trials=show.table(
                ["recipe", "outcome", "metrics", "MB", "time against the first", "memory MB", "rows", "why"],
                [told(trial) for trial in trials],
            ),
            calibration=show.mapping(calibration),
            calibrations=show.table(
                ["score", "method", "taken", "area under risk-coverage", "Brier score"],
                [(one["score"], one["method"], one["chosen"], one["aurc"], one["brier"]) for one in calibrations],
            ),
        )

    return [quantized_model], []
