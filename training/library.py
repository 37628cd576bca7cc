"""Reading the corpus of a retriever: passages, and the questions that they answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import DataError, Passage
from training.lines import Line, read_lines

PASSAGES = "passages.jsonl"
RECOMMENDED_QUESTIONS = 50
"""Validation questions below which the choice of an epoch is little better than a guess."""


@dataclass(frozen=True)
class Question:
    """What somebody asks, and the passages that answer it, by their place in the library."""

    id: str
    text: str
    relevant: frozenset[int]


@dataclass(frozen=True)
class Library:
    """The passages of a workflow in the order of their ids, and the questions of its splits."""

    passages: tuple[Passage, ...]
    train: tuple[Question, ...]
    """May be empty: headings and sentences of the passages are learned from too."""
    validation: tuple[Question, ...]
    test: tuple[Question, ...]

    @property
    def contents(self) -> list[str]:
        """What is searched and embedded of each passage."""
        return [passage.content for passage in self.passages]

    def notes(self) -> tuple[str, ...]:
        """What a person should know before trusting the result."""
        found = []
        if not self.train:
            found.append("there are no training questions; the retriever learned from headings and sentences alone")
        if len(self.validation) < RECOMMENDED_QUESTIONS:
            found.append(
                f"validation has {len(self.validation)} questions; {RECOMMENDED_QUESTIONS} or more are recommended "
                "to choose an epoch and a weight"
            )
        return tuple(found)


def read_library(folder: Path) -> Library:
    """Read `passages.jsonl`, `train.jsonl`, `validation.jsonl` and `test.jsonl`; `train.jsonl` may be absent or empty.

    Raises:
        DataError: a file is missing or empty, a line is not a passage or a question, an id appears twice, there are
            fewer than two passages, or a question names no passage of the library.
    """
    passages = _read_passages(folder / PASSAGES)
    places = {passage.id: place for place, passage in enumerate(passages)}
    train = folder / "train.jsonl"
    return Library(
        passages=passages,
        train=_read_questions(train, places) if train.exists() else (),
        validation=_some(folder / "validation.jsonl", places),
        test=_some(folder / "test.jsonl", places),
    )


def _read_passages(path: Path) -> tuple[Passage, ...]:
    """The passages, sorted by id."""
    found = [_passage(line) for line in read_lines(path, "the fields of a passage")]
    _require_distinct([passage.id for passage in found], path)
    if len(found) < 2:
        raise DataError(f"{path}: expected at least 2 passages to tell apart, found {len(found)}; add documents")
    return tuple(sorted(found, key=lambda passage: passage.id))


def _passage(line: Line) -> Passage:
    """One passage."""
    from pydantic import ValidationError

    try:
        return Passage.model_validate(line.data)
    except ValidationError as exc:
        first = exc.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{line.where}: {field}: {first['msg']}; build the corpus again") from exc


def _some(path: Path, places: dict[str, int]) -> tuple[Question, ...]:
    """The questions of a split that must have some."""
    found = _read_questions(path, places)
    if not found:
        raise DataError(f"{path}: expected questions, found none; add some that the library answers")
    return found


def _read_questions(path: Path, places: dict[str, int]) -> tuple[Question, ...]:
    """The questions of a file, in file order."""
    found = tuple(
        Question(line.text("id"), line.text("text"), _relevant(line, places))
        for line in read_lines(path, "id, text and relevant")
    )
    _require_distinct([question.id for question in found], path)
    return found


def _relevant(line: Line, places: dict[str, int]) -> frozenset[int]:
    """The places of the passages that answer a question."""
    named = line.data.get("relevant")
    if not isinstance(named, list) or not named:
        raise DataError(f"{line.where}: relevant: expected ids of passages, found {named!r}; name one or drop the row")
    for id_ in named:
        if not isinstance(id_, str) or id_ not in places:
            raise DataError(f"{line.where}: relevant: the library has no passage {id_!r}; build the corpus again")
    return frozenset(places[id_] for id_ in named)


def _require_distinct(ids: list[str], path: Path) -> None:
    """Refuse an id that names two things."""
    twice = [id_ for id_, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"{path}: the id {twice[0]!r} appears twice; build the corpus again")
