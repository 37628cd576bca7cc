"""Gates: one requirement each, decided by a bound, with the sentence a person reads.

A gate passes when the evidence shows that the requirement holds, fails when it shows
that it does not, and is inconclusive when it shows neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.power import items_needed, powered
from evals.predictions import NO_ANSWER, Predictions
from evals.statistics import mcnemar
from fleet_manifests import Comparison, Gate, Metric, Verdict

UNQUANTIZED = "unquantized"
NOT_INFERIOR_TO = (UNQUANTIZED, "champion", "reference")
"""References that a build may not lose more than the margin against; all others are baselines."""

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def non_inferior(comparison: Comparison, *, margin: float) -> Gate:
    """Whether a model loses less than `margin` against another one.

    The confidence bound decides, not the difference (non-inferiority as in CONSORT,
    Piaggio et al. 2012): lower bound above -margin passes, upper bound below -margin fails.
    """
    found = comparison
    if found.low > -margin:
        verdict, says = PASS, f"loses less than the margin of {margin:.3f}"
    elif found.high < -margin:
        verdict, says = FAIL, f"loses more than the margin of {margin:.3f}"
    else:
        verdict = INCONCLUSIVE
        says = f"may lose more than the margin of {margin:.3f}; {_too_few(found, margin)}"
    return Gate(
        name=f"non_inferior/{found.against}",
        verdict=verdict,
        observed=found.low,
        required=-margin,
        reason=f"{_pair(found)}: {says}",
    )


def with_power(comparison: Comparison, margin: float) -> Comparison:
    """A comparison with what its items can tell of the margin, where it is gated by one."""
    return powered(comparison, margin) if comparison.against in NOT_INFERIOR_TO else comparison


def _too_few(found: Comparison, margin: float) -> str:
    """What it would take to decide."""
    known = powered(found, margin)
    return (
        f"{found.n} items show losses from {known.detectable:.3f} on, and a model that loses nothing would pass with "
        f"probability {known.power:.2f}: about {items_needed(found, margin):,} items are needed"
    )


def robust(comparison: Comparison, *, margin: float) -> Gate:
    """Whether a model loses on disturbed texts what it does not lose on clean ones.

    A guard against collapse: it fails where a loss of more than the margin is shown, and passes else.
    """
    found = comparison
    fails = found.high < -margin
    says = f"loses more than the margin of {margin:.3f}" if fails else "no loss beyond the margin is shown"
    return Gate(
        name="robustness",
        verdict=FAIL if fails else PASS,
        observed=found.high,
        required=-margin,
        reason=f"on disturbed texts, {_pair(found)}: {says}",
    )


def overlap(found: float, n: int, *, required: float) -> Gate:
    """Whether the nearest passages of questions are those of the unquantized model, the ten of each on average."""
    passes = found >= required
    return Gate(
        name="neighbour_overlap",
        verdict=PASS if passes else FAIL,
        observed=found,
        required=required,
        reason=f"{found:.3f} of the ten nearest passages are those of the unquantized model (n = {n}), "
        f"{'at least' if passes else 'below'} {required:.3f}",
    )


def no_worse(comparison: Comparison) -> Gate:
    """Whether a cheaper baseline beats the model beyond chance: then the model is not worth shipping."""
    found = comparison
    fails = found.high < 0
    better = "the baseline is better; let its kind be a candidate (training.candidates) or tune anew"
    says = better if fails else "the baseline is not shown to be better"
    return Gate(
        name=f"baseline/{found.against}",
        verdict=FAIL if fails else PASS,
        observed=found.high,
        required=0.0,
        reason=f"{_pair(found)}, mid-p McNemar p = {mcnemar(found.lost, found.gained):.3g}: {says}",
    )


def references(comparisons: Sequence[Comparison], *, margin: float) -> Iterator[Gate]:
    """The gate of each comparison, and one where the unquantized model is not among them."""
    for comparison in comparisons:
        if comparison.against in NOT_INFERIOR_TO:
            yield non_inferior(comparison, margin=margin)
        else:
            yield no_worse(comparison)
    if UNQUANTIZED not in {comparison.against for comparison in comparisons}:
        yield missing_reference(UNQUANTIZED)


def on_hardware(found: Sequence[Gate], mismatch: str | None) -> tuple[Gate, ...]:
    """The gates as they count: without a say, the canary aside, where this machine is not of the profile."""
    if mismatch is None:
        return tuple(found)
    seen = [gate if gate.name == "canary" else preview(gate) for gate in found]
    return (*seen, unmeasured(mismatch))


def emulated(found: Sequence[Gate]) -> tuple[Gate, ...]:
    """The gates as they count where the hardware was emulated: they may fail, and cannot pass."""
    seen = [gate if gate.verdict is FAIL or gate.name == "canary" else preview(gate, "emulated") for gate in found]
    says = "emulated, not measured: it may show that a build fails, not that it passes; run `lading-site measure` on "
    return (*seen, Gate(name="hardware", verdict=INCONCLUSIVE, reason=says + "a machine that matches"))


def missing_reference(against: str) -> Gate:
    """No comparison where one is required."""
    return Gate(
        name=f"non_inferior/{against}",
        verdict=INCONCLUSIVE,
        reason=f"no predictions of the {against} model were given; a loss against it cannot be ruled out",
    )


SMALLER = 0.98
"""What a bundle's size must be of the champion's to be worth the exchange."""


def succeeds(comparison: Comparison, size: float, champions_size: float) -> Gate:
    """Whether a build is a reason to exchange the champion: better on validation, or smaller.

    That it loses nothing is for `non_inferior` to say, on the test split.

    Args:
        comparison: the paired difference to the champion, on validation.
        size: of the build's bundle, MB.
        champions_size: of the champion's, MB.
    """
    found = comparison
    sizes = f"{size:.1f} MB against {champions_size:.1f} MB"
    if found.difference > 0:
        verdict, says = PASS, "better on validation"
    elif size <= SMALLER * champions_size:
        verdict, says = PASS, "smaller"
    else:
        verdict, says = INCONCLUSIVE, "neither better nor smaller: the champion stays"
    return Gate(
        name="succession",
        verdict=verdict,
        observed=found.difference,
        required=0.0,
        reason=f"{found.metric} on validation {found.ours:.4f} against {found.theirs:.4f} of the champion "
        f"(n = {found.n}), {sizes}: {says}",
    )


def floor(metric: Metric, required: float) -> Gate:
    """Whether a metric reaches the workflow's absolute floor."""
    passes = metric.value >= required
    return Gate(
        name=f"floor/{metric.name}",
        verdict=PASS if passes else FAIL,
        observed=metric.value,
        required=required,
        reason=f"{metric.name} {metric.value:.3f}{interval(metric)} is {'at least' if passes else 'below'} "
        f"the floor of {required:.3f} (n = {metric.n})",
    )


def canary(predictions: Predictions, classes_in_truth: int) -> Gate:
    """A model that does not answer, or gives every row the same answer, never passes."""
    broken = int((predictions.codes == NO_ANSWER).sum())
    given = {name for name in predictions.names if name}
    n = len(predictions.codes)
    if broken:
        verdict, reason = FAIL, f"{broken} of {n} rows have logits that are not finite numbers; the build is broken"
    elif len(given) == 1 and classes_in_truth > 1:
        verdict, reason = FAIL, f"all {n} rows get the answer {given.pop()!r} though {classes_in_truth} classes occur"
    else:
        verdict, reason = PASS, f"{n} rows get {len(given)} different answers, all from finite logits"
    return Gate(name="canary", verdict=verdict, reason=reason)


def varied(firsts: Sequence[Sequence[str]]) -> Gate:
    """A retriever that finds nothing, or the same passage for every question, never passes."""
    n, given = len(firsts), {first[0] for first in firsts if first}
    if not given:
        verdict, reason = FAIL, f"none of {n} questions finds a passage; the build is broken"
    elif len(given) == 1 and n > 1:
        verdict, reason = FAIL, f"all {n} questions find {given.pop()!r} first"
    else:
        verdict, reason = PASS, f"{n} questions find {len(given)} different passages first"
    return Gate(name="canary", verdict=verdict, reason=reason)


def deferral(coverage: Metric, precision: Metric | None, *, target: float) -> Gate:
    """Whether the answered rows keep the precision that the defer threshold promised."""
    if precision is None:
        verdict, observed = INCONCLUSIVE, None
        says = f"every row is deferred: no confidence keeps precision {target:.3f}; lower the target or add rows"
    else:
        observed = precision.value
        kept = (precision.high if precision.high is not None else precision.value) >= target
        verdict = PASS if kept else FAIL
        found = f"{coverage.value:.1%} of {coverage.n} rows answered, precision {observed:.3f}{interval(precision)}"
        says = f"{found} {'is in line with' if kept else 'breaks'} the promise of {target:.3f}"
    return Gate(name="deferral", verdict=verdict, observed=observed, required=target, reason=says)


def unmeasured(mismatch: str) -> Gate:
    """This machine is not of the profile, so nothing measured here can pass."""
    return Gate(
        name="hardware",
        verdict=INCONCLUSIVE,
        reason=f"not measured on hardware of this profile: {mismatch}; run `lading-site measure` on a machine that "
        "matches, then `lading receipts import`",
    )


def preview(gate: Gate, where: str = "on this machine") -> Gate:
    """A gate decided on hardware of another profile, or on none: kept for reading, without a say."""
    return gate.model_copy(update={"verdict": INCONCLUSIVE, "reason": f"{where} ({gate.verdict.value}): {gate.reason}"})


def interval(metric: Metric) -> str:
    """A metric's interval as ` (0.901 to 0.932)`, nothing where it has none."""
    if metric.low is None or metric.high is None:
        return ""
    return f" ({metric.low:.3f} to {metric.high:.3f})"


def _pair(found: Comparison) -> str:
    return (
        f"{found.metric} {found.ours:.3f} against {found.theirs:.3f} of {found.against}, difference "
        f"{found.difference:+.3f} ({100 * found.confidence:g}% interval {found.low:+.3f} to {found.high:+.3f}, "
        f"n = {found.n}, lost {found.lost}, gained {found.gained})"
    )
