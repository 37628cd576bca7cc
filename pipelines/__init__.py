"""The factory: the Dagster code location, the project folder, and the `lading` command line.

Assets are thin. Each one finds its inputs in the store, asks whether the same work was done
before, makes one call into `training`, `quantize`, `evals` or `release`, and reports what a
person can judge by. Start reading at `pipelines.defs`.
"""
