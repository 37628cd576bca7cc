"""What a comparison can tell: how often a harmless model would pass, and which loss would show."""

from __future__ import annotations

import math

from fleet_manifests import Comparison

POWER = 0.8
"""How often a loss that counts as detectable is detected."""


def powered(found: Comparison, margin: float) -> Comparison:
    """A comparison with what its items can tell of a margin.

    The standard error is read off the reach of the interval below the difference. A model that loses nothing
    passes with probability Phi(margin / se - z), z = the normal quantile of the interval (Blackwelder 1982,
    "Proving the null hypothesis in clinical trials", Controlled Clinical Trials 3:345-353); the detectable loss is
    (z + z_0.8) se.
    """
    from scipy.stats import norm

    z, error = _error(found)
    power = float(norm.cdf(margin / error - z)) if error > 0 else 1.0
    detectable = (z + float(norm.ppf(POWER))) * error
    return found.model_copy(update={"margin": margin, "power": power, "detectable": detectable})


def items_needed(found: Comparison, margin: float) -> int:
    """Items on which a model that loses nothing would pass in four of five measurements, differing as often."""
    from scipy.stats import norm

    z, error = _error(found)
    return math.ceil(found.n * ((z + float(norm.ppf(POWER))) * error / margin) ** 2)


def _error(found: Comparison) -> tuple[float, float]:
    """The normal quantile of an interval, and the standard error of the difference."""
    from scipy.stats import norm

    z = float(norm.ppf((1 + found.confidence) / 2))
    return z, max(found.difference - found.low, 0.0) / z
