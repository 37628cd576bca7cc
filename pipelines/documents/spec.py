"""What a file under `sources/` says of a folder of documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fleet_manifests import DataClass, Name
from pipelines.sources.spec import SchemaName

INCLUDE = ("**/*.md", "**/*.markdown", "**/*.txt", "**/*.html", "**/*.htm", "**/*.docx", "**/*.pdf")


class DocumentSource(BaseModel):
    """A folder of procedures. Only files of it that match are read, in any letter case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: SchemaName
    """The file's stem."""
    kind: Literal["documents"]
    path: Annotated[str, Field(min_length=1)]
    """The folder, relative to the project or absolute."""
    include: Annotated[tuple[str, ...], Field(min_length=1)] = INCLUDE
    """Patterns of files below the folder."""
    register_file: Annotated[str | None, Field(alias="register")] = None
    """The document register, a CSV file of the project: columns file or document, and any of title, revision,
    owner, effective_from, review_by, site_classes, data_class. It wins over what a file says of itself.
    (A field named `register` would hide a method of the base class.)"""
    data_class: DataClass = DataClass.INTERNAL
    """Of documents that do not say theirs."""
    site_classes: tuple[Name, ...] = ()
    """Of documents that do not say theirs; empty: every class of sites."""
    max_file_mb: Annotated[int, Field(ge=1, le=1000)] = 50
    max_words: Annotated[int, Field(ge=50, le=2000)] = 220
    """Of a passage; a step or a row of a table is never cut, and may have more."""

    @field_validator("include")
    @classmethod
    def _inside(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            if pattern.startswith("/") or ".." in pattern.split("/") or not pattern.strip():
                raise ValueError(f"{pattern!r} leaves the folder; give patterns below it, such as **/*.docx")
        return value

    def folder(self, project: Path) -> Path:
        """The folder of the documents."""
        return project / self.path
