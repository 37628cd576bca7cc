"""What a machine saw of a bundle, before anyone says what it is worth.

The same observations come from this process, from a device's receipt or from an emulator; `accuracy.judge` and
`retrieval.judge` make the report of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from evals import gates
from fleet_manifests import Gate, HardwareProfile, IntegrityError, Machine, Measurement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Observed:
    """What a bundle gave on a machine."""

    outputs: Mapping[str, NDArray[np.float32]]
    """[texts, width] by split: logits of a classifier, embeddings of a retriever."""
    machine: Machine
    """Who measured; under emulation, the machine that was emulated."""
    taken: datetime
    emulated: bool = False

    def of(self, split: str, n: int) -> NDArray[np.float32]:
        """The outputs of a split of `n` texts.

        Raises:
            IntegrityError: there are none, or another number.
        """
        found = self.outputs.get(split)
        if found is None or len(found) != n:
            seen = "none" if found is None else f"{len(found)}"
            raise IntegrityError(f"observations: {split}: expected outputs for {n} texts, found {seen}; measure again")
        return found

    def measurement(self, profile: HardwareProfile) -> Measurement:
        """How the figures came about."""
        if profile.mismatch(self.machine.host) is not None:
            return Measurement.ABSENT
        return Measurement.EMULATED if self.emulated else Measurement.MEASURED

    def judged(self, found: Sequence[Gate], profile: HardwareProfile) -> tuple[Gate, ...]:
        """The gates as they count: only what was measured on hardware of the profile may pass."""
        mismatch = profile.mismatch(self.machine.host)
        return gates.emulated(found) if mismatch is None and self.emulated else gates.on_hardware(found, mismatch)
