"""The centre's books: deferrals and their answers, the human queue, tokens, the audit.

All SQL of the centre is in this module and in `runtimes.ledger`. A text is kept only while
and after a person is asked; what a bundle answers leaves a digest of the request behind.
"""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import UsageError, digest_of, dump, parse
from runtimes import tokens
from runtimes.deferrals import CentralAnswer, Deferral, ProducedBy
from runtimes.ledger import Ledger, now
from runtimes.problems import ConflictError, NotFoundError

_TABLES = """
CREATE TABLE IF NOT EXISTS deferrals (
    site TEXT NOT NULL, id TEXT NOT NULL, workflow TEXT NOT NULL, digest TEXT NOT NULL, status TEXT NOT NULL,
    received TEXT NOT NULL, deferral TEXT, answer TEXT NOT NULL, PRIMARY KEY (site, id));
CREATE INDEX IF NOT EXISTS deferrals_by_status ON deferrals (status, received);
CREATE TABLE IF NOT EXISTS tokens (site TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, made TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Question:
    """A deferral that waits for a person, with the centre's own guess in `answer`."""

    deferral: Deferral
    answer: CentralAnswer
    received: str


class Store:
    """The centre's database.

    Args:
        path: the SQLite file.

    Raises:
        StorageError: as `runtimes.ledger.Ledger`.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the database."""
        self.ledger = Ledger(path, _TABLES)

    def close(self) -> None:
        """Close the database."""
        self.ledger.close()

    def find(self, site: str, request_id: str) -> CentralAnswer | None:
        """What became of a deferral, or None if it never came."""
        rows = self.ledger.rows("SELECT answer FROM deferrals WHERE site = ? AND id = ?", site, request_id)
        return _answer(rows[0]) if rows else None

    def known(self, deferral: Deferral) -> CentralAnswer | None:
        """The answer to this very deferral, if it came before.

        Raises:
            ConflictError: another deferral came under the same site and id.
        """
        rows = self.ledger.rows(
            "SELECT digest, answer FROM deferrals WHERE site = ? AND id = ?", deferral.site, deferral.id
        )
        if not rows:
            return None
        if rows[0]["digest"] != digest_of(dump(deferral)):
            raise ConflictError(f"request {deferral.id} of {deferral.site} came before with another content")
        return _answer(rows[0])

    def keep(self, deferral: Deferral, answer: CentralAnswer) -> CentralAnswer:
        """Keep a deferral with its first answer and write both into the audit.

        Returns:
            The answer that is kept: an earlier one, if the deferral came twice at once.
        """
        asked = dump(deferral).decode() if answer.status == "human" else None
        with self.ledger.transaction() as database:
            row = (deferral.site, deferral.id, deferral.workflow, digest_of(dump(deferral)), answer.status, now())
            added = database.execute(
                "INSERT OR IGNORE INTO deferrals VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, asked, dump(answer).decode())
            )
            if added.rowcount:
                line = deferral.model_dump(mode="json", exclude={"text"}, exclude_none=True)
                said = answer.model_dump(mode="json", exclude_none=True, exclude={"passages": {"__all__": {"text"}}})
                self.ledger.append(
                    database, "deferral", f"{deferral.site}/{deferral.id}", {"deferral": line, "answer": said}
                )
        return self.known(deferral) or answer

    def queue(self, *, limit: int = 100) -> list[Question]:
        """What waits for a person, oldest first."""
        rows = self.ledger.rows(
            "SELECT deferral, answer, received FROM deferrals WHERE status = 'human' ORDER BY received LIMIT ?", limit
        )
        return [Question(parse(Deferral, row["deferral"].encode()), _answer(row), row["received"]) for row in rows]

    def answer(self, site: str, request_id: str, *, label: str, person: str) -> CentralAnswer:
        """Answer a queued deferral in a person's name.

        Raises:
            NotFoundError: no such deferral.
            ConflictError: it does not wait for a person.
        """
        with self.ledger.transaction() as database:
            row = database.execute(
                "SELECT status, answer FROM deferrals WHERE site = ? AND id = ?", (site, request_id)
            ).fetchone()
            if row is None:
                raise NotFoundError(
                    f"request {request_id!r} of site {site!r} is not here; see `lading-central queue list`"
                )
            if row["status"] != "human":
                raise ConflictError(f"request {request_id} of {site} does not wait for a person: it is {row['status']}")
            answer = CentralAnswer(
                site=site,
                id=request_id,
                status="answered",
                label=label,
                reason=f"{person} answered",
                produced_by=ProducedBy(where="central", person=person),
            )
            database.execute(
                "UPDATE deferrals SET status = 'answered', answer = ? WHERE site = ? AND id = ?",
                (dump(answer).decode(), site, request_id),
            )
            self.ledger.append(
                database, "person", f"{site}/{request_id}", answer.model_dump(mode="json", exclude_none=True)
            )
        return answer

    def workflow_of(self, site: str, request_id: str) -> str | None:
        """The workflow that a deferral asked, or None if it never came."""
        rows = self.ledger.rows("SELECT workflow FROM deferrals WHERE site = ? AND id = ?", site, request_id)
        return str(rows[0]["workflow"]) if rows else None

    def new_token(self, site: str) -> str:
        """Make a site's token; an older one of that site stops working. Only its digest is kept."""
        token = tokens.new_token()
        with self.ledger.transaction() as database:
            database.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)", (site, tokens.digest(token), now()))
            self._log(database, site, "token made")
        return token

    def revoke_token(self, site: str) -> None:
        """Take a site's token away.

        Raises:
            UsageError: the site has none.
        """
        with self.ledger.transaction() as database:
            if not database.execute("DELETE FROM tokens WHERE site = ?", (site,)).rowcount:
                raise UsageError(f"site {site!r} has no token; `lading-central status` lists the sites that have one")
            self._log(database, site, "token revoked")

    def site_of(self, token: str) -> str | None:
        """The site that a token was made for, or None."""
        digest = tokens.digest(token)
        for row in self.ledger.rows("SELECT site, digest FROM tokens WHERE digest = ?", digest):
            if tokens.same(row["digest"], digest):
                return str(row["site"])
        return None

    def counts(self) -> dict[str, int]:
        """How many deferrals are in each status, and how many records the audit has."""
        rows = self.ledger.rows("SELECT status, count(*) AS n FROM deferrals GROUP BY status")
        total = self.ledger.rows("SELECT count(*) AS n FROM records")[0]["n"]
        none = dict.fromkeys(("answered", "human", "recorded"), 0)
        return none | {row["status"]: row["n"] for row in rows} | {"records": total}

    def sites(self) -> dict[str, str]:
        """Sites that have a token, and when it was made."""
        return {row["site"]: row["made"] for row in self.ledger.rows("SELECT site, made FROM tokens ORDER BY site")}

    def _log(self, database: sqlite3.Connection, site: str, event: str) -> None:
        """An audit line about a token, never with the token."""
        self.ledger.append(database, "token", f"{site}/{uuid.uuid4().hex}", {"site": site, "event": event})


def _answer(row: sqlite3.Row) -> CentralAnswer:
    """The answer in a row."""
    return parse(CentralAnswer, row["answer"].encode(), where="stored answer")
