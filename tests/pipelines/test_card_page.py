"""The release card: what a release manager reads before a promotion."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from fleet_manifests import FleetManifest, Metric, Placement, Task, Verdict, Where, WorkflowEntry, digest_of
from pipelines.steps.card_page import Row, page
from release import Change, Standing

pytestmark = pytest.mark.unit

MOMENT = datetime(2026, 5, 4, 12, tzinfo=UTC)
PROFILES = [("triage", "central"), ("triage", "edge"), ("sops", "edge")]


def row(profile: str = "edge", verdict: Verdict = Verdict.PASS, workflow: str = "triage", **changes: Any) -> Row:
    name = f"{workflow}--{profile}" + (f"--{changes['site_class']}" if "site_class" in changes else "")
    score = Metric(name="macro_f1", value=0.902, n=952, low=0.881, high=0.922)
    fields: dict[str, Any] = {
        "standing": Standing(name, digest_of(name.encode()), verdict, recipe="int8", metric=score, passages=173),
        "why": "p99: too slow" if verdict is Verdict.FAIL else "hardware: another machine is needed",
        "metrics": (
            score,
            Metric(name="coverage", value=0.857, n=952, low=0.833, high=0.878),
            Metric(name="p99", value=7.33, n=662, unit="ms"),
            Metric(name="size_mb", value=23.6, n=1, unit="MB"),
        ),
        "target": 0.95,
    }
    return Row(workflow, profile, **{**fields, **changes})


def entry(title: str = "Order triage") -> WorkflowEntry:
    placement = Placement(where=Where.EDGE, reasons=("it must work when the line is down",))
    return WorkflowEntry(task=Task.CLASSIFY, title=title, owner="desk", placement=placement)


def card(builds: list[Row], packs: list[Row] | None = None, changes: list[Change] | None = None, **more: Any) -> str:
    entries = {"triage": entry(), "sops": entry("Procedures")}
    return page("Acme", builds, packs or [], changes or [], entries, profiles=PROFILES, **more)


def words(text: str) -> str:
    """What is written on a page."""
    found: list[str] = []

    class Words(HTMLParser):
        def handle_data(self, data: str) -> None:
            found.append(data.strip())

    Words().feed(re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))
    return " ".join(word for word in found if word)


def manifest(channel: str, version: int) -> FleetManifest:
    return FleetManifest.model_validate(
        {"channel": channel, "version": version, "issued": MOMENT, "expires": MOMENT + timedelta(days=30)}
    )


@pytest.mark.parametrize(("verdicts", "box", "said"), [
    ([Verdict.PASS], "pass", "Of 1 build, 1 may ship."),
    ([Verdict.PASS, Verdict.INCONCLUSIVE], "inconclusive", "Of 2 builds, 1 not decided yet, 1 may ship."),
    ([Verdict.PASS, Verdict.FAIL], "fail", "Of 2 builds, 1 must not ship, 1 may ship."),
    ([], "inconclusive", "Nothing has been built and measured yet."),
])  # fmt: skip
def test_the_card_says_first_how_much_may_ship(verdicts: list[Verdict], box: str, said: str) -> None:
    text = card([row(profile, one) for profile, one in zip(("edge", "central"), verdicts, strict=False)])
    assert f'<div class="verdict {box}">' in text
    assert words(text).index(said) < words(text).index("Verdicts")


def test_every_build_has_its_figures_and_what_is_not_pass_its_reason() -> None:
    text = words(card([row(), row("central", Verdict.FAIL)]))
    for part in (
        "macro-F1", "0.902 (0.881 to 0.922)", "coverage at 95% precision", "85.7% (83.3% to 87.8%)", "p99 7.33 ms",
        "23.6 MB", "int8", "runs edge: it must work when the line is down", "owner desk",
    ):  # fmt: skip
        assert part in text
    assert text.count("p99: too slow") == 1
    assert "triage--edge." not in text, "what passes needs no reason"


def test_the_glance_tells_what_was_not_measured_from_what_is_not_wanted() -> None:
    text = card([row()])
    glance = text[text.index("<h2>Verdicts") : text.index("<h2>What would change")]
    cells = re.findall(r'<td data-head="(\w*)"[^>]*><span class="text">(.*?)</span>', glance)
    assert cells == [
        ("", "sops"), ("central", ""), ("edge", "not measured"), ("", "triage"), ("central", "not measured"), ("edge", "✓ pass"),
    ]  # fmt: skip


def test_a_build_without_figures() -> None:
    bare = row(standing=Standing("triage--edge", digest_of(b"x"), Verdict.PASS), metrics=(), target=None)
    assert "not measured" in words(card([bare]))


def test_packs_are_told_by_site_class() -> None:
    text = words(card([row()], [row(workflow="sops", site_class="branch", verdict=Verdict.INCONCLUSIVE)]))
    assert "Of 1 build and 1 knowledge pack," in text
    assert "sops for edge, branch" in text
    assert "sops--edge--branch. hardware: another machine is needed" in text
    assert "Knowledge packs" not in words(card([row()]))


def test_what_would_change_comes_with_what_it_is_held_against() -> None:
    before, after = (Standing("triage--edge", digest_of(one), Verdict.PASS) for one in (b"a", b"b"))
    changes = [
        Change("triage--edge", before, after, ("another corpus", "23.6 MB, -1.0 MB")),
        Change("triage--central", None, after, ("stable has none",)),
        Change("sops--edge", before, before, ("the very same files",)),
    ]
    text = card([row()], changes=changes, offered=manifest("candidates", 7), before=manifest("stable", 3))
    said = words(text)
    assert "candidates 7, issued 2026-05-04 12:00 UTC, holds until 2026-06-03" in said
    assert "held against stable 3" in said
    assert said.index("another corpus; 23.6 MB, -1.0 MB") < said.index("stable has none")
    assert "<summary>Unchanged" in text
    nothing = words(card([row()], changes=changes[2:]))
    assert "Nothing: every build and pack is published as it is." in nothing
    assert "neither stable nor canary is published" in nothing


def test_the_card_fetches_nothing_and_shows_texts_as_texts() -> None:
    hostile = '<script src="https://x.example/a.js"></script>'
    text = page(
        hostile, [row(why=hostile, verdict=Verdict.FAIL)], [], [], {"triage": entry(hostile)}, profiles=PROFILES
    )
    assert "<script" not in text
    assert "&lt;script" in text
    assert set(re.findall(r'(?:src|href)="([^"]*)"', text)) == {"data:,"}


def test_the_same_rows_give_the_same_bytes() -> None:
    assert card([row(), row("central")]) == card([row(), row("central")])
