"""The seam to the engine: what is measured is what runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fleet_manifests import BundleConfig, IntegrityError, Machine, parse
from fleet_manifests.bundle import BUNDLE_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtimes.engine.confidence import Confidence


class Engine(Protocol):
    """A loaded classifier. `runtimes.engine.load` returns one."""

    @property
    def config(self) -> BundleConfig:
        """The bundle's `bundle.json`."""

    @property
    def confidence(self) -> Confidence:
        """How sure it is of logits."""

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raw scores, [texts, classes]."""


def config_of(bundle: Path) -> BundleConfig:
    """What a bundle says of itself.

    Raises:
        IntegrityError: the folder is not a bundle.
    """
    path = bundle / BUNDLE_FILE
    try:
        return parse(BundleConfig, path.read_bytes(), where=str(path))
    except OSError as exc:
        raise IntegrityError(f"{path}: expected the description of a bundle, found none: {exc.strerror}") from exc


def load_engine(bundle: Path, threads: int | None = None) -> Engine:
    """Load a classifier with the engine that sites run.

    Raises:
        IntegrityError: the folder is not a bundle that loads.
    """
    from runtimes import engine

    return engine.load(bundle, threads=threads)


def this_machine() -> Machine:
    """The fingerprint of the machine that measures."""
    from runtimes.engine.host import machine

    return machine()
