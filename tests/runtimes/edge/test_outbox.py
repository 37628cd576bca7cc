"""The outbox and its ledger: durable, append-only, tamper-evident."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_manifests import IntegrityError, StorageError
from runtimes.deferrals import CentralAnswer, ProducedBy
from runtimes.edge.outbox import Outbox
from runtimes.ledger import GENESIS
from runtimes.problems import ConflictError

pytestmark = pytest.mark.unit

BODY = {"workflow": "w", "status": "deferred", "confidence": 0.25}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "outbox.db")
    yield made
    made.close()


def answer(request_id: str, status: str = "answered") -> CentralAnswer:
    return CentralAnswer.model_validate(
        {"site": "s", "id": request_id, "status": status, "reason": "r", "produced_by": ProducedBy(where="central")}
    )


def test_records_are_chained_from_the_first(outbox: Outbox) -> None:
    assert outbox.ledger.verify() == (0, GENESIS)
    first, second = outbox.add("a", BODY), outbox.add("b", BODY)
    assert (first.seq, second.seq) == (1, 2)
    assert outbox.ledger.verify() == (2, second.hash)
    assert outbox.ledger.records() == [first, second]


def test_a_request_and_its_deferral_are_one(outbox: Outbox) -> None:
    with pytest.raises(ConflictError):
        outbox.add("a", BODY, deferred=True, text="x")
        outbox.add("a", BODY, deferred=True, text="y")
    (waiting,) = outbox.waiting("queued")
    assert waiting.text == "x"
    assert outbox.counts()["records"] == 1


def test_settling_twice_changes_nothing(outbox: Outbox) -> None:
    outbox.add("a", BODY, deferred=True, text="x")
    outbox.settle(answer("a"))
    before = outbox.ledger.verify()
    outbox.settle(answer("a"))
    outbox.settle(answer("a", "human"))
    outbox.settle(answer("never-asked"))
    assert outbox.ledger.verify() == before
    found = outbox.find("a")
    assert found is not None
    assert (found.state, found.answer) == ("answered", answer("a"))


def test_a_refused_deferral_keeps_its_text_for_a_person(outbox: Outbox) -> None:
    outbox.add("a", BODY, deferred=True, text="x")
    outbox.refuse("a", "never")
    outbox.refuse("a", "never again")
    assert outbox.waiting("queued") == []
    assert outbox.ledger.rows("SELECT text FROM deferrals")[0]["text"] == b"x"
    assert len(outbox.ledger.records("delivery-refused")) == 1


def test_one_that_fails_again_and_again_lets_the_others_pass(outbox: Outbox) -> None:
    for name in "abc":
        outbox.add(name, BODY, deferred=True, text=name)
    outbox.postpone("a", "central: status 500")
    assert [one.record.id for one in outbox.waiting("queued")] == ["b", "c", "a"]


def test_texts_are_digested_under_a_key_of_this_site(outbox: Outbox, tmp_path: Path) -> None:
    assert outbox.digest("short") == outbox.digest("short") != outbox.digest("short ")
    other = Outbox(tmp_path / "other.db")
    assert other.digest("short") != outbox.digest("short")
    other.close()
    again = Outbox(tmp_path / "outbox.db")
    assert again.digest("short") == outbox.digest("short")
    again.close()


@pytest.mark.parametrize("statement", ["UPDATE records SET body = '{}'", "DELETE FROM records"])
def test_records_cannot_be_changed_by_accident(outbox: Outbox, statement: str) -> None:
    outbox.add("a", BODY)
    with pytest.raises(StorageError, match="append-only"), outbox.ledger.transaction() as database:
        database.execute(statement)
    assert outbox.ledger.verify()[0] == 1


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE records SET body = replace(body, '0.25', '0.95') WHERE seq = 2", 2),
        ("UPDATE records SET time = '2020-01-01T00:00:00.000+00:00' WHERE seq = 3", 3),
        ("UPDATE records SET id = 'x' WHERE seq = 1", 1),
        ("DELETE FROM records WHERE seq = 2", 2),
        ("DELETE FROM records WHERE seq = 1", 1),
        ("UPDATE records SET seq = seq + 10 WHERE seq = 4", 4),
        ("UPDATE records SET hash = (SELECT hash FROM records WHERE seq = 1) || 'x' WHERE seq = 3", 3),
    ],
)
def test_tampering_is_found_and_the_place_is_named(outbox: Outbox, statement: str, seq: int) -> None:
    for name in "abcd":
        outbox.add(name, BODY)
    with sqlite3.connect(outbox.ledger.path) as thief:
        thief.execute("DROP TRIGGER records_are_not_changed")
        thief.execute("DROP TRIGGER records_are_not_removed")
        thief.execute(statement)
    with pytest.raises(IntegrityError, match=f"record {seq} is"):
        outbox.ledger.verify()


def test_a_forged_record_with_a_right_hash_breaks_its_successor(outbox: Outbox) -> None:
    from runtimes.ledger import chained

    first = outbox.add("a", BODY)
    outbox.add("b", BODY)
    forged = chained(GENESIS, 1, "request", "a", first.time, "{}")
    with sqlite3.connect(outbox.ledger.path) as thief:
        thief.execute("DROP TRIGGER records_are_not_changed")
        thief.execute("UPDATE records SET body = '{}', hash = ? WHERE seq = 1", (forged,))
    with pytest.raises(IntegrityError, match="record 2 is not what was written"):
        outbox.ledger.verify()


WRITER = """
import sys
from pathlib import Path
from runtimes.edge.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
for n in range(100000):
    outbox.add(f"{sys.argv[2]}-{n}", {"status": "deferred"}, deferred=True, text=f"text {n}")
    print(f"{sys.argv[2]}-{n}", flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    acknowledged: list[str] = []
    for round_ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(round_)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(20 + 7 * round_):
                acknowledged.append(writer.stdout.readline().strip())
            writer.kill()
            acknowledged += writer.stdout.read().split()
    outbox = Outbox(path)
    count, _ = outbox.ledger.verify()
    queued = {one.record.id for one in outbox.waiting("queued", limit=10**6)}
    assert set(acknowledged) - {""} <= queued
    assert count == len(queued)
    outbox.close()


def test_threads_and_connections_share_one_chain(tmp_path: Path) -> None:
    boxes = [Outbox(tmp_path / "outbox.db") for _ in range(2)]

    def write(box: Outbox, name: str) -> None:
        for n in range(15):
            box.add(f"{name}{n}", BODY, deferred=True, text="x")

    threads = [threading.Thread(target=write, args=(boxes[n % 2], f"t{n}-")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert boxes[0].ledger.verify()[0] == 60
    for box in boxes:
        box.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    path.write_text("notes of a person, long enough to be taken for a header" * 20)
    with pytest.raises(StorageError, match=r"outbox\.db: file is not a database"):
        Outbox(path)
    assert path.read_text().startswith("notes of a person")


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Outbox(tmp_path / "file" / "outbox.db")


def test_a_commit_is_on_the_disk_when_it_returns(outbox: Outbox) -> None:
    """What `kill -9` cannot show and a power cut would: every commit waits for the disk."""
    assert outbox.ledger.rows("PRAGMA synchronous")[0][0] == 2
    assert outbox.ledger.rows("PRAGMA journal_mode")[0][0] == "wal"
