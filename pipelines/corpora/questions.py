"""Questions that prove a library, and the passages that answer them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from evals.questions import Question
from fleet_manifests import ConfigError, DataError, Passage
from pipelines.corpora.rows import clean

KNOWN = frozenset({"id", "text", "relevant", "answers"})
"""Fields of a question with a meaning; any other is a slice of the report."""


class Answers:
    """Finds the passages that a question names, by id or by document and section."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        """Look up passages of one library."""
        self._ids = {passage.id for passage in passages}
        self._sections: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for passage in passages:
            sections = self._sections[passage.document.casefold()]
            for heading in {passage.title if not passage.section else "", *passage.section[-1:]} - {""}:
                sections[_plain(heading)].append(passage.id)

    def find(self, record: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """The ids of the passages that answer a question.

        Raises:
            DataError: it names none, or one that the library does not have.
        """
        named = _listed(record.get("relevant"))
        for one in named:
            if one not in self._ids:
                raise DataError(f"{where}: relevant: the library has no passage {one!r}{_near(one, self._ids)}")
        answers = record.get("answers") or []
        if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
            raise DataError(f"{where}: answers: expected a list of document and section, found {answers!r}")
        found = [*named, *(id_ for one in answers for id_ in self._section(one, where))]
        if not found:
            raise DataError(f"{where}: names no passage; give relevant or answers, or move it to the unanswered file")
        return tuple(dict.fromkeys(found))

    def _section(self, answer: Mapping[str, Any], where: str) -> list[str]:
        """The passages of one section; a long one has several."""
        document, section = str(answer.get("document", "")), str(answer.get("section", ""))
        sections = self._sections.get(document.casefold())
        if sections is None:
            raise DataError(f"{where}: answers: the library has no document {document!r}")
        found = sections.get(_plain(section))
        if not found:
            raise DataError(
                f"{where}: answers: document {document} has no section {section!r}{_near(_plain(section), sections)}"
            )
        return found


def parse_questions(records: Sequence[Mapping[str, Any]], where: str, answers: Answers | None) -> list[Question]:
    """Check records and make questions of them, in file order.

    Args:
        records: of one file, with the same columns.
        where: the file, for errors.
        answers: finds the passages; None: the library answers none of these questions.

    Raises:
        ConfigError: a column is missing.
        DataError: no question, a blank text, an id that appears twice, an answer that is not in the library.
    """
    if not records:
        raise DataError(f"{where}: no question; at least one is needed")
    if "text" not in records[0]:
        raise ConfigError(f"{where}: no column text for the question; there are: {', '.join(records[0])}")
    found: dict[str, Question] = {}
    for record in records:
        id_, text = str(record["id"]), record["text"]
        if not isinstance(text, str) or not clean(text):
            raise DataError(f"{where}: question {id_}: text: expected words, found {text!r}; fill it or leave it out")
        if id_ in found:
            raise DataError(f"{where}: the id {id_} appears twice; an id names one question")
        relevant = answers.find(record, f"{where}: question {id_}") if answers else ()
        slices = {name: str(value) for name, value in record.items() if name not in KNOWN and value not in (None, "")}
        found[id_] = Question(id=id_, text=clean(text), relevant=relevant, slices=slices)
    return list(found.values())


def _listed(value: object) -> list[str]:
    """Passage ids as a list, or as one text with semicolons as CSV has it."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(";") if part.strip()]
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _plain(heading: str) -> str:
    """A heading without case, spacing and the number of its part."""
    text = " ".join(heading.casefold().split())
    head, _, tail = text.rpartition(" (part ")
    return head if head and tail.rstrip(")").isdigit() else text


def _near(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else "; correct the question, or renew the snapshot"
