"""Every candidate of a workflow at one look: how good, how fast, how large, and which ones nothing else beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.pages import plots
from fleet_manifests.pareto import front

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Candidate:
    """A build that was measured, or a recipe that was tried."""

    name: str
    metric: float
    size_mb: float
    latency_ms: float | None = None
    """Median on the workload; None: it was not timed."""
    split: str = "test"
    """What the metric was taken on; figures of different splits do not compete."""
    low: float | None = None
    """Interval of the metric."""
    high: float | None = None
    measured: bool = True
    """Whether it was timed on hardware of its profile."""
    chosen: bool = False
    """Whether it is the one that the page is about."""


def on_front(candidates: Sequence[Candidate]) -> list[bool]:
    """The front in metric, latency and size among those that were timed, in metric and size among the others."""
    groups: dict[tuple[bool, str], list[int]] = {}
    for place, one in enumerate(candidates):
        groups.setdefault((one.latency_ms is None, one.split), []).append(place)
    found = [False] * len(candidates)
    for places in groups.values():
        some = [candidates[place] for place in places]
        kept = front([(-one.metric, one.size_mb, one.latency_ms or 0.0) for one in some])
        for place, best in zip(places, kept, strict=True):
            found[place] = best
    return found


def plot(candidates: Sequence[Candidate], metric: str, references: Mapping[str, float] | None = None) -> bytes:
    """The metric against median latency, and against size for those that were not timed. PNG.

    Args:
        candidates: builds and recipes, at least one.
        metric: its name, as people say it.
        references: other models and their figures on the test split; drawn as lines.
    """
    from matplotlib.figure import Figure

    ranked = list(zip(candidates, on_front(candidates), strict=True))
    groups = [[pair for pair in ranked if (pair[0].latency_ms is None) is untimed] for untimed in (False, True)]
    shown = [group for group in groups if group]
    heights = [1.5 + 0.27 * max(len(group), 4) for group in shown]
    figure = Figure(figsize=(9.6, 0.5 + sum(heights)), dpi=plots.DPI, layout="constrained")
    panels = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)
    for group, axes in zip(shown, panels[:, 0], strict=True):
        plots.plain(axes)
        axes.grid(True, color="#e4e4e4", linewidth=0.8)
        axes.set_ylabel(metric)
        _panel(axes, group, references or {})
    figure.suptitle("Candidates", fontsize=11)
    return plots.png(figure)


def _panel(axes: Axes, group: Sequence[tuple[Candidate, bool]], references: Mapping[str, float]) -> None:
    """One of the two panels, with its axes, dots, lines and names."""
    timed = group[0][0].latency_ms is not None
    spots = [(one.size_mb if one.latency_ms is None else one.latency_ms, one.metric) for one, _ in group]
    low, high = min(x for x, _ in spots), max(x for x, _ in spots)
    if timed:
        plots.log_axis(axes, low, high)
        axes.set_xlabel("median latency on the workload in ms")
    else:
        pad = max(0.15 * (high - low), 0.05 * high)
        axes.set_xlim(low - pad, high + pad)
        axes.set_xlabel("size in MB, not timed")
    _limits(axes, [one for one, _ in group])
    if any(one.split == "test" for one, _ in group):
        _lines(axes, references, 0.45 if timed else 0.3)
    for (one, best), (x, y) in zip(group, spots, strict=True):
        _dot(axes, one, best, x, y)
    _labels(axes, group, spots)


def _limits(axes: Axes, group: Sequence[Candidate]) -> None:
    low = min(one.metric if one.low is None else one.low for one in group)
    high = max(one.metric if one.high is None else one.high for one in group)
    pad = max((high - low) * 0.25, 0.02)
    axes.set_ylim(low - pad, high + pad)


def _lines(axes: Axes, references: Mapping[str, float], place: float) -> None:
    """Other models as lines, named at a place along the axis; those outside of the picture are named at its edge."""
    bottom, top = axes.get_ylim()
    inside = {name: value for name, value in references.items() if value >= bottom - 0.6 * (top - bottom)}
    axes.set_ylim(min([bottom, *(value - 0.2 * (top - bottom) for value in inside.values())]), top)
    for value in inside.values():
        axes.axhline(value, color=plots.GREY, linewidth=1.2, linestyle=":", zorder=1)
    for value, names in _together(inside, 0.06 * (top - bottom)):
        axes.annotate(
            names, (place, value), (0, 2), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
            fontsize=8, color=plots.GREY, ha="center", zorder=1,
        )  # fmt: skip
    below = ", ".join(f"{name} {value:.3f}" for name, value in sorted(references.items()) if name not in inside)
    if below:
        axes.annotate(
            f"further down: {below}", (place, 0), (0, 3), xycoords="axes fraction", textcoords="offset points",
            fontsize=8, color=plots.GREY, ha="center", zorder=1,
        )  # fmt: skip


def _together(values: Mapping[str, float], gap: float) -> list[tuple[float, str]]:
    """One label for lines that lie closer than a gap, at the uppermost of them."""
    groups: list[list[tuple[str, float]]] = []
    for name, value in sorted(values.items(), key=lambda pair: (-pair[1], pair[0])):
        if groups and groups[-1][-1][1] - value < gap:
            groups[-1].append((name, value))
        else:
            groups.append([(name, value)])
    return [(group[0][1], ", ".join(f"{name} {value:.3f}" for name, value in group)) for group in groups]


def _dot(axes: Axes, one: Candidate, best: bool, x: float, y: float) -> None:
    colour = plots.BLUE if best else plots.GREY
    if one.low is not None and one.high is not None:
        axes.plot([x, x], [one.low, one.high], color=colour, linewidth=1.2, alpha=0.6, zorder=2)
    face = colour if one.measured else "white"
    axes.scatter([x], [y], s=24 + 3 * one.size_mb, color=face, edgecolors=colour, linewidths=1.6, zorder=3)
    if one.chosen:
        axes.scatter([x], [y], s=140 + 3 * one.size_mb, facecolors="none", edgecolors=plots.ORANGE, linewidths=1.8)


def _labels(axes: Axes, group: Sequence[tuple[Candidate, bool]], spots: Sequence[tuple[float, float]]) -> None:
    """Names in a column at the right, in the order of the metric, so that none covers another."""
    ranked = sorted(range(len(group)), key=lambda place: (spots[place][1], group[place][0].name))
    step = 1 / max(len(group), 3)
    for rank, place in enumerate(ranked):
        one, best = group[place]
        axes.annotate(
            f"{one.name}, {one.size_mb:.1f} MB{_remark(one)}", spots[place], (1.03, (rank + 0.5) * step),
            textcoords="axes fraction", fontsize=8.5, va="center", annotation_clip=False,
            fontweight="bold" if best else "normal", color="black" if best else plots.GREY,
            arrowprops={"arrowstyle": "-", "color": "#b8b8b8", "linewidth": 0.7, "shrinkB": 5, "relpos": (0, 0.5)},
        )  # fmt: skip


def _remark(one: Candidate) -> str:
    """What keeps a figure from being compared with the others."""
    if one.split != "test":
        return f", on {one.split}"
    return "" if one.measured else ", not on its hardware"
