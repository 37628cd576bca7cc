"""Where a workflow may run: explicit rules that a person can read and overrule."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from fleet_manifests.wire import DataClass, Wire


class Where(StrEnum):
    """The three placements."""

    CENTRAL = "central"
    EDGE = "edge"
    HYBRID = "hybrid"


class Factors(Wire):
    """What the owner of a workflow says about it."""

    latency_ms: int | None = None
    """Longest wait a user accepts, in milliseconds."""
    offline: Literal["never", "degraded", "full"] = "degraded"
    """What must still work when the line is down."""
    action: Literal["none", "reversible", "material"] = "none"
    """The strongest action that an answer may set off."""
    needs_erp: bool = False
    """An answer needs live ERP context that is not in a context pack."""
    volume_per_day: int | None = None
    governance_ready: bool = True
    """Sites have owner, review and audit for this workflow."""


class Override(Wire):
    """A person's decision against the rules."""

    where: Where
    author: str
    reason: str


class Placement(Wire):
    """The outcome, with the reasons in the order in which the rules fired."""

    where: Where
    reasons: tuple[str, ...]
    override: Override | None = None


SITE_CLASSES = frozenset({DataClass.PUBLIC, DataClass.INTERNAL, DataClass.CUSTOMER})
"""Data classes that may live at a site unless a project says otherwise."""


def place(
    factors: Factors,
    data_classes: frozenset[DataClass],
    *,
    allowed_at_sites: frozenset[DataClass] = SITE_CLASSES,
    override: Override | None = None,
) -> Placement:
    """Decide where a workflow runs.

    Two rules never bend, not even for an override: a material action executes centrally
    after human approval, and a data class not allowed at a site never reaches it.
    """
    binding: list[str] = []
    if factors.action == "material":
        binding.append("a material action executes centrally after human approval")
    if kept := sorted(data_classes - allowed_at_sites):
        binding.append(f"data class {', '.join(kept)} may not leave the centre")
    if binding:
        return Placement(where=Where.CENTRAL, reasons=tuple(binding), override=override)

    if override is not None:
        reason = f"{override.author} decided: {override.reason}"
        return Placement(where=override.where, reasons=(reason,), override=override)

    central, edge = _wishes(factors)
    if central and edge:
        return Placement(where=Where.HYBRID, reasons=tuple(edge + central))
    if edge:
        where = Where.EDGE if factors.offline == "full" else Where.HYBRID
        return Placement(where=where, reasons=tuple(edge))
    return Placement(where=Where.CENTRAL, reasons=tuple(central) or ("nothing asks for the edge",))


def _wishes(factors: Factors) -> tuple[list[str], list[str]]:
    """What speaks for the centre and what for the edge."""
    central: list[str] = []
    edge: list[str] = []
    if factors.needs_erp:
        central.append("answers need live ERP context")
    if not factors.governance_ready:
        central.append("sites are not ready to govern it")
    if factors.latency_ms is not None and factors.latency_ms < 300:
        edge.append(f"users accept {factors.latency_ms} ms, less than a round trip allows")
    if factors.offline != "never":
        edge.append(f"it must work when the line is down ({factors.offline})")
    if factors.volume_per_day is not None and factors.volume_per_day >= 10_000:
        edge.append(f"{factors.volume_per_day} requests a day are cheaper where they arise")
    return central, edge
