"""What expires: the most urgent first, with the command that renews it."""

from __future__ import annotations

from typing import Any

import pytest

from release import Release, expiries

pytestmark = pytest.mark.unit


@pytest.fixture
def published(release: Release, builder: Any, clock: Any) -> Release:
    """A release with something in canary and stable."""
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    release.promote("canary", [candidate], workflows)
    release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    return release


def states(release: Release) -> dict[str, str]:
    return {line.what: line.state for line in expiries(release.status(), release.now())}


def test_every_role_and_manifest_is_a_line_and_the_bins_are_one(published: Release) -> None:
    assert set(states(published)) == {
        *(f"role {name}" for name in ("root", "targets", "snapshot", "timestamp", "sites", "sites-bin-*")),
        *(f"role {name}" for name in ("candidates", "canary", "stable")),
        *(f"manifest {name}" for name in ("canary", "stable")),
    }


def test_a_new_release_has_nothing_to_renew(published: Release) -> None:
    assert set(states(published).values()) == {"holds"}


def test_the_most_urgent_comes_first(published: Release) -> None:
    found = expiries(published.status(), published.now())
    assert found[0].what == "role snapshot"
    assert [line.expires for line in found] == sorted(line.expires for line in found)
    assert found[-1].what == "role root"
    assert found[-1].days_left == 365


@pytest.mark.parametrize(
    ("what", "days", "command"),
    [
        ("role snapshot", 7, "lading release publish"),
        ("role timestamp", 30, "lading release publish"),
        ("role sites-bin-*", 30, "lading release publish"),
        ("role canary", 30, "lading release promote canary"),
        ("manifest canary", 30, "lading release promote canary"),
        ("role candidates", 30, "lading build"),
        ("role stable", 90, "lading release promote stable"),
        ("manifest stable", 90, "lading release promote stable"),
        ("role targets", 180, "lading release ceremony renew"),
        ("role root", 365, "lading release ceremony renew"),
    ],
)
def test_it_is_said_in_time_and_with_the_command(
    published: Release, clock: Any, what: str, days: int, command: str
) -> None:
    def line() -> Any:
        return next(one for one in expiries(published.status(), published.now()) if one.what == what)

    clock.forward(days=days - min(days / 2, 30), minutes=-1)
    assert (line().state, line().renew) == ("holds", command)
    clock.forward(minutes=2)
    assert line().state == "soon"
    clock.forward(days=min(days / 2, 30), minutes=-2)
    assert line().state == "soon"
    clock.forward(minutes=1)
    assert line().state == "expired"


def test_a_role_is_told_soon_when_its_clock_says_so(published: Release, clock: Any) -> None:
    clock.forward(days=5)
    assert {what for what, state in states(published).items() if state != "holds"} == {"role snapshot"}
    clock.forward(days=3)
    assert states(published)["role snapshot"] == "expired"
    clock.forward(days=335)
    found = states(published)
    assert (found["role root"], found["role targets"], found["manifest stable"]) == ("soon", "expired", "expired")


def test_the_sentence_names_date_and_command(published: Release, clock: Any) -> None:
    clock.forward(days=5)
    line = expiries(published.status(), published.now())[0]
    assert line.said == (
        f"role snapshot, version {line.version}, expires on {line.expires:%Y-%m-%d %H:%M} UTC, in 2 days; "
        "renew it: `lading release publish`"
    )
    clock.forward(days=3)
    line = expiries(published.status(), published.now())[0]
    assert "expired on" in line.said
    assert line.days_left < 0
