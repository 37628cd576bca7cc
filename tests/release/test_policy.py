"""The fleet policy."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from release import Expiry, Policy

pytestmark = pytest.mark.unit


def test_defaults_are_those_of_the_key_table() -> None:
    policy = Policy(managers=("alice", "bob"))
    days = {role: policy.lifetime(role).days for role in ("root", "targets", "stable", "canary", "candidates")}
    assert days == {"root": 365, "targets": 180, "stable": 90, "canary": 30, "candidates": 30}
    assert policy.lifetime("snapshot") == timedelta(days=7)
    assert policy.lifetime("sites") == policy.lifetime("sites-bin-a") == timedelta(days=30)
    assert policy.stable_threshold == 2


def test_the_timestamp_follows_the_outage_unless_it_is_said() -> None:
    policy = Policy(managers=("alice", "bob"), max_offline_hours=100)
    assert policy.lifetime("timestamp") == timedelta(hours=100)
    said = Policy(managers=("alice", "bob"), expiry=Expiry(timestamp=2))
    assert said.lifetime("timestamp") == timedelta(days=2)


def test_every_lifetime_can_be_overridden() -> None:
    policy = Policy(managers=("a", "b"), expiry=Expiry(root=100, stable=10, sites=3))
    assert [policy.lifetime(role).days for role in ("root", "stable", "sites-bin-0")] == [100, 10, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"managers": ()}, "managers"),
        ({"managers": ("alice",)}, "stable_threshold is 2, but only 1 managers are named"),
        ({"managers": ("alice", "alice")}, "a release manager is named twice"),
        ({"managers": ("alice", "../bob")}, "managers.1"),
        ({"managers": ("alice", "bob"), "stable_threshold": 0}, "stable_threshold"),
        ({"managers": ("alice", "bob"), "expiry": {"root": 0}}, "expiry.root"),
        ({"managers": ("alice", "bob"), "threshold": 1}, "threshold"),
        ({"managers": ("alice", "bob"), "max_offline_hours": 0}, "max_offline_hours"),
    ],
)
def test_a_policy_that_cannot_hold_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Policy.model_validate(changes)


def test_one_manager_is_possible_when_it_is_said() -> None:
    assert Policy(managers=("alice",), stable_threshold=1).stable_threshold == 1
