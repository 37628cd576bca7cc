"""The Dagster code location: `dagster dev -m pipelines.definitions`, project by `LADING_PROJECT`."""

import dagster as dg

from pipelines.defs import build_defs
from pipelines.project.load import find_project, load_project


@dg.definitions
def definitions() -> dg.Definitions:
    """The asset graph of the chosen project."""
    return build_defs(load_project(find_project()))
