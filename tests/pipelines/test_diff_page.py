"""The diff as a page: what an approver reads before signing."""

from __future__ import annotations

import pytest

from fleet_manifests import digest_of
from pipelines.steps.diff_page import counts, page
from pipelines.steps.diffs import Diff, Told

pytestmark = pytest.mark.unit
DIGEST = digest_of(b"manifest")


def diff(*changes: Told, digest: str | None = DIGEST) -> Diff:
    return Diff(channel="stable", before="stable 3", after="stable 4, pending", digest=digest, changes=changes)


def told(section: str = "build", name: str = "triage--edge", kind: str = "changed", *said: str) -> Told:
    return Told.model_validate({"section": section, "name": name, "kind": kind, "said": said or ("another corpus",)})


def test_it_says_between_what_and_what_to_pin() -> None:
    text = page("Acme", diff(told()))
    for word in ("Acme: what changes in stable", "stable 3", "stable 4, pending", DIGEST, "another corpus"):
        assert word in text


def test_without_pending_there_is_nothing_to_pin() -> None:
    assert "digest to approve" not in page("Acme", diff(told(), digest=None))


def test_revocations_are_read_first_and_empty_sections_not_at_all() -> None:
    text = page("Acme", diff(told(), told("revocation", "triage--edge", "new", "must stop")))
    assert text.index("Revocations") < text.index("<h2>Builds")
    assert "Knowledge packs" not in text.split("<body>")[1]


def test_nothing_changes() -> None:
    assert counts(()) == "Nothing but version and dates."
    assert "<table" not in page("Acme", diff())


def test_what_it_shows_is_escaped_and_it_loads_nothing() -> None:
    text = page("<script>alert(1)</script>", diff(told("build", "<img src=x>", "new", "<b>bold</b>")))
    assert "<script" not in text and "<img" not in text and "<b>bold" not in text
    assert "http" not in text.split("<body>")[1]
