"""The corpus of a `retrieve` workflow: a frozen library and the questions that prove it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from evals.questions import Question
from fleet_manifests import DataClass, DataError, Digest, Name, Passage, Wire, digest_of, dump, parse, sha256_of
from fleet_manifests.knowledge import library_digest
from pipelines.corpora import leakage
from pipelines.corpora.card import CARD_FILE, SourceCard, Words, table, words, write_whole
from pipelines.corpora.files import read_records
from pipelines.corpora.questions import Answers, parse_questions
from pipelines.corpora.rows import Row
from pipelines.corpora.spec import LibraryCorpusSpec, QuestionFiles

PASSAGES_FILE = "passages.jsonl"
SPLITS = {"train": "train", "validation": "validation", "test": "test"}
OUTSIDE = {"unanswered_validation": "oos_validation", "unanswered_test": "oos_test"}


class QuestionsCard(Wire):
    """One file of questions."""

    digest: Digest
    questions: int
    passages: int
    """Different passages that answer them."""
    slices: dict[str, int] = {}
    """Questions by `slice=value`."""
    words: Words


class LibraryCard(Wire):
    """What a library corpus is. `digest` covers passages and questions, and nothing else."""

    schema_version: Literal[1] = 1
    kind: Literal["library"] = "library"
    workflow: Name
    digest: Digest
    library: Digest
    """Of the passages."""
    documents: Annotated[int, Field(ge=1)]
    passages: Annotated[int, Field(ge=1)]
    words: Words
    """Of the passages."""
    site_classes: dict[str, int] = {}
    """Passages by site class; `every` for those that are for all."""
    review: dict[str, int] = {}
    """Passages by the year of their review date."""
    splits: dict[str, QuestionsCard]
    removed: dict[str, int] = {}
    """Questions taken out because a later split asks nearly the same, by split."""
    sources: tuple[SourceCard, ...]
    data_classes: tuple[DataClass, ...]
    licences: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The card for a person to read."""
        facts = {
            "digest": f"`{self.digest}`",
            "library": f"{self.passages} passages of {self.documents} documents, `{self.library[:19]}`",
            "words of a passage p50 / p90 / p99 / max": str(self.words),
            "site classes": ", ".join(f"{name} {n}" for name, n in self.site_classes.items()),
            "to be reviewed in": ", ".join(f"{year} {n}" for year, n in self.review.items()) or "not stated",
            "near duplicates removed": ", ".join(f"{n} from {name}" for name, n in self.removed.items()) or "none",
            "data classes": ", ".join(self.data_classes),
            "licences": ", ".join(self.licences) or "the distributor's own documents",
        }
        splits = [
            (name, str(card.questions), str(card.passages), str(card.words), _slices(card.slices))
            for name, card in self.splits.items()
        ]
        origins = [(source.name, str(source.rows), f"`{source.digest[:19]}`") for source in self.sources]
        return "\n\n".join([
            f"# Data card: {self.workflow}", table(("fact", "value"), list(facts.items())),
            "## Questions", table(("split", "questions", "passages", "words p50 / p90 / p99 / max", "slices"), splits),
            "## Sources", table(("source", "rows", "digest"), origins),
        ]) + "\n"  # fmt: skip


def read_passages(path: Path, shown: str) -> tuple[Passage, ...]:
    """The passages of a file that `write_passages` wrote, or of a ready CSV, JSONL or Parquet file.

    Args:
        path: the file.
        shown: what to call it in errors.

    Raises:
        ConfigError: there is no such file.
        DataError: a record is not a passage, or an id appears twice.
    """
    found: dict[str, Passage] = {}
    for number, record in enumerate(read_records(path.name, project=path.parent), start=1):
        given = {name: value for name, value in record.items() if value not in (None, "")}
        given.setdefault("document", given.get("id"))
        try:
            passage = Passage.model_validate({**given, "id": str(given["id"])})
        except ValidationError as exc:
            first = exc.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{shown}: record {number}: {field}: {first['msg']}; mend the file") from exc
        if passage.id in found:
            raise DataError(f"{shown}: the id {passage.id} appears twice; an id names one passage")
        found[passage.id] = passage
    if not found:
        raise DataError(f"{shown}: no passage; at least one is needed")
    return tuple(found[id_] for id_ in sorted(found))


def dump_passages(passages: Sequence[Passage]) -> bytes:
    """Passages as lines of canonical JSON, in the order of their ids."""
    return b"".join(dump(passage) + b"\n" for passage in sorted(passages, key=lambda one: one.id))


def build_library_corpus(
    spec: LibraryCorpusSpec,
    *,
    workflow: str,
    project: Path,
    passages: Sequence[Passage],
    source: SourceCard,
    out: Path,
    data_classes: frozenset[DataClass],
) -> LibraryCard:
    """Write a library corpus to a folder, whole or not at all.

    The folder gets `passages.jsonl`, `validation.jsonl`, `test.jsonl`, `data_card.json`, and where there are
    such questions `train.jsonl`, `oos_validation.jsonl`, `oos_test.jsonl`.

    Args:
        spec: the `corpus:` block of the workflow.
        workflow: its name.
        project: what paths in `spec` are relative to.
        passages: the frozen library, as far as the workflow may see it.
        source: where it came from.
        out: the folder to write; what it holds is replaced.
        data_classes: what the workflow may see.

    Raises:
        ConfigError: a file is missing or lacks a column.
        DataError: a question is blank, twice there, or names a passage that the library does not have.
        StorageError: the folder cannot be written.
    """
    questions, sources = read_questions(spec.questions, project, passages)
    kept, removed = _without_near_duplicates(questions)
    texts = {f"{name}.jsonl": b"".join(dump(one) + b"\n" for one in some) for name, some in kept.items() if some}
    library = dump_passages(passages)
    digests = {name: digest_of(raw) for name, raw in {**texts, PASSAGES_FILE: library}.items()}
    card = LibraryCard(
        workflow=workflow,
        digest=digest_of("".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()),
        library=library_digest(tuple(passages)),
        documents=len({passage.document for passage in passages}),
        passages=len(passages),
        words=words(passage.text for passage in passages),
        site_classes=dict(sorted(Counter(c for p in passages for c in p.site_classes or ("every",)).items())),
        review=dict(sorted(Counter(str(p.review_by.year) for p in passages if p.review_by).items())),
        splits={name: _card(some, texts[f"{name}.jsonl"]) for name, some in kept.items() if some},
        removed=removed,
        sources=(source, *sources),
        data_classes=tuple(sorted(data_classes)),
        licences=spec.licences,
    )
    write_whole(out, {**texts, PASSAGES_FILE: library, CARD_FILE: dump(card)})
    return card


def read_questions(
    files: QuestionFiles, project: Path, passages: Sequence[Passage]
) -> tuple[dict[str, list[Question]], tuple[SourceCard, ...]]:
    """The questions by split, and the files that they came from.

    Raises:
        ConfigError, DataError: as `build_library_corpus`.
    """
    answers = Answers(passages)
    found: dict[str, list[Question]] = {}
    sources = []
    for field, name in files.named().items():
        records = read_records(name, project=project)
        sources.append(SourceCard(name=name, rows=len(records), digest=sha256_of(project / name)))
        found[(SPLITS | OUTSIDE)[field]] = parse_questions(records, name, answers if field in SPLITS else None)
    seen: dict[str, str] = {}
    for split, some in found.items():
        for question in some:
            if question.id in seen:
                raise DataError(f"the question id {question.id} is in {seen[question.id]} and {split}; rename one")
            seen[question.id] = split
    return found, tuple(sources)


def read_library_card(corpus: Path) -> LibraryCard:
    """The card of a library corpus."""
    path = corpus / CARD_FILE
    return parse(LibraryCard, path.read_bytes(), where=str(path))


def _without_near_duplicates(found: Mapping[str, list[Question]]) -> tuple[dict[str, list[Question]], dict[str, int]]:
    """No question of an earlier split is nearly one of a later split; the earlier one gives way."""
    kept = {name: list(some) for name, some in found.items()}
    removed: dict[str, int] = {}
    pairs = [("validation", "test"), ("train", "validation"), ("train", "test"), ("oos_validation", "oos_test")]
    for earlier, later in pairs:
        first, second = kept.get(earlier, []), kept.get(later, [])
        like = {index for index, _, _ in leakage.near_duplicates(_rows(first), _rows(second))}
        if like:
            kept[earlier] = [question for index, question in enumerate(first) if index not in like]
            removed[earlier] = removed.get(earlier, 0) + len(like)
    for name in ("validation", "test"):
        if not kept.get(name):
            raise DataError(f"{name}: no question is left after near duplicates were removed; add others")
    return kept, removed


def _rows(questions: Sequence[Question]) -> list[Row]:
    return [Row(id=question.id, text=question.text) for question in questions]


def _card(questions: Sequence[Question], raw: bytes) -> QuestionsCard:
    slices = Counter(f"{name}={value}" for one in questions for name, value in one.slices.items())
    return QuestionsCard(
        digest=digest_of(raw),
        questions=len(questions),
        passages=len({id_ for one in questions for id_ in one.relevant}),
        slices=dict(sorted(slices.items())) if len(slices) <= 30 else {},
        words=words(one.text for one in questions),
    )


def _slices(slices: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in slices.items())
