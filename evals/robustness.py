"""What a classifier still knows when the texts are disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals import gates
from evals.disturbances import KINDS, disturbed
from evals.observed import Observed
from evals.policy import Policy
from evals.predictions import aligned, predictions_of
from evals.rows import Split
from evals.scores import proportion
from evals.slices import of_hits
from evals.statistics import compare
from fleet_manifests import BundleConfig, Gate, Metric, Slice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtimes.engine.confidence import Confidence

DISTURBED = "disturbed_test"
"""The texts of the test split, disturbed: see `evals.disturbances`."""


@dataclass(frozen=True)
class Robustness:
    """What disturbed texts show."""

    metrics: tuple[Metric, ...] = ()
    slices: tuple[Slice, ...] = ()
    """Accuracy by kind of disturbance, beside the unquantized model's."""
    gates: tuple[Gate, ...] = ()


def robustness(
    observed: Observed,
    split: Split,
    truth: NDArray[np.intp],
    config: BundleConfig,
    confidence: Confidence,
    unquantized: Sequence[str] | None,
    policy: Policy,
) -> Robustness:
    """How often a classifier is right on disturbed texts, and whether quantization cost more there.

    Args:
        observed: with logits of `DISTURBED`; without them there is nothing to say.
        split: the test split.
        truth: [n] its classes.
        config: what the bundle says of itself.
        confidence: how sure it is of logits.
        unquantized: what the unquantized model answers to the disturbed texts; None: it was not asked.
        policy: margin and confidence.

    Raises:
        DataError: the unquantized model answered other texts.
        IntegrityError: the observations are not of these texts.
    """
    if DISTURBED not in observed.outputs:
        return Robustness()
    changed = disturbed(split.texts)
    wanted = truth[list(changed.places)]
    ours = predictions_of(observed.of(DISTURBED, len(changed.texts)), config, confidence).codes
    theirs = None if unquantized is None else aligned("unquantized, disturbed", unquantized, wanted, config.labels)
    places = {kind: [place for place, one in enumerate(changed.kinds) if one == kind] for kind in KINDS}
    some = {kind: rows for kind, rows in places.items() if rows}
    slices = of_hits(some, ours == wanted, None if theirs is None else theirs == wanted, policy.confidence)
    metric = proportion("accuracy/disturbed", ours == wanted, policy.confidence)
    if theirs is None:
        return Robustness((metric,), tuple(slices))
    found = compare(
        wanted, ours, theirs, classes=len(config.labels), metric="accuracy", against=gates.UNQUANTIZED,
        confidence=policy.confidence,
    )  # fmt: skip
    return Robustness((metric,), tuple(slices), (gates.robust(found, margin=policy.margin),))
