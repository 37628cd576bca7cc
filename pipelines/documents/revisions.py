"""Which of several files of one document hold: duplicates, revisions and variants for classes of sites."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import PurePosixPath

from fleet_manifests import Passage
from pipelines.documents.facts import Facts
from pipelines.documents.library import Problem, Superseded
from pipelines.documents.split import slug


@dataclass(frozen=True)
class Taken:
    """One file that was read and divided."""

    file: str
    format: str
    digest: str
    """Of the file."""
    text: str
    """Digest of its words, without markup, case and spacing."""
    facts: Facts
    passages: tuple[Passage, ...]
    words: int
    pages: int | None

    @property
    def rank(self) -> tuple[tuple[tuple[int, int, str], ...], date]:
        """What is larger for a newer revision: its number, then the day from which it holds."""
        return revision_key(self.facts.revision), self.facts.effective_from or date.min


def settle(taken: Iterable[Taken]) -> tuple[tuple[Taken, ...], tuple[Problem, ...], tuple[Superseded, ...]]:
    """The files that hold, with ids that are unique among them; what to name; and the older revisions.

    Of equal texts the first file by path is kept. An older revision is kept until the day from which the next newer
    one holds, and dropped where that one has no such day, or an earlier one. Files for different classes of sites
    are variants and stand side by side. Nothing depends on today.
    """
    distinct, problems = _without_duplicates(sorted(taken, key=lambda one: one.file))
    distinct = list(_with_own_names(distinct))
    kept: list[Taken] = []
    superseded: list[Superseded] = []
    by_document: dict[str, list[Taken]] = {}
    for one in distinct:
        by_document.setdefault(slug(one.facts.document), []).append(one)
    for _, files in sorted(by_document.items()):
        single, clashes = _without_clashes(files)
        problems += clashes
        held, older, notes = _in_force(single)
        problems += notes
        superseded += older
        kept += _with_own_ids(held)
    return tuple(sorted(kept, key=lambda one: one.file)), tuple(problems), tuple(superseded)


def revision_key(revision: str) -> tuple[tuple[int, int, str], ...]:
    """What sorts revisions as people count them: 2 before 10, 1.9 before 1.10, A before B."""
    parts = re.findall(r"\d+|[^\W\d_]+", revision.casefold())
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def overlap(first: Facts, second: Facts) -> bool:
    """Whether two files are for a common class of sites."""
    either = not first.site_classes or not second.site_classes
    return either or bool(set(first.site_classes) & set(second.site_classes))


def _without_duplicates(files: Sequence[Taken]) -> tuple[list[Taken], list[Problem]]:
    """The files without those that say what an earlier one says to the same sites."""
    kept: list[Taken] = []
    problems: list[Problem] = []
    for one in files:
        first = next((other for other in kept if _says_the_same(other, one)), None)
        if first is None:
            kept.append(one)
        else:
            problems.append(Problem(file=one.file, problem=f"duplicate of {first.file}", kind="duplicate"))
    return kept, problems


def _says_the_same(first: Taken, second: Taken) -> bool:
    """Equal texts for the same sites, unless they are two revisions of one document."""
    if first.text != second.text or first.facts.data_class != second.facts.data_class:
        return False
    revised = slug(first.facts.document) == slug(second.facts.document) and first.rank != second.rank
    return first.facts.site_classes == second.facts.site_classes and not revised


def _with_own_names(files: Sequence[Taken]) -> Iterator[Taken]:
    """The files, with one that has the name and rank of a file in another folder named by its path."""
    seen: dict[str, list[Taken]] = {}
    for one in files:
        alike = [other for other in seen.setdefault(slug(one.facts.document), []) if other.rank == one.rank]
        apart = [other for other in alike if not other.facts.named and _folder(other) != _folder(one)]
        seen[slug(one.facts.document)].append(one)
        yield _by_path(one) if apart and not one.facts.named and len(apart) == len(alike) else one


def _folder(one: Taken) -> str:
    return one.file.rpartition("/")[0]


def _by_path(one: Taken) -> Taken:
    """A file with its path as the name of its document."""
    name = str(PurePosixPath(one.file).with_suffix(""))
    passages = tuple(
        passage.model_copy(update={"document": name, "id": f"{slug(name)}/{passage.id.partition('/')[2]}"})
        for passage in one.passages
    )
    return replace(one, facts=replace(one.facts, document=name), passages=passages)


def _without_clashes(files: Sequence[Taken]) -> tuple[list[Taken], list[Problem]]:
    """The files of a document without those of the same revision as an earlier one but with another text."""
    kept: list[Taken] = []
    problems: list[Problem] = []
    for one in files:
        first = next((other for other in kept if other.rank == one.rank and overlap(other.facts, one.facts)), None)
        if first is None:
            kept.append(one)
            continue
        revision = f"revision {one.facts.revision}" if one.facts.revision else "no revision"
        said = f"document {one.facts.document} with {revision} is {first.file} already, with another text"
        problems.append(Problem(file=one.file, problem=f"{said}; not taken in: give it its revision, or remove one"))
    return kept, problems


def _in_force(files: Sequence[Taken]) -> tuple[list[Taken], list[Superseded], list[Problem]]:
    """The newest file of a document, and older ones as far as they still may hold; the newest first."""
    held: list[Taken] = []
    older: list[Superseded] = []
    problems: list[Problem] = []
    newer: list[Taken] = []
    for one in sorted(files, key=lambda file: file.rank, reverse=True):
        after = next((other for other in reversed(newer) if overlap(other.facts, one.facts)), None)
        newer.append(one)
        if after is None:
            held.append(one)
            continue
        until, since = after.facts.effective_from, one.facts.effective_from
        keep = until is not None and (since is None or since < until)
        if keep:
            passages = tuple(passage.model_copy(update={"effective_until": until}) for passage in one.passages)
            held.append(replace(one, passages=passages))
        older.append(
            Superseded(
                file=one.file, document=one.facts.document, revision=one.facts.revision, by=_named(after), kept=keep
            )
        )
        problems += _left_out(one, after)
    return held, older, problems


def _left_out(older: Taken, newer: Taken) -> Iterator[Problem]:
    """Classes of sites that an older revision was for and the newer one is not."""
    missing = set(older.facts.site_classes) - set(newer.facts.site_classes) if newer.facts.site_classes else set()
    if missing:
        said = f"revision {_named(older)} of {older.facts.document} was also for {', '.join(sorted(missing))}"
        yield Problem(file=newer.file, problem=f"{said}; revision {_named(newer)} is not", kind="note")


def _named(one: Taken) -> str:
    """A revision by its number, or by the day from which it holds."""
    return one.facts.revision or (one.facts.effective_from.isoformat() if one.facts.effective_from else "(none)")


def _with_own_ids(files: Sequence[Taken]) -> Iterator[Taken]:
    """The files of one document with ids that tell them apart; the first keeps the plain ones."""
    used: set[str] = set()
    for number, one in enumerate(files):
        if number == 0:
            yield one
            continue
        variant = one.rank == files[0].rank
        mark = "+".join(one.facts.site_classes) if variant else slug(_named(one))
        while mark in used:
            mark += "+"
        used.add(mark)
        yield replace(one, passages=tuple(_marked(passage, mark) for passage in one.passages))


def _marked(passage: Passage, mark: str) -> Passage:
    document, _, rest = passage.id.partition("/")
    return passage.model_copy(update={"id": f"{document}@{mark}/{rest}"})
