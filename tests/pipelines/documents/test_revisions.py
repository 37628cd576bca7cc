"""Several files of one document: which hold, and until when."""

from __future__ import annotations

from datetime import date
from itertools import permutations
from typing import Any

import pytest

from fleet_manifests import DataClass
from pipelines.documents.blocks import Heading, Paragraph
from pipelines.documents.facts import Facts
from pipelines.documents.library import Problem, Superseded
from pipelines.documents.revisions import Taken, overlap, revision_key, settle
from pipelines.documents.split import split

pytestmark = pytest.mark.unit
JANUARY, JUNE, DECEMBER = date(2026, 1, 1), date(2026, 6, 1), date(2026, 12, 1)


def taken(
    file: str, text: str | None = None, *, document: str = "WH-1", revision: str = "", since: date | None = None,
    sites: tuple[str, ...] = (), data_class: DataClass = DataClass.INTERNAL, named: bool = True,
) -> Taken:  # fmt: skip
    facts = Facts(document, "Receiving", revision, "", since, None, sites, data_class, named)
    said = text or f"text of {file}"
    passages = split([Heading(level=1, text="Scope"), Paragraph(text=said)], facts, max_words=100)
    return Taken(
        file=file,
        format="md",
        digest="sha256:" + "0" * 64,
        text=said,
        facts=facts,
        passages=passages,
        words=3,
        pages=None,
    )


def kept(*files: Taken) -> dict[str, list[tuple[str, date | None]]]:
    """Ids and ends of the passages that are kept, by file."""
    return {one.file: [(passage.id, passage.effective_until) for passage in one.passages] for one in settle(files)[0]}


@pytest.mark.parametrize(
    "revisions",
    [
        ("2", "10"),
        ("1.9", "1.10"),
        ("A", "B"),
        ("2", "2.1"),
        ("1a", "1b"),
        ("", "1"),
        ("9", "R10"),
        ("2025-12", "2026-01"),
    ],
)
def test_revisions_sort_as_people_count(revisions: tuple[str, str]) -> None:
    older, newer = revisions
    if newer == "R10":
        newer = "10"  # the word for it is taken off before
    assert revision_key(older) < revision_key(newer)


def test_unlike_revisions_can_be_compared() -> None:
    keys = [revision_key(text) for text in ("", "1", "A", "1.a", "final", "2-b", "10")]
    assert len(sorted(keys)) == 7


def test_the_first_of_equal_texts_by_path_is_kept() -> None:
    files = [
        taken("b.md", "same", document="B"),
        taken("a.md", "same", document="A"),
        taken("c.md", "same", document="A"),
    ]
    held, problems, superseded = settle(files)
    assert [one.file for one in held] == ["a.md"]
    assert problems == (
        Problem(file="b.md", problem="duplicate of a.md", kind="duplicate"),
        Problem(file="c.md", problem="duplicate of a.md", kind="duplicate"),
    )
    assert superseded == ()


@pytest.mark.parametrize("other", [{"sites": ("branch",)}, {"data_class": DataClass.PUBLIC}])
def test_equal_texts_for_others_are_no_duplicates(other: dict[str, Any]) -> None:
    files = [taken("a.md", "same", document="A"), taken("b.md", "same", document="B", **other)]
    assert len(settle(files)[0]) == 2


def test_a_new_revision_with_the_old_text_is_no_duplicate() -> None:
    files = [taken("a.md", "same", revision="1"), taken("b.md", "same", revision="2")]
    held, problems, superseded = settle(files)
    assert ([one.file for one in held], problems) == (["b.md"], ())
    assert superseded == (Superseded(file="a.md", document="WH-1", revision="1", by="2"),)


def test_an_older_revision_is_dropped_where_the_newer_one_has_no_date() -> None:
    assert kept(taken("r2.md", revision="2"), taken("r10.md", revision="10")) == {"r10.md": [("wh-1/scope", None)]}


def test_an_older_revision_is_kept_until_the_newer_one_holds() -> None:
    old, new = taken("r2.md", revision="2", since=JANUARY), taken("r3.md", revision="3", since=JUNE)
    assert kept(old, new) == {"r2.md": [("wh-1@2/scope", JUNE)], "r3.md": [("wh-1/scope", None)]}
    assert settle([old, new])[2] == (Superseded(file="r2.md", document="WH-1", revision="2", by="3", kept=True),)


def test_three_revisions_follow_each_other() -> None:
    files = [taken(f"r{n}.md", revision=str(n), since=since) for n, since in ((1, None), (2, JUNE), (3, DECEMBER))]
    assert kept(*files) == {
        "r1.md": [("wh-1@1/scope", JUNE)], "r2.md": [("wh-1@2/scope", DECEMBER)], "r3.md": [("wh-1/scope", None)],
    }  # fmt: skip


def test_an_older_revision_that_would_begin_later_never_holds() -> None:
    assert list(kept(taken("r1.md", revision="1", since=DECEMBER), taken("r2.md", revision="2", since=JUNE))) == [
        "r2.md"
    ]
    assert list(kept(taken("r1.md", revision="1", since=JUNE), taken("r2.md", revision="2", since=JUNE))) == ["r2.md"]


def test_without_numbers_the_dates_decide() -> None:
    files = [taken("a.md", since=JUNE), taken("b.md", since=JANUARY)]
    assert kept(*files) == {"a.md": [("wh-1/scope", None)], "b.md": [("wh-1@2026-01-01/scope", JUNE)]}


def test_a_number_is_newer_than_none() -> None:
    assert list(kept(taken("a.md"), taken("b.md", revision="1"))) == ["b.md"]


def test_one_revision_with_two_texts_is_named() -> None:
    held, problems, _ = settle([taken("a.md", revision="6"), taken("b.md", revision="6")])
    assert [one.file for one in held] == ["a.md"]
    (problem,) = problems
    assert (problem.file, problem.kind) == ("b.md", "refused")
    assert "document WH-1 with revision 6 is a.md already" in problem.problem


def test_files_of_one_name_in_several_folders_are_named_by_their_path() -> None:
    files = [taken(f"{name}/readme.txt", document="readme", named=False) for name in ("day", "night", "night/shift")]
    assert list(kept(*files).items()) == [
        ("day/readme.txt", [("readme/scope", None)]),
        ("night/readme.txt", [("night-readme/scope", None)]),
        ("night/shift/readme.txt", [("night-shift-readme/scope", None)]),
    ]
    assert [one.passages[0].document for one in settle(files)[0]] == ["readme", "night/readme", "night/shift/readme"]


def test_files_of_one_name_with_revisions_are_one_document() -> None:
    files = [taken(f"r{n}/wh-1.docx", document="wh-1", revision=str(n), named=False) for n in (5, 6)]
    assert list(kept(*files)) == ["r6/wh-1.docx"]


def test_two_files_of_one_name_in_one_folder_clash() -> None:
    files = [taken(f"wh-1.{kind}", document="wh-1", named=False) for kind in ("docx", "pdf")]
    held, problems, _ = settle(files)
    assert ([one.file for one in held], [one.file for one in problems]) == (["wh-1.docx"], ["wh-1.pdf"])


def test_ids_of_documents_are_compared_as_people_do() -> None:
    assert list(kept(taken("a.md", document="wh 1", revision="1"), taken("b.md", document="WH-1", revision="2"))) == [
        "b.md"
    ]


def test_variants_for_different_sites_stand_side_by_side() -> None:
    files = [taken("a.md", revision="6", sites=("warehouse",)), taken("b.md", revision="6", sites=("branch", "shop"))]
    assert kept(*files) == {"a.md": [("wh-1/scope", None)], "b.md": [("wh-1@branch+shop/scope", None)]}


def test_variants_are_revised_apart() -> None:
    files = [
        taken("w1.md", revision="1", sites=("warehouse",)), taken("w2.md", revision="2", sites=("warehouse",)),
        taken("b1.md", revision="1", sites=("branch",)),
    ]  # fmt: skip
    held, problems, superseded = settle(files)
    assert ([one.file for one in held], problems) == (["b1.md", "w2.md"], ())
    assert [one.file for one in superseded] == ["w1.md"]
    assert len({passage.id for one in held for passage in one.passages}) == 2


def test_classes_that_a_newer_revision_leaves_out_are_named() -> None:
    files = [
        taken("r1.md", revision="1", sites=("branch", "warehouse")),
        taken("r2.md", revision="2", sites=("warehouse",)),
    ]
    held, problems, _ = settle(files)
    assert [one.file for one in held] == ["r2.md"]
    (problem,) = problems
    assert (problem.file, problem.kind) == ("r2.md", "note")
    assert problem.problem == "revision 1 of WH-1 was also for branch; revision 2 is not"


def test_overlap() -> None:
    every, branch, both = (taken("x", sites=sites).facts for sites in ((), ("branch",), ("branch", "warehouse")))
    warehouse = taken("x", sites=("warehouse",)).facts
    assert overlap(every, branch)
    assert overlap(both, branch)
    assert not overlap(branch, warehouse)


def test_the_order_of_the_files_does_not_matter() -> None:
    files = [
        taken("a.md", revision="1", since=JANUARY), taken("b.md", revision="2", since=JUNE), taken("c.md", revision="2", since=JUNE),
        taken("d.md", "text of a.md", document="D"), taken("e.md", revision="1", sites=("branch",)),
    ]  # fmt: skip
    outcomes = {repr(settle(order)) for order in permutations(files)}
    assert len(outcomes) == 1


def test_ids_are_unique_whatever_the_revisions_are_called() -> None:
    files = [
        taken(f"{n}.md", revision=name, since=date(2026, 1, n))
        for n, name in enumerate(("1", "1.0", "1-0", "2"), start=1)
    ]
    ids = [passage.id for one in settle(files)[0] for passage in one.passages]
    assert len(ids) == len(set(ids))
