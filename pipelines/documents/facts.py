"""What holds of a document: the register says it, or else the file, or else the source."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

from pydantic import TypeAdapter, ValidationError

from fleet_manifests import DataClass, DataError, Name
from pipelines.documents.blocks import Block, Document, Heading
from pipelines.documents.dates import parse_date
from pipelines.documents.register import EMPTY, Register
from pipelines.documents.spec import DocumentSource

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_EVERY = re.compile(r"(?:all|every|any)(?: (?:site )?(?:sites?|class(?:es)?))?")
_REVISION = re.compile(r"^(?:revision|rev|version|ver|issue|v|r)\b[\s.:]*(?=\w)|^[vr](?=\d)", re.IGNORECASE)
_JUNK = re.compile(
    r"microsoft word\b.*|.*\.(?:docx?|pdf|indd|dotx?|html?|md|txt)|untitled.*|\(?anonymous\)?|document\s*\d*|"
    r"unbenannt.*|dokument\s*\d*|powerpoint.*|slide \d+|title|word document",
    re.IGNORECASE,
)
"""Titles that programs write into files."""


@dataclass(frozen=True)
class Facts:
    """What a citation needs of a document, and who may have it."""

    document: str
    title: str
    revision: str
    owner: str
    effective_from: date | None
    review_by: date | None
    site_classes: tuple[str, ...]
    data_class: DataClass
    named: bool = True
    """The document is named by the register or by itself, not after its file."""


def facts_of(
    document: Document, *, file: str, source: DocumentSource, register: Register = EMPTY
) -> tuple[Facts, tuple[Block, ...], tuple[str, ...]]:
    """What holds of a document, its blocks without the heading that is its title, and problems to name.

    Args:
        document: as it was read.
        file: its path below the folder.
        source: the defaults.
        register: wins over what the file says.

    Raises:
        DataError: its data class or a site class is none; such a document is not taken in.
    """
    stem = PurePosixPath(file).stem
    stated = {**document.metadata.stated, **register.of_file(file)}
    stated = {**stated, **register.of_document(stated.get("document", stem))}
    title, blocks = _title(document, stated.get("title", ""), stem)
    problems: list[str] = []
    facts = Facts(
        document=stated.get("document", "") or stem,
        title=title,
        revision=_revision(stated.get("revision", "")),
        owner=stated.get("owner", ""),
        effective_from=_date(stated, "effective_from", problems),
        review_by=_date(stated, "review_by", problems),
        site_classes=_site_classes(stated.get("site_classes"), source),
        data_class=_data_class(stated.get("data_class"), source),
        named=bool(stated.get("document")),
    )
    if not any(isinstance(block, Heading) for block in document.blocks):
        problems.append("no headings: its passages stand under its title alone")
    return facts, blocks, tuple(problems)


def _title(document: Document, stated: str, stem: str) -> tuple[str, tuple[Block, ...]]:
    """The title, and the blocks without the heading that says it.

    A heading is the title where it comes first and no other is as high. What programs write into a file's
    properties is only trusted where nothing else is there.
    """
    blocks = document.blocks
    places = [index for index, block in enumerate(blocks) if isinstance(block, Heading)]
    index = min(places, key=lambda place: _is_title(blocks[place]), default=None)
    first = blocks[index] if index is not None else None
    if index is None or not isinstance(first, Heading):
        return stated or _property(document) or stem, blocks
    others = [block.level for place, block in enumerate(blocks) if isinstance(block, Heading) and place != index]
    alone = all(level > first.level for level in others) and (bool(others) or index == 0)
    rest = (*blocks[:index], *blocks[index + 1 :])
    if alone or _same(first.text, stated) or (not stated and _same(first.text, _property(document))):
        return stated or first.text, rest
    return stated or _property(document) or stem, blocks


def _is_title(block: Block) -> bool:
    """False, which comes first, for a title of its own style."""
    return not (isinstance(block, Heading) and block.level == 0)


def _property(document: Document) -> str:
    title = document.metadata.properties.get("title", "")
    return "" if _JUNK.fullmatch(title.strip()) else title.strip()


def _same(text: str, other: str) -> bool:
    return bool(other) and " ".join(text.casefold().split()) == " ".join(other.casefold().split())


def _revision(text: str) -> str:
    """A revision without the word for it: `6` for `Rev. 6`."""
    return _REVISION.sub("", text.strip()).strip()


def _date(stated: Mapping[str, str], field: str, problems: list[str]) -> date | None:
    text = stated.get(field, "").strip()
    if not text or text.casefold() in ("-", "n/a", "none", "tbd"):
        return None
    try:
        return parse_date(text)
    except ValueError as exc:
        problems.append(f"{field}: {exc}; the field is left empty")
        return None


def _site_classes(text: str | None, source: DocumentSource) -> tuple[str, ...]:
    names = [name.casefold() for name in re.split(r"[\s;,]+", text or "") if name]
    if not names:
        return source.site_classes
    if _EVERY.fullmatch(" ".join(names)):
        return ()
    return tuple(sorted({_site_class(name, names) for name in names}))


def _site_class(name: str, names: Sequence[str]) -> str:
    try:
        return _NAME.validate_python(name)
    except ValidationError as exc:
        raise DataError(
            f"site_classes: expected names such as warehouse, found {' '.join(names)!r}; not taken in: mend it, "
            "or say it in the register"
        ) from exc


def _data_class(text: str | None, source: DocumentSource) -> DataClass:
    if text is None:
        return source.data_class
    said = " ".join(text.casefold().replace("_", " ").split())
    try:
        return DataClass(said.removesuffix(" use only").removesuffix(" use").removeprefix("for "))
    except ValueError as exc:
        known = ", ".join(DataClass)
        raise DataError(
            f"data_class: expected one of {known}, found {text!r}; not taken in: mend it, or say it in the register"
        ) from exc
