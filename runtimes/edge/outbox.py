"""The site's durable memory: what was asked, what the centre must still learn, what it said.

Every request is one record of an append-only, hash-chained ledger; it holds a keyed digest of
the text, never the text. The text of a deferred request waits in the table `deferrals` until
the centre has it, and is erased then. A request and its deferral are written in one
transaction, before anything leaves the site, so that a crash loses neither.

Delivery is exactly once: at least once from here, under the request's id as idempotency key,
and at most once into the centre's books.

Texts pass `_seal` and `_open` on their way to and from the disk: the one place where
encryption at rest belongs. Today they are stored as they are, in a file of the owner's only.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fleet_manifests import dump, parse
from runtimes.deferrals import CentralAnswer
from runtimes.ledger import Ledger, Record
from runtimes.problems import ConflictError

State = Literal["queued", "pending", "answered", "recorded", "refused"]
"""`queued`: the centre does not have it. `pending`: a person there has it. The rest is final."""

_TABLES = """
CREATE TABLE IF NOT EXISTS deferrals (
    id TEXT PRIMARY KEY, text BLOB, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    problem TEXT, answer TEXT);
CREATE INDEX IF NOT EXISTS deferrals_by_state ON deferrals (state);
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
_FINAL: dict[str, State] = {"answered": "answered", "human": "pending", "recorded": "recorded"}


@dataclass(frozen=True)
class Waiting:
    """A deferral that is not over: its record, and its text where the text is still needed."""

    record: Record
    text: str | None
    state: State


@dataclass(frozen=True)
class Asked:
    """A request made earlier, and what became of it if it was deferred."""

    record: Record
    state: State | None = None
    answer: CentralAnswer | None = None
    problem: str | None = None


class Outbox:
    """The outbox of one site.

    Args:
        path: the database file.

    Raises:
        StorageError: as `Ledger`.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the database."""
        self.ledger = Ledger(path, _TABLES)
        with self.ledger.transaction() as database:
            database.execute("INSERT OR IGNORE INTO secrets VALUES ('digest', ?)", (secrets.token_bytes(32),))
        self._key = bytes(self.ledger.rows("SELECT value FROM secrets WHERE name = 'digest'")[0]["value"])

    def close(self) -> None:
        """Close the database."""
        self.ledger.close()

    def digest(self, text: str) -> str:
        """Digest of a text under this site's key: notes are short, a plain hash of one could be guessed."""
        return "hmac-sha256:" + hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def add(
        self, request_id: str, body: Mapping[str, Any], *, deferred: bool = False, text: str | None = None
    ) -> Record:
        """Write a request, and queue it for the centre if it was deferred.

        Args:
            id: the request's id.
            body: the audit line, without the text.
            deferred: whether the centre must hear of it.
            text: what the centre may read; None where the text stays here.

        Raises:
            ConflictError: a request of that id is there already.
            StorageError: not written at all.
        """
        with self.ledger.transaction() as database:
            if database.execute("SELECT 1 FROM records WHERE kind = 'request' AND id = ?", (request_id,)).fetchone():
                raise ConflictError(f"request {request_id}: the id was used before; choose another")
            record = self.ledger.append(database, "request", request_id, body)
            if deferred:
                sealed = None if text is None else _seal(text)
                database.execute(
                    "INSERT INTO deferrals (id, text, state) VALUES (?, ?, 'queued')", (request_id, sealed)
                )
        return record

    def exception(self, request_id: str, body: Mapping[str, Any]) -> Record:
        """Write that a request could not be handled, and why."""
        with self.ledger.transaction() as database:
            return self.ledger.append(database, "exception", request_id, body)

    def find(self, request_id: str) -> Asked | None:
        """What became of a request, or None if it was never made."""
        record = self.ledger.record("request", request_id)
        if record is None:
            return None
        rows = self.ledger.rows("SELECT state, answer, problem FROM deferrals WHERE id = ?", request_id)
        if not rows:
            return Asked(record)
        answer = rows[0]["answer"]
        read = None if answer is None else parse(CentralAnswer, answer.encode(), where=f"answer to {request_id}")
        return Asked(record, rows[0]["state"], read, rows[0]["problem"])

    def waiting(self, state: State, *, limit: int = 100) -> list[Waiting]:
        """Deferrals in that state, the least tried first, then the oldest: none holds the others up."""
        rows = self.ledger.rows(
            "SELECT d.id, d.text, r.seq FROM deferrals d JOIN records r ON r.kind = 'request' AND r.id = d.id "
            "WHERE d.state = ? ORDER BY d.attempts, r.seq LIMIT ?",
            state,
            limit,
        )
        return [found for row in rows if (found := self._waiting(row["id"], row["text"], state))]

    def settle(self, answer: CentralAnswer) -> None:
        """Keep the centre's answer, erase the text, and write the delivery down; a repetition changes nothing."""
        state = _FINAL[answer.status]
        with self.ledger.transaction() as database:
            row = database.execute("SELECT state FROM deferrals WHERE id = ?", (answer.id,)).fetchone()
            if row is None or row["state"] not in ("queued", "pending") or row["state"] == state:
                return
            database.execute(
                "UPDATE deferrals SET state = ?, answer = ?, text = NULL, problem = NULL, attempts = attempts + 1 "
                "WHERE id = ?",
                (state, dump(answer).decode(), answer.id),
            )
            line = answer.model_dump(mode="json", exclude_none=True, exclude={"passages": {"__all__": {"text"}}})
            self.ledger.append(database, f"delivery-{state}", answer.id, line)
        self.ledger.erase()

    def refuse(self, request_id: str, problem: str) -> None:
        """The centre will never take it: keep it, with its text, out of the queue, for a person to look at."""
        with self.ledger.transaction() as database:
            changed = database.execute(
                "UPDATE deferrals SET state = 'refused', problem = ?, attempts = attempts + 1 "
                "WHERE id = ? AND state = 'queued'",
                (problem, request_id),
            )
            if changed.rowcount:
                self.ledger.append(database, "delivery-refused", request_id, {"problem": problem})

    def postpone(self, request_id: str, problem: str) -> None:
        """It could not be delivered now; it stays where it is."""
        with self.ledger.transaction() as database:
            database.execute(
                "UPDATE deferrals SET attempts = attempts + 1, problem = ? WHERE id = ?", (problem, request_id)
            )

    def counts(self) -> dict[str, int]:
        """How many deferrals are in each state, and how many records there are."""
        rows = self.ledger.rows("SELECT state, count(*) AS n FROM deferrals GROUP BY state")
        states: dict[str, int] = dict.fromkeys(("queued", "pending", "answered", "recorded", "refused"), 0)
        total = self.ledger.rows("SELECT count(*) AS n FROM records")[0]["n"]
        return states | {row["state"]: row["n"] for row in rows} | {"records": total}

    def _waiting(self, request_id: str, text: bytes | None, state: State) -> Waiting | None:
        """A row as a value."""
        record = self.ledger.record("request", request_id)
        return None if record is None else Waiting(record, None if text is None else _open(text), state)


def _seal(text: str) -> bytes:
    """What is stored of a text."""
    return text.encode()


def _open(sealed: bytes) -> str:
    """The text of what was stored."""
    return sealed.decode()
