"""What expires: a sensor that warns in time, and the table that the release assets show."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from pipelines.defs import show
from pipelines.project.load import Project
from pipelines.steps.release import release_of

if TYPE_CHECKING:
    from release import ExpiryLine

ASSET = dg.AssetKey("fleet_manifest")
CHECK = "lasting"
INTERVAL_SECONDS = 3600


def build(project: Project) -> dg.SensorDefinition:
    """The sensor of a project."""

    @dg.sensor(
        name="expiring_roles",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def expiring_roles(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Warns before a role or manifest expires: in the log, and on every channel of `fleet_manifest`."""
        found = expiring(project)
        if not found:
            return dg.SensorResult(skip_reason="nothing is released yet")
        urgent = [line for line in found if line.state != "holds"]
        for line in urgent:
            context.log.warning(line.said)
        passed = not urgent
        said = "; ".join(line.said for line in urgent) or f"the first to expire: {found[0].said}"
        evaluation = dg.AssetCheckEvaluation(
            asset_key=ASSET,
            check_name=CHECK,
            passed=passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=said,
            metadata={"expiry": table(found)},
        )
        observation = dg.AssetObservation(ASSET, description=said, metadata={"expiry": table(found)})
        return dg.SensorResult(skip_reason=said, asset_events=[observation, evaluation])

    return expiring_roles


def expiring(project: Project) -> "tuple[ExpiryLine, ...]":
    """Every role and manifest of a project with the time it has left; nothing where nothing is released."""
    from release import expiries

    release = release_of(project)
    return expiries(release.status(), release.now()) if release.repository.exists else ()


def table(found: "Sequence[ExpiryLine]") -> dg.MarkdownMetadataValue:
    """One line per document, the most urgent first."""
    return show.table(
        ["what", "version", "until", "days left", "", "renewed by"],
        [
            (line.what, line.version, f"{line.expires:%Y-%m-%d %H:%M}", line.days_left, line.state, f"`{line.renew}`")
            for line in found
        ],
    )
