"""What a workflow asks of its builds, whatever its task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fleet_manifests import ConfigError


@dataclass(frozen=True)
class Policy:
    """Floor, margin and statistics. A task adds the metric that they are about."""

    floor: float = 0.0
    """Absolute floor of the metric."""
    margin: float = 0.02
    """Largest loss that does not matter, in the metric's own unit."""
    confidence: float = 0.95
    """Confidence of the two-sided intervals."""
    resamples: int = 2000
    """Resamples of a bootstrap."""
    seed: int = 0
    """Seed of a bootstrap."""

    what: ClassVar[str] = "policy"
    """How errors name it."""

    def __post_init__(self) -> None:
        """Refuse values outside their range.

        Raises:
            ConfigError: names the field and what was expected.
        """
        for name, value in (("floor", self.floor), ("margin", self.margin)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{self.what}: {name}: expected 0 to 1, found {value}")
        if self.margin == 0:
            raise ConfigError(f"{self.what}: margin: expected more than 0; no finite test proves a loss of zero")
        if not 0.5 < self.confidence < 1:
            raise ConfigError(f"{self.what}: confidence: expected 0.5 to 1, found {self.confidence}")
