"""Placement rules, and the two that never bend."""

from __future__ import annotations

import pytest

from fleet_manifests import DataClass, Factors, Override, Where, place

pytestmark = pytest.mark.unit
INTERNAL = frozenset({DataClass.INTERNAL})


@pytest.mark.parametrize(
    ("factors", "where"),
    [
        (Factors(offline="full", latency_ms=100), Where.EDGE),
        (Factors(offline="degraded"), Where.HYBRID),
        (Factors(offline="full", needs_erp=True), Where.HYBRID),
        (Factors(offline="never"), Where.CENTRAL),
        (Factors(offline="never", needs_erp=True), Where.CENTRAL),
        (Factors(offline="never", volume_per_day=20_000), Where.HYBRID),
        (Factors(offline="never", governance_ready=False, latency_ms=50), Where.HYBRID),
    ],
)
def test_rules(factors: Factors, where: Where) -> None:
    placement = place(factors, INTERNAL)
    assert placement.where is where
    assert all(placement.reasons)


def test_override_is_recorded_with_its_author(placed: Override) -> None:
    placement = place(Factors(offline="never"), INTERNAL, override=placed)
    assert placement.where is Where.EDGE
    assert placement.override == placed
    assert "ciso" in placement.reasons[0]


@pytest.mark.parametrize(
    ("factors", "classes"),
    [
        (Factors(action="material", offline="full"), INTERNAL),
        (Factors(offline="full"), INTERNAL | {DataClass.CONTRACT}),
    ],
)
def test_what_no_override_bends(factors: Factors, classes: frozenset[DataClass], placed: Override) -> None:
    placement = place(factors, classes, override=placed)
    assert placement.where is Where.CENTRAL
    assert placement.override == placed
