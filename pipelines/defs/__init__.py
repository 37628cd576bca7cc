"""The asset graph of a project: thin assets over `pipelines.steps`.

`build_defs(project)` makes the definitions; `pipelines.definitions` is the code location.
"""

import warnings

import dagster as dg

from pipelines.defs import corpora, edge_builds, evidence, expiry, knowledge, models, release
from pipelines.project.load import Project

# Checks per partition are a preview in Dagster 1.13; the version is pinned, and a change would fail our tests.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*MultiPartitionMapping.*")


def build_defs(project: Project) -> dg.Definitions:
    """Everything that Dagster shows and runs for one project.

    Steps run one after the other in one process: latency is measured alone on the machine,
    and a step costs no interpreter start.
    """
    parts = [module.build(project) for module in (corpora, models, edge_builds, evidence, knowledge, release)]
    return dg.Definitions(
        assets=[asset for assets, _ in parts for asset in assets],
        asset_checks=[check for _, checks in parts for check in checks],
        sensors=[expiry.build(project)],
        executor=dg.in_process_executor,
    )
