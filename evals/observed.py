"""What a machine saw of a bundle, before anyone says what it is worth.

The same observations come from this process, from a device's receipt or from an emulator; `accuracy.judge` and
`retrieval.judge` make the report of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evals import gates
from fleet_manifests import BundleConfig, Gate, HardwareProfile, IntegrityError, Machine, Measurement, worst

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

    def heading(
        self, config: BundleConfig, profile: HardwareProfile, bundle: str, found: Sequence[Gate]
    ) -> dict[str, Any]:
        """What every report of these observations begins with: about what, where and when, gates and verdict.

        Only what was measured on hardware of the profile may pass.

        Args:
            config: what the bundle says of itself.
            profile: what it was built for.
            bundle: its digest.
            found: the gates, whatever the hardware.
        """
        mismatch = profile.mismatch(self.machine.host)
        if mismatch is not None:
            measurement, judged = Measurement.ABSENT, gates.on_hardware(found, mismatch)
        elif self.emulated:
            measurement, judged = Measurement.EMULATED, gates.emulated(found)
        else:
            measurement, judged = Measurement.MEASURED, tuple(found)
        return {
            "workflow": config.workflow,
            "profile": profile.name,
            "bundle": bundle,
            "taken": self.taken,
            "measurement": measurement,
            "machine": self.machine,
            "gates": judged,
            "verdict": worst(gate.verdict for gate in judged),
        }
