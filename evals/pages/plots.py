"""Plots as PNG bytes: drawn without pyplot and without a display, in colours that everyone can tell apart."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evals.calibration import expected_calibration_error
from evals.pages.words import model, named
from fleet_manifests import Comparison, Confusion, LatencyObjective, Metric, ReliabilityBin, RiskPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"
"""From the palette of Okabe and Ito (2008)."""

MAX_CLASSES = 30
"""Classes of a confusion matrix that are still legible."""
MAX_COUNTED = 16
"""Classes up to which the cells carry their counts."""
DPI = 144


def confusion_matrix(confusion: Confusion) -> bytes:
    """Heat map of a confusion matrix, each row as shares of its true label; at most the most confused classes."""
    from matplotlib.colors import PowerNorm

    counts = np.array(confusion.counts)
    shown = _most_confused(counts)
    labels = [_shortened(confusion.labels[place], 24) for place in shown]
    part = counts[np.ix_(shown, shown)]
    shares = part / np.maximum(counts[shown].sum(axis=1, keepdims=True), 1)
    side = 2.4 + 0.42 * len(shown) if len(shown) <= MAX_COUNTED else 2.4 + 0.25 * len(shown)
    figure, axes = _axes(side + 1.0, side)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))  # rare mistakes stay visible
    size = 9 if len(shown) <= MAX_COUNTED else 7
    axes.set_xticks(range(len(shown)), labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(range(len(shown)), labels, fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)
    if len(shown) <= MAX_COUNTED:
        _write_counts(axes, part, shares)
    several = f", the {len(shown)} most confused of {len(counts)} classes" if len(shown) < len(counts) else ""
    axes.set_title(f"Confusion, n = {counts.sum():,}{several}", fontsize=11)
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, label="share of the true label")
    return png(figure)


def _most_confused(counts: NDArray[np.int_]) -> list[int]:
    """Places of the classes with the most mistakes, in label order."""
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    return sorted(np.argsort(-mistakes, kind="stable")[:MAX_CLASSES].tolist())


def _write_counts(axes: Axes, counts: NDArray[np.int_], shares: NDArray[np.float64]) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.3 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)


def latency_distribution(samples_ms: Sequence[float], objective: LatencyObjective) -> bytes:
    """Share of queries answered within a time, with the objective and what was reached.

    The vertical axis is stretched towards 100 %, where a percentile objective lives.
    """
    ranked = np.sort(np.asarray(samples_ms))
    n = len(ranked)
    within = np.arange(1, n + 1) / n
    figure, axes = _axes(7.2, 3.8)
    axes.step(ranked, np.minimum(within, 1 - 0.5 / n), where="post", color=BLUE, linewidth=1.8)
    axes.set_yscale("logit", one_half="1/2")
    ticks = [tick for tick in (0.01, 0.1, 0.5, 0.9, 0.99, 0.999) if tick <= 1 - 0.5 / n and tick >= 1 / n]
    axes.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_ylim(1 / n, 1 - 0.4 / n)
    reached = ranked[min(n * objective.percentile // 100, n - 1)]
    name = f"p{objective.percentile}"
    axes.axvline(objective.milliseconds, color=ORANGE, linewidth=1.8, linestyle="--")
    axes.plot([reached], [objective.percentile / 100], "o", color=BLUE, markersize=6)
    label = f"{name} {reached:.2f} ms"
    axes.annotate(
        label, (reached, objective.percentile / 100), (8, -4), textcoords="offset points", color=BLUE, va="top"
    )
    right = objective.milliseconds > np.sqrt(ranked[0] * ranked[-1])
    axes.annotate(
        f"objective {objective.milliseconds:g} ms",
        (objective.milliseconds, 0.04),
        (-6 if right else 6, 0),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        color=ORANGE,
        ha="right" if right else "left",
    )
    log_axis(axes, min(ranked[0], objective.milliseconds), max(ranked[-1], objective.milliseconds))
    axes.set_xlabel("latency in ms")
    axes.set_ylabel("queries answered")
    axes.set_title(f"Single-stream latency at {objective.tokens} tokens, n = {n:,}", fontsize=11)
    axes.grid(True, color="#e4e4e4", linewidth=0.8)
    return png(figure)


def log_axis(axes: Axes, low: float, high: float) -> None:
    """A logarithmic horizontal axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(low * 0.8, high * 1.4)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def reliability_diagram(bins: Sequence[ReliabilityBin], threshold: float | None = None) -> bytes:
    """How often the model is right at each level of confidence, and how many rows there are at each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 5.2), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    middles = [(item.low + item.high) / 2 for item in bins]
    width = (bins[0].high - bins[0].low) * 0.92 if bins else 0.06
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.4, label="perfectly calibrated")
    upper.bar(
        middles, [item.accuracy for item in bins], width=width, color=BLUE, alpha=0.35, label="accuracy of the bin"
    )
    upper.plot([item.confidence for item in bins], [item.accuracy for item in bins], "o", color=BLUE, markersize=5)
    lower.bar(middles, [item.n for item in bins], width=width, color=BLUE)
    if threshold is not None:
        for axes in (upper, lower):
            axes.axvline(threshold, color=ORANGE, linestyle="--", linewidth=1.6)
        upper.plot([], [], color=ORANGE, linestyle="--", label=f"defer below {threshold:.2f}")
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("accuracy")
    lower.set_ylabel("rows")
    lower.set_xlabel("confidence")
    n = sum(item.n for item in bins)
    gap = expected_calibration_error(tuple(bins))
    upper.set_title(f"Reliability, n = {n:,}, expected calibration error {gap:.3f}", fontsize=11)
    upper.legend(fontsize=9, frameon=False, loc="upper left")
    for axes in (upper, lower):
        plain(axes)
    return png(figure)


def coverage_precision(
    risk: Sequence[RiskPoint], *, target: float | None = None, reached: tuple[float, Metric] | None = None
) -> bytes:
    """What answering only the surest items would give, the precision that is asked for, and where the threshold lies.

    Args:
        risk: the curve, least coverage first.
        target: the precision that was promised.
        reached: share that the chosen threshold answers, and the precision of it.
    """
    figure, axes = _axes(6.2, 4.2)
    axes.step(
        [point.coverage for point in risk], [point.precision for point in risk], where="post", color=BLUE, linewidth=1.8
    )
    lows = [point.precision for point in risk if point.coverage >= 0.1] or [point.precision for point in risk]
    if target is not None:
        axes.axhline(target, color=ORANGE, linestyle="--", linewidth=1.6)
        axes.annotate(
            f"promised {target:.0%}", (0.01, target), (0, -4), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", color=ORANGE, va="top",
        )  # fmt: skip
        lows.append(target)
    if reached is not None:
        share, precision = reached
        if precision.low is not None and precision.high is not None:
            axes.plot([share, share], [precision.low, precision.high], color=BLUE, linewidth=1.4, alpha=0.7)
            lows.append(precision.low)
        axes.plot([share], [precision.value], "o", color=BLUE, markersize=7)
        side, away = ("right", -10) if share > 0.5 else ("left", 10)
        axes.annotate(
            f"threshold: {share:.0%} answered,\n{precision.value:.1%} of them right", (share, precision.value),
            (away, -14), textcoords="offset points", color=BLUE, va="top", ha=side,
            bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1},
        )  # fmt: skip
    bottom = min(lows)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(max(bottom - 0.25 * (1 - bottom) - 0.01, 0), 1.005)
    _percent(axes)
    axes.set_xlabel("answered, the surest first")
    axes.set_ylabel("of them right")
    axes.set_title("Coverage and precision", fontsize=11)
    axes.grid(True, color="#e4e4e4", linewidth=0.8)
    return png(figure)


def _percent(axes: Axes) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def differences(comparisons: Sequence[Comparison]) -> bytes:
    """Each comparison as an interval around its difference, with the loss that does not matter."""
    figure, axes = _axes(7.2, 1.3 + 0.5 * len(comparisons))
    for row, found in enumerate(reversed(comparisons)):
        colour = ORANGE if found.high < -(found.margin or 0) else BLUE if found.low > -(found.margin or 0) else GREY
        if found.margin is not None:
            axes.barh(row, found.margin, left=-found.margin, height=0.7, color=GREY, alpha=0.22, linewidth=0)
        axes.plot([found.low, found.high], [row, row], color=colour, linewidth=2)
        axes.plot([found.difference], [row], "o", color=colour, markersize=6)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(comparisons)), [model(found.against) for found in reversed(comparisons)])
    axes.set_ylim(-0.7, len(comparisons) - 0.3)
    axes.tick_params(axis="y", length=0)
    names = ", ".join(sorted({named(found.metric) for found in comparisons}))
    axes.set_xlabel(f"difference in {names}, a loss is left of the line")
    axes.set_title("Against other models, paired", fontsize=11)
    axes.grid(True, axis="x", color="#e4e4e4", linewidth=0.8)
    return png(figure)


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    plain(axes)
    return figure, axes


def plain(axes: Axes) -> None:
    """Without the frame at the top and at the right."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def png(figure: Figure) -> bytes:
    """The figure as PNG; Agg draws it, and no date or version goes into the file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
