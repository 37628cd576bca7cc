"""The gates of latency, memory and size: one requirement each, decided by a bound, with the sentence a person reads."""

from __future__ import annotations

from fleet_manifests import Gate, LatencyObjective, Metric, Verdict

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def latency(metric: Metric, objective: LatencyObjective, tokens: int) -> Gate:
    """Whether the percentile meets the objective, by the bounds of MLPerf early stopping."""
    limit = objective.milliseconds
    name = f"p{objective.percentile}"
    low = metric.value if metric.low is None else metric.low
    if metric.high is None:
        verdict, says = INCONCLUSIVE, f"{metric.n} queries are too few for {name}"
    elif metric.high <= limit:
        verdict, says = PASS, f"at most {metric.high:.2f} ms"
    elif low > limit:
        verdict, says = FAIL, f"at least {low:.2f} ms"
    else:
        verdict, says = INCONCLUSIVE, f"between {low:.2f} and {metric.high:.2f} ms; measure on a quieter machine"
    cut = f" (the bundle reads no more than {tokens} of {objective.tokens})" if tokens < objective.tokens else ""
    return Gate(
        name="latency",
        verdict=verdict,
        observed=metric.high if metric.high is not None else metric.value,
        required=limit,
        reason=f"{name} at {tokens} tokens{cut} is {metric.value:.2f} ms, {says} at 99 % confidence; "
        f"the objective is {limit:g} ms (n = {metric.n})",
    )


def busy(gate: Gate, waited: float) -> Gate:
    """A latency gate that failed while other processes had the cpu: not shown to be the model's fault."""
    return gate.model_copy(
        update={
            "verdict": INCONCLUSIVE,
            "reason": f"on a busy machine ({gate.verdict.value}): {gate.reason}; for {waited:.0%} of the time "
            "other processes had the cpu, measure on a quiet machine",
        }
    )


def steady(drift: float, limit: float, attempts: int, *, headroom: float) -> Gate:
    """Whether the machine was steady enough for the figures to decide.

    Args:
        drift: how much longer a fixed piece of work took at one end than at the other, as a share.
        limit: the largest drift at which figures are exact enough.
        attempts: how often the measurement was repeated.
        headroom: the latency objective over the bound that was found; where the figures could be off
            by the whole drift and still meet the objective, the drift decides nothing.
    """
    if drift <= limit:
        verdict, says = PASS, "the machine was steady"
    elif headroom >= 1 + drift:
        verdict, says = PASS, f"which cannot matter: the objective is {headroom:.1f} times the latency"
    else:
        verdict, says = INCONCLUSIVE, f"in the calmest of {attempts} attempts; measure on a quiet machine"
    return Gate(
        name="steady",
        verdict=verdict,
        observed=drift,
        required=limit,
        reason=f"a fixed piece of work took {drift:.1%} longer at one end of the measurement than at the other, {says}",
    )


def invalid() -> Gate:
    """LoadGen itself does not take the run for a valid one."""
    return Gate(
        name="loadgen",
        verdict=INCONCLUSIVE,
        reason="LoadGen says that the run is not valid: too short, or too few queries; measure again",
    )


def at_most(metric: Metric, limit: float, *, name: str, what: str) -> Gate:
    """Whether a measured amount stays within its budget."""
    passes = metric.value <= limit
    return Gate(
        name=name,
        verdict=PASS if passes else FAIL,
        observed=metric.value,
        required=limit,
        reason=f"{what} {metric.value:.1f} MB is {'within' if passes else 'over'} the budget of {limit:g} MB",
    )
