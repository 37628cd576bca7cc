"""What the `corpus:` block of a workflow says: where its rows come from and how they are split."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LABELLED = (".csv", ".jsonl", ".parquet")
"""Formats of labelled rows and questions."""

Share = Annotated[float, Field(gt=0.0, lt=0.5)]
"""A part of the rows, 0.15 for 15 %."""


class Spec(BaseModel):
    """Base of what people write in YAML: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(Spec):
    """How rows become train, validation and test."""

    by: Literal["time", "group", "random", "column"] = "time"
    """`time`: the newest rows are the test; `group`: a group is never divided; `random`: stratified
    by label; `column`: the SQL says it in a column named split (train, validation, test)."""
    validation: Share = 0.15
    test: Share = 0.15

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Split:
        if self.by == "column" and self.model_fields_set & {"validation", "test"}:
            raise ValueError("validation and test have no meaning with by: column; remove them")
        return self

    def describe(self) -> str:
        """The split in words, for a data card."""
        if self.by == "column":
            return "as the data says"
        return f"by {self.by}, {self.validation:.0%} validation, {self.test:.0%} test"


class Files(Spec):
    """Files of the project by what they are for."""

    @field_validator("*")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        if value is not None and PurePosixPath(value).suffix.lower() not in LABELLED:
            raise ValueError(f"{value} is not a .csv, .jsonl or .parquet file")
        return value

    def named(self) -> dict[str, str]:
        """The files that are given, by field name."""
        return {name: value for name, value in self if value is not None}


class CorpusFiles(Files):
    """Labelled files of the project (CSV, JSONL or Parquet): "bring your own"."""

    train: str
    validation: str | None = None
    test: str | None = None
    """Give validation and test both, or neither: then `split` divides the rows of `train`."""
    out_of_scope_validation: str | None = None
    out_of_scope_test: str | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> CorpusFiles:
        if (self.validation is None) != (self.test is None):
            raise ValueError("give validation and test both, or neither")
        return self


class CorpusSpec(Spec):
    """The rows of a workflow: SQL over the lake, or files. Exactly one of `sql` and `files`."""

    sql: str | None = None
    """SQL file with columns id, text, label; optional group, time, split; any other column is a slice."""
    files: CorpusFiles | None = None
    out_of_scope_sql: str | None = None
    """SQL file with columns id, text and optional time: rows that belong to no class."""
    split: Split | None = None
    """None: by time, 15 % validation and 15 % test."""
    text_column: str = "text"
    label_column: str = "label"
    """Names of the two columns in `files`; in SQL, write `AS text` and `AS label`."""
    licences: tuple[str, ...] = ()
    """Licences of the rows (SPDX); empty where they are the distributor's own."""

    @model_validator(mode="after")
    def _consistent(self) -> CorpusSpec:
        if (self.sql is None) == (self.files is None):
            raise ValueError("give exactly one of sql and files")
        if self.sql is not None and (self.text_column, self.label_column) != ("text", "label"):
            raise ValueError("text_column and label_column are for files; in the SQL write AS text, AS label")
        if self.files is not None and self.files.test is not None and self.split is not None:
            raise ValueError("the files are split already; remove split, or give only files.train")
        if self.files is not None and self.out_of_scope_sql is not None:
            raise ValueError("out_of_scope_sql goes with sql; use files.out_of_scope_validation and _test")
        return self


class QuestionFiles(Files):
    """Questions and which passages answer them: columns id, text, and `relevant` (passage ids) or `answers`
    (a list of `{document, section}`; the section by its own heading, the document's title for its introduction).
    """

    validation: str
    """Fusion, confidence and threshold are chosen on these."""
    test: str
    """Read once per candidate."""
    train: str | None = None
    """Beside the pairs that the library itself gives."""
    unanswered_validation: str | None = None
    unanswered_test: str | None = None
    """Questions that sound as if the library answered them, and it does not: id and text."""


class LibraryCorpusSpec(Spec):
    """The library of a `retrieve` workflow and the questions that prove it. Exactly one of `source` and `passages`."""

    source: str | None = None
    """A source of kind `documents`."""
    passages: str | None = None
    """A file of ready passages: id, title, text, and any other field of a passage."""
    snapshot: str | None = None
    """The frozen library that the retriever is trained on and judged by; None: `snapshots/WORKFLOW.jsonl`.
    The first build writes it; `lading snapshot WORKFLOW` renews it, on purpose."""
    questions: QuestionFiles
    licences: tuple[str, ...] = ()
    """Licences of the passages (SPDX); empty where they are the distributor's own."""

    @model_validator(mode="after")
    def _one_library(self) -> LibraryCorpusSpec:
        if (self.source is None) == (self.passages is None):
            raise ValueError("give exactly one of source and passages")
        return self
