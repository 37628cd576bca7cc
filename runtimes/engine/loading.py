"""From a folder to an engine of its task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from fleet_manifests import BundleConfig, RefusedError, Task, parse
from fleet_manifests.bundle import BUNDLE_FILE
from runtimes.engine.embedder import Embedder
from runtimes.engine.engine import Engine
from runtimes.engine.parts import file_of

ENGINES: Mapping[Task, type[Engine] | type[Embedder]] = MappingProxyType(
    {engine.TASK: engine for engine in (Engine, Embedder)}
)
"""What runs each task."""


def load(folder: Path, *, threads: int | None = None) -> Engine:
    """Load the classifier in a folder.

    Args:
        folder: holds `bundle.json` and the files that it names; its signature was verified before.
        threads: overrides the number of threads that the recipe chose.

    Raises:
        IntegrityError: `bundle.json` or a file is missing, damaged or not what it should be.
        MissingExtraError: the engine that it names is not installed.
        RefusedError: the bundle is for another task.
        UsageError: `threads` is below 1.
    """
    return Engine(folder, _config(folder), threads)


def load_embedder(folder: Path, *, threads: int | None = None) -> Embedder:
    """Load the retriever in a folder; arguments and errors as of `load`."""
    return Embedder(folder, _config(folder), threads)


def load_any(folder: Path, *, threads: int | None = None) -> Engine | Embedder:
    """Load a bundle of whatever task; arguments and errors as of `load`.

    Raises:
        RefusedError: a task that this version cannot run.
    """
    config = _config(folder)
    if config.task not in ENGINES:
        raise RefusedError(f"{folder}: task: {config.task.value} cannot be run by this version; update lading")
    return ENGINES[config.task](folder, config, threads)


def load_parts(folder: Path, config: BundleConfig, *, threads: int | None = None) -> Engine:
    """Load a classifier's build that has no `bundle.json` yet, in order to measure it.

    Raises:
        IntegrityError: a file is missing, damaged or not what `config` says.
        MissingExtraError: the engine that `config` names is not installed.
        RefusedError: `config` is for another task.
        UsageError: `threads` is below 1.
    """
    return Engine(folder, config, threads)


def load_embedder_parts(folder: Path, config: BundleConfig, *, threads: int | None = None) -> Embedder:
    """Load a retriever's build that has no `bundle.json` yet; errors as of `load_parts`."""
    return Embedder(folder, config, threads)


def _config(folder: Path) -> BundleConfig:
    """The `bundle.json` of a folder."""
    path = file_of(folder, BUNDLE_FILE, "bundle")
    return parse(BundleConfig, path.read_bytes(), where=str(path))
