"""The factory: the Dagster code location, the project folder, and the `lading` command line.

Assets are thin. Each one finds its inputs in the store, asks whether the same work was done
before, makes one call into `training`, `quantize`, `evals` or `release`, and reports what a
person can judge by. Start reading at `pipelines.defs`.

Importing the factory switches the telemetry of the libraries off, before any of them is
imported: nothing that Lading starts reports to anyone.
"""

import os

QUIET = {
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
}

os.environ.update(QUIET)
