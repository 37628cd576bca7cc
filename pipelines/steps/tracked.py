"""The MLflow store of a project, one process at a time: runs that go on side by side all log to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock

from pipelines.project.load import Project

if TYPE_CHECKING:
    from training.tracking import Tracker


@contextmanager
def tracker(project: Project) -> Iterator[Tracker]:
    """The store, held against other processes of the project while the block runs.

    Raises:
        StorageError: it cannot be opened or written.
    """
    from training.tracking import Tracker

    with FileLock(f"{project.mlflow}.lock"):
        yield Tracker(project.tracking_uri, project.state / "mlartifacts")
