"""Questions to a library: a split of a retrieval corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import DataError, IntegrityError, SplitRef, Wire, parse, sha256_of


class Question(Wire):
    """One question, and the passages that answer it."""

    id: str
    text: str
    relevant: tuple[str, ...] = ()
    """Ids of passages; empty: the library does not answer it."""
    slices: dict[str, str] = {}
    """What kind of question it is, for example `{"style": "spoken"}`."""


@dataclass(frozen=True)
class QuestionSplit:
    """The questions of one corpus file, and which bytes they came from."""

    ref: SplitRef
    questions: tuple[Question, ...]


def read_questions(corpus: Path, name: str) -> QuestionSplit:
    """Read `<name>.jsonl` of a retrieval corpus.

    Raises:
        DataError: the file is missing or empty, a line is not a question, or an answerable one names no passage.
    """
    path = corpus / f"{name}.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{path}: expected lines of questions: {exc}; build the corpus again") from exc
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            question = parse(Question, line.encode(), where=f"{path}:{number}")
        except IntegrityError as exc:
            raise DataError(f"{exc}; build the corpus again") from exc
        if not question.relevant and not name.startswith("oos_"):
            raise DataError(f"{path}:{number}: relevant: expected at least one passage, found none")
        found.append(question)
    if not found:
        raise DataError(f"{path}: no question; the {name} split needs at least one")
    return QuestionSplit(SplitRef(name=name, digest=sha256_of(path), n=len(found)), tuple(found))


def read_unanswered(corpus: Path, name: str) -> tuple[Question, ...]:
    """The questions of an `oos_` file; none where the corpus has no such file."""
    return read_questions(corpus, name).questions if (corpus / f"{name}.jsonl").is_file() else ()
