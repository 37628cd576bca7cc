"""The seam to the engine: what is measured is what runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fleet_manifests import BundleConfig, Machine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Answer(Protocol):
    """What an engine says about one text, as far as a measurement looks at it."""

    @property
    def tokens(self) -> int:
        """Length of the input that the model saw, special tokens included."""


class Loaded(Protocol):
    """A loaded bundle of any task. `runtimes.engine.load_any` returns one."""

    @property
    def config(self) -> BundleConfig:
        """The bundle's `bundle.json`."""

    def query(self, text: str) -> Answer:
        """One request, exactly as a site serves it."""


class Engine(Protocol):
    """A loaded classifier. `runtimes.engine.load` returns one."""

    @property
    def config(self) -> BundleConfig:
        """The bundle's `bundle.json`."""

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raw scores, [texts, classes]."""


def load_engine(bundle: Path, threads: int | None = None) -> Engine:
    """Load a classifier with the engine that sites run.

    Raises:
        IntegrityError: the folder is not a bundle that loads.
    """
    from runtimes import engine

    return engine.load(bundle, threads=threads)


def load_any(bundle: Path, threads: int | None = None) -> Loaded:
    """Load a bundle of any task.

    Raises:
        IntegrityError: the folder is not a bundle that loads.
    """
    from runtimes import engine

    return engine.load_any(bundle, threads=threads)


def this_machine() -> Machine:
    """The fingerprint of the machine that measures."""
    from runtimes.engine.host import machine

    return machine()
