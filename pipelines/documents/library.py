"""What was taken in of a folder of documents, and how it differs from the last time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fleet_manifests import Digest, Passage, Wire


class DocumentCard(Wire):
    """One document that was taken in."""

    file: str
    """Its path below the folder."""
    format: str
    digest: Digest
    """Of the file."""
    document: str
    title: str
    revision: str = ""
    passages: Annotated[int, Field(ge=1)]
    words: int
    pages: int | None = None


class Problem(Wire):
    """What a person should look at, in one line."""

    file: str
    problem: str
    kind: Literal["refused", "duplicate", "note"] = "refused"
    """`refused`: the document is not in the library; `duplicate`: another file with the same text is; `note`: it is in
    the library all the same."""
    lasting: bool = True
    """The same file gives the same again; False where its reader ran out of time or died."""


class Superseded(Wire):
    """An older revision of a document."""

    file: str
    document: str
    revision: str
    by: str
    """The newer revision."""
    kept: bool = False
    """It is in the library until the newer one takes effect."""

    @property
    def said(self) -> str:
        """The same in one line."""
        until = f"until revision {self.by} takes effect" if self.kept else f"revision {self.by} is in the library"
        return f"{self.document} revision {self.revision or 'without a number'}: {until}"


class Library(Wire):
    """The documents of a folder as passages."""

    documents: tuple[DocumentCard, ...] = ()
    """By file."""
    passages: tuple[Passage, ...] = ()
    """By file, in the order of the document."""
    problems: tuple[Problem, ...] = ()
    superseded: tuple[Superseded, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Library:
        seen: set[str] = set()
        for passage in self.passages:
            if passage.id in seen:
                raise ValueError(f"the passage {passage.id} is there twice")
            seen.add(passage.id)
        return self


class Changes(Wire):
    """What is different since the last time; documents by id."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    """Older revisions that a newer one has overtaken since."""
    duplicate: tuple[str, ...] = ()
    """Files found since that say the same as another."""
    passages_added: int = 0
    passages_removed: int = 0
    passages_changed: int = 0

    def lists(self) -> dict[str, tuple[str, ...]]:
        """The documents by what happened to them."""
        return {
            "new": self.new, "changed": self.changed, "removed": self.removed,
            "superseded": self.superseded, "duplicate": self.duplicate,
        }  # fmt: skip

    def __bool__(self) -> bool:
        """Whether anything is different."""
        return any(self.lists().values()) or bool(self.passages_added + self.passages_removed + self.passages_changed)


def compare(before: Library | None, now: Library) -> Changes:
    """What is different between two states of a library; before the first, everything is new."""
    before = before or Library()
    old, new = _by_document(before), _by_document(now)
    was, is_ = ({passage.id: passage for passage in library.passages} for library in (before, now))
    return Changes(
        new=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(name for name in new.keys() & old.keys() if new[name] != old[name])),
        removed=tuple(sorted(old.keys() - new.keys())),
        superseded=tuple(one.said for one in now.superseded if one not in before.superseded),
        duplicate=_duplicates(before, now),
        passages_added=len(is_.keys() - was.keys()),
        passages_removed=len(was.keys() - is_.keys()),
        passages_changed=sum(is_[id_] != was[id_] for id_ in is_.keys() & was.keys()),
    )


def _by_document(library: Library) -> dict[str, tuple[Passage, ...]]:
    found: dict[str, list[Passage]] = {}
    for passage in library.passages:
        found.setdefault(passage.document, []).append(passage)
    return {document: tuple(passages) for document, passages in found.items()}


def _duplicates(before: Library, now: Library) -> tuple[str, ...]:
    known = {problem.file for problem in before.problems if problem.kind == "duplicate"}
    return tuple(one.file for one in now.problems if one.kind == "duplicate" and one.file not in known)
