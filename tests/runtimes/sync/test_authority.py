"""The floor falls for later keys only: not for earlier ones, not for the same ones, and each document for its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fleet_manifests import IntegrityError
from fleet_manifests.wire import dump, parse
from runtimes.sync.authority import Authority, authority
from runtimes.sync.floor import Floor, ManifestFloor

pytestmark = pytest.mark.unit
DIGEST = "sha256:" + "0" * 64
HUGE = 2**40


def by(root: int, targets: int, *keys: str) -> Authority:
    return authority(root, targets, keys)


def floor(version: int, under: Authority | None) -> Floor:
    accepted = ManifestFloor(version=version, digest=DIGEST, by=under)
    return Floor(assignment=version, assigned_by=under, manifests={"canary": accepted, "stable": accepted})


OLD = by(1, 5, "a", "b")


def test_the_order_of_keys_says_nothing() -> None:
    assert by(1, 5, "b", "a") == OLD


@pytest.mark.parametrize(
    ("now", "falls"),
    [
        (by(1, 6, "c"), True),
        (by(2, 1, "c"), True),
        (by(2, 1, "a"), True),
        (by(1, 6, "a", "b"), False),
        (by(9, 9, "b", "a"), False),
        (by(1, 5, "c"), False),
        (by(1, 4, "c"), False),
    ],
    ids=["later targets", "later root", "fewer keys", "same keys", "same keys later", "no later", "earlier"],
)
def test_only_other_and_later_keys_lower_the_floor(now: Authority, falls: bool) -> None:
    found = floor(HUGE, OLD).rekeyed("sites", now).rekeyed("canary", now)
    assert found.assignment == (0 if falls else HUGE)
    assert ("canary" in found.manifests) is not falls
    assert found.manifests["stable"].version == HUGE, "each channel for its own keys"


def test_a_floor_that_noted_no_keys_never_falls() -> None:
    assert floor(7, None).rekeyed("sites", by(9, 9, "z")).rekeyed("canary", by(9, 9, "z")) == floor(7, None)


def test_a_floor_of_before_is_read_and_one_of_today_comes_back_whole() -> None:
    assert parse(Floor, b'{"schema_version":1,"assignment":7,"manifests":{}}', where="floor.json").assigned_by is None
    assert parse(Floor, dump(floor(3, OLD)), where="floor.json") == floor(3, OLD)


def test_of_two_copies_the_one_under_later_keys_counts_however_high_the_other_is() -> None:
    forged, recovered = floor(HUGE, OLD), floor(3, by(2, 6, "c"))
    for joined in (forged.joined(recovered), recovered.joined(forged)):
        assert (joined.assignment, joined.assigned_by) == (3, by(2, 6, "c"))
        assert joined.manifests["canary"].version == 3


@pytest.mark.parametrize("other", [OLD, None])
def test_of_two_copies_under_the_same_keys_the_higher_counts(other: Authority | None) -> None:
    for joined in (floor(4, OLD).joined(floor(9, other)), floor(9, other).joined(floor(4, OLD))):
        assert joined.assignment == 9
        assert joined.manifests["stable"].version == 9


def test_a_role_that_targets_does_not_name(running: Any) -> None:
    from runtimes.sync.accept import signed_documents
    from runtimes.sync.site import load_enrolment
    from runtimes.sync.sources import open_source

    enrolment = load_enrolment(running.state)
    now = datetime(2027, 1, 4, 8, tzinfo=UTC)
    documents = signed_documents(running.state, enrolment, open_source(enrolment.source), now)
    documents.refresh()
    assert documents.authority("stable") != documents.authority("canary")
    with pytest.raises(IntegrityError, match="delegates to no role elsewhere"):
        documents.authority("elsewhere")
