from __future__ import annotations

import pytest

from evals.pages import tables
from fleet_manifests import Comparison, Flip, Gate, Metric, OutOfScope, Slice, Verdict

pytestmark = pytest.mark.unit


def flip(item: str, truth: str, ours: str, theirs: str) -> Flip:
    return Flip(against="unquantized", item=item, truth=truth, ours=ours, theirs=theirs, confidence=0.5)


def test_gates_that_fail_come_first() -> None:
    gates = [
        Gate(name=one.value, verdict=one, reason="x") for one in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)
    ]
    found = tables.gates(gates)
    assert [row[1].text for row in found.rows] == ["fail", "inconclusive", "pass"]
    assert [row[0].tone for row in found.rows] == ["fail", "inconclusive", "pass"]
    assert not tables.gates(gates * 20).folded, "a gate is never hidden"


def test_slices_are_grouped_by_field_and_sorted_by_what_was_lost() -> None:
    found = [
        Slice(name="label=late", n=10, ours=0.9, low=0.6, high=0.98, theirs=0.9),
        Slice(name="label=short", n=20, ours=0.8, low=0.6, high=0.9, theirs=0.9, lost=2),
        Slice(name="style=typed", n=5, ours=1.0),
        Slice(name="typos", n=5, ours=0.5),
    ]
    by_class, by_style, by_kind = tables.slices(found, [Metric(name="f1/short", value=0.85, n=20)])
    assert (by_class.title, by_style.title, by_kind.title) == ("By class", "By style", "By kind")
    assert [row[0].text for row in by_class.rows] == ["short", "late"]
    assert by_class.head[-1] == "F1"
    assert [row[-1].text for row in by_class.rows] == ["0.850", ""]
    assert "lost" in by_class.head
    assert "lost" not in by_style.head
    assert "interval" not in by_style.head, "what was not measured has no column"


def test_long_tables_are_folded() -> None:
    many = [Slice(name=f"document=d{place}", n=1, ours=0.5) for place in range(tables.LONG + 1)]
    assert tables.slices(many)[0].folded
    assert not tables.slices(many[1:])[0].folded


def test_flips_say_which_way_they_went() -> None:
    found = tables.flips([flip("line 1", "a", "b", "a"), flip("line 2", "a", "a", "b"), flip("q", "a", "b", "c")])
    assert [row[0].text for row in found.rows] == ["lost", "gained", "differs"]
    assert "text" not in found.head, "a report has no texts"


def test_texts_of_flips_are_cut_and_may_be_missing() -> None:
    found = tables.flips([flip("line 1", "a", "b", "a"), flip("line 2", "a", "b", "a")], {"line 1": "x\n" * 500})
    first, second = (row[-1].text for row in found.rows)
    assert len(first) == tables.TEXT and first.endswith("…") and "\n" not in first
    assert second == ""


def test_out_of_scope_with_and_without_an_interval() -> None:
    bare = tables.out_of_scope(OutOfScope(n=40, auroc=0.9, deferred=0.8))
    assert [row[1].text for row in bare.rows] == ["40", "80.0%", "0.900"]
    full = tables.out_of_scope(OutOfScope(n=40, auroc=0.9, deferred=0.8, low=0.65, high=0.9, fpr95=0.3), "questions")
    assert full.rows[1][1].text == "80.0% (65.0% to 90.0%)"
    assert full.rows[3][1].text == "30.0%"
    assert "questions" in full.rows[3][0].text


def test_a_baseline_has_no_margin() -> None:
    one = Comparison(
        against="bm25",
        metric="ndcg_at_10",
        ours=0.6,
        theirs=0.5,
        difference=0.1,
        low=0.05,
        high=0.15,
        n=9,
        lost=1,
        gained=3,
    )
    (row,) = tables.comparisons([one]).rows
    cells = dict(zip(tables.comparisons([one]).head, (cell.text for cell in row), strict=True))
    assert (cells["against"], cells["metric"], cells["margin"], cells["power"]) == (
        "the baseline bm25",
        "nDCG@10",
        "",
        "",
    )
