"""Evidence in plain words: the verdict in a sentence, figures by the names people use, a comparison as it reads."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_manifests import Comparison, Gate, Metric, Verdict

LEADS = {
    Verdict.PASS: "May ship",
    Verdict.FAIL: "Must not ship",
    Verdict.INCONCLUSIVE: "Not decided yet",
}
"""What a verdict means for a release."""
MARKS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.INCONCLUSIVE: "?"}
"""Verdicts for those who do not see the colours."""

NAMES = {
    "accuracy": "accuracy",
    "aurc": "area under risk-coverage",
    "coverage": "coverage",
    "ece": "calibration error",
    "macro_f1": "macro-F1",
    "mrr": "MRR",
    "ndcg_at_10": "nDCG@10",
    "peak_rss_mb": "peak memory",
    "precision_answered": "precision of what is answered",
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "size_mb": "size",
}
SHARES = frozenset({"coverage", "precision_answered"})
"""Metrics that are said in percent."""
MODELS = {"champion": "the champion", "reference": "the fixed reference", "unquantized": "the unquantized model"}


def named(metric: str) -> str:
    """A metric by the name that people use; one that is not known keeps its own."""
    return NAMES.get(metric, metric)


def model(against: str) -> str:
    """The other model of a comparison; a baseline keeps its name."""
    return MODELS.get(against, f"the baseline {against}")


def deciding(gates: Sequence[Gate]) -> list[Gate]:
    """The gates that explain a verdict: what fails; else that the hardware is foreign; else all that is open."""
    for chosen in (
        [gate for gate in gates if gate.verdict is Verdict.FAIL],
        [gate for gate in gates if gate.verdict is Verdict.INCONCLUSIVE and gate.name == "hardware"],
    ):
        if chosen:
            return chosen
    return [gate for gate in gates if gate.verdict is Verdict.INCONCLUSIVE]


def sentence(gates: Sequence[Gate]) -> str:
    """The verdict in one sentence: what fails, else what is not known, else how much passed."""
    reasons = list(dict.fromkeys(f"{gate.name}: {gate.reason}" for gate in deciding(gates)))
    if not reasons:
        return f"all {len(gates)} gates pass" if gates else "nothing was judged"
    others = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reasons[0]}{others}"


def figure(value: float, unit: str = "") -> str:
    """A number with its unit, with as many digits as it carries."""
    digits = {"ms": 2, "MB": 1, "": 4}.get(unit, 2)
    return f"{value:,.{digits}f} {unit}".strip()


def reading(metric: Metric) -> str:
    """The value of a metric as it is said at a glance: shares in percent."""
    if metric.name in SHARES:
        return f"{metric.value:.1%}"
    return figure(metric.value, metric.unit) if metric.unit else f"{metric.value:.3f}"


def between(metric: Metric) -> str:
    """Its interval, said the same way; empty where it has none."""
    if metric.low is None or metric.high is None:
        return ""
    if metric.name in SHARES:
        return f"{metric.low:.1%} to {metric.high:.1%}"
    return span(metric) if metric.unit else f"{metric.low:.3f} to {metric.high:.3f}"


def span(metric: Metric) -> str:
    """The interval of a metric, or its bound; empty where it has none."""
    if metric.high is not None and metric.low is None:
        return f"at most {figure(metric.high, metric.unit)}"
    if metric.low is None or metric.high is None:
        return ""
    return f"{figure(metric.low, metric.unit).removesuffix(metric.unit).strip()} to {figure(metric.high, metric.unit)}"


def compared(found: Comparison, things: str = "rows") -> str:
    """A paired comparison, sentence by sentence.

    Args:
        found: the comparison.
        things: what the items are.
    """
    name = named(found.metric)
    said = [
        f"{name} {found.ours:.3f} here, {found.theirs:.3f} there: {_apart(found.difference)}",
        f"with {found.confidence:.0%} confidence it is between {_apart(found.low)} and {_apart(found.high)}",
        f"of {found.n:,} {things}, {found.lost:,} were lost and {found.gained:,} gained",
        _means(found),
    ]
    if found.power is not None:
        said.append(
            f"a build that loses nothing would pass {found.power:.0%} of the time with as many {things} and differences"
        )
    if found.detectable is not None:
        said.append(f"a true loss of {found.detectable:.3f} or more would show in four of five measurements")
    return " ".join(f"{part if part.startswith('nDCG') else part[0].upper() + part[1:]}." for part in said)


def _means(found: Comparison) -> str:
    """What follows from the interval."""
    if found.margin is None:
        if found.low > 0:
            return "the baseline is beaten beyond doubt"
        return "the baseline is better beyond doubt" if found.high < 0 else "which of the two is better is not shown"
    margin = f"margin of {found.margin:.3f}"
    if found.low >= -found.margin:
        return f"even the worst end of that lies within the {margin}, a loss that does not matter"
    if found.high < -found.margin:
        return f"all of that lies beyond the {margin}"
    return f"that reaches beyond the {margin}, so a loss that matters is not ruled out"


def _apart(difference: float) -> str:
    shown = f"{abs(difference):.3f}"
    if shown == "0.000":
        return "no difference"
    return f"{shown} {'better' if difference > 0 else 'worse'}"
