"""The release log: what it keeps, and what it refuses to take for what was written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IntegrityError, digest_of, dump
from release import Keys, Release
from release.acts import Promotion
from release.log import HEAD, LogEntry, ReleaseLog, published

pytestmark = pytest.mark.unit
WHEN = datetime(2026, 5, 4, 12, tzinfo=UTC)
Lines = list[bytes]


@pytest.fixture
def log(tmp_path: Path, keys: Keys) -> ReleaseLog:
    """A log with five entries."""
    made = ReleaseLog(tmp_path / "release-log.jsonl", keys)
    for number in range(1, 6):
        made.append("alice", "publish", "stable", number, digest_of(b"%d" % number), f"act {number}", WHEN)
    return made


def test_an_empty_log_is_sound(tmp_path: Path, keys: Keys) -> None:
    log = ReleaseLog(tmp_path / "log", keys)
    log.require_sound()
    assert log.entries() == ()


def test_entries_are_chained_and_come_back_as_written(log: ReleaseLog) -> None:
    entries = log.entries()
    assert [one.number for one in entries] == [1, 2, 3, 4, 5]
    lines = log.path.read_bytes().splitlines()
    assert [one.previous for one in entries[1:]] == [digest_of(line) for line in lines[:-1]]
    assert entries[2] == LogEntry(
        number=3,
        when=WHEN,
        actor="alice",
        action="publish",
        channel="stable",
        version=3,
        digest=digest_of(b"3"),
        reason="act 3",
        previous=digest_of(lines[1]),
    )
    assert published(entries, "stable") == {number: digest_of(b"%d" % number) for number in range(1, 6)}
    assert published(entries, "canary") == {}


def edited(lines: Lines) -> Lines:
    return [*lines[:2], lines[2].replace(b"alice", b"mallory"), *lines[3:]]


def reordered(lines: Lines) -> Lines:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def taken_out(lines: Lines) -> Lines:
    return [*lines[:2], *lines[3:]]


def slipped_in(lines: Lines) -> Lines:
    return [*lines[:2], lines[1], *lines[2:]]


@pytest.mark.parametrize(
    ("change", "line"),
    [(edited, 4), (reordered, 2), (taken_out, 3), (slipped_in, 3)],
    ids=("edited", "reordered", "taken out", "slipped in"),
)
def test_what_is_changed_in_the_middle_shows_with_its_line(
    log: ReleaseLog, change: Callable[[Lines], Lines], line: int
) -> None:
    lines = change(log.path.read_bytes().splitlines())
    log.path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(IntegrityError, match=rf"jsonl:{line}: is not the entry"):
        log.entries()


def test_a_truncated_log_is_refused(log: ReleaseLog) -> None:
    log.path.write_bytes(b"\n".join(log.path.read_bytes().splitlines()[:3]) + b"\n")
    with pytest.raises(IntegrityError, match="was cut off: ends with entry 3, 5 were written"):
        log.entries()
    with pytest.raises(IntegrityError, match="was cut off"):
        log.append("alice", "publish", "stable", 6, digest_of(b"6"), "", WHEN)


def test_a_removed_log_is_refused(log: ReleaseLog) -> None:
    log.path.unlink()
    with pytest.raises(IntegrityError, match="was cut off: ends with entry 0"):
        log.entries()


def test_an_edited_last_entry_is_refused(log: ReleaseLog) -> None:
    log.path.write_bytes(log.path.read_bytes().replace(b"act 5", b"act X"))
    with pytest.raises(IntegrityError, match="does not end with the entry 5"):
        log.entries()
    with pytest.raises(IntegrityError, match="does not end with the entry 5"):
        log.require_sound()


def test_a_whole_chain_written_anew_is_refused(log: ReleaseLog, tmp_path: Path) -> None:
    """Who can write the file but not the key store makes a perfect chain in vain."""
    forged = ReleaseLog(tmp_path / "forged.jsonl", Keys(tmp_path / "other-keys"))
    for number in range(1, 6):
        forged.append("mallory", "publish", "stable", number, digest_of(b"%d" % number), "", WHEN)
    assert len(forged.entries()) == 5
    log.path.write_bytes(forged.path.read_bytes())
    with pytest.raises(IntegrityError, match="does not end with the entry 5"):
        log.entries()


def test_the_log_of_another_project_is_refused(log: ReleaseLog, tmp_path: Path) -> None:
    foreign = ReleaseLog(log.path, Keys(tmp_path / "other-keys"))
    with pytest.raises(IntegrityError, match="has 5 entries, and the key store .* knows of none"):
        foreign.entries()


def test_a_crash_between_key_store_and_file_loses_nothing(log: ReleaseLog) -> None:
    whole = log.path.read_bytes()
    last = whole.splitlines()[-1]
    log.path.write_bytes(whole[: -len(last) - 1])
    log.require_sound()
    with pytest.raises(IntegrityError, match="entry 5 is missing at the end"):
        log.entries()
    log.append("bob", "halt", "stable", None, None, "after the crash", WHEN)
    assert log.path.read_bytes().startswith(whole)
    assert [one.number for one in log.entries()] == [1, 2, 3, 4, 5, 6]


def test_a_line_that_a_crash_left_half_written_is_written_again(log: ReleaseLog) -> None:
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-20])
    log.append("bob", "halt", "stable", None, None, "after the crash", WHEN)
    assert log.path.read_bytes().startswith(whole)
    assert len(log.entries()) == 6


def test_the_head_is_private(log: ReleaseLog, keys: Keys) -> None:
    assert (keys.folder / HEAD).stat().st_mode & 0o077 == 0
    assert keys.read(HEAD) == log.path.read_bytes().splitlines()[-1]


def test_every_publication_is_in_the_log(release: Release, builder: Any) -> None:
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    release.offer([candidate], workflows)
    release.promote("canary", [candidate], workflows)
    stable = release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    told = [(one.actor, one.action, one.channel, one.version) for one in release.desk.log.entries()]
    assert told == [
        ("builder", "publish", "candidates", 1),
        ("builder", "publish", "canary", 1),
        ("alice, bob", "publish", "stable", stable.version),
    ]
    assert release.desk.verify_log() == 3


def test_a_published_version_that_the_log_does_not_know_is_found(release: Release, builder: Any) -> None:
    """As after a crash between publication and log, or where somebody published beside us."""
    with release.repository.edit() as edit:
        act = Promotion([builder.candidate()], {"triage": builder.entry()})
        made = act(release.desk.scene("canary", edit.state), edit)
        assert made is not None
        edit.target("canary/manifest.json", dump(made))
    with pytest.raises(IntegrityError, match="canary version 1 is published as .*, the release log does not know it"):
        release.desk.verify_log()
    assert release.desk.catch_up() == ("canary",)
    assert release.desk.catch_up() == ()
    (entry,) = release.desk.log.entries()
    assert (entry.actor, entry.action, entry.version) == ("unknown", "found", 1)
    assert release.desk.verify_log() == 1


def test_nothing_is_promoted_over_a_broken_log(release: Release, builder: Any, public: Path, files_of: Any) -> None:
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    release.promote("canary", [candidate], workflows)
    path, before = release.desk.log.path, files_of(public)
    path.write_bytes(path.read_bytes().replace(b"builder", b"mallory"))
    with pytest.raises(IntegrityError, match="does not end with the entry 1"):
        release.promote("canary", [builder.candidate(content="new")], workflows)
    assert files_of(public) == before
