from __future__ import annotations

import pytest
from bs4 import BeautifulSoup

from sample.rendering import render

pytestmark = pytest.mark.unit


def opened(markdown: str) -> BeautifulSoup:
    return BeautifulSoup(render(markdown, "html"), "html.parser")


def test_head_says_what_the_front_matter_says(procedure: str) -> None:
    page = opened(procedure)
    assert page.title is not None and page.title.text == "Putaway of palletised goods"
    named = {str(one["name"]): str(one["content"]) for one in page.find_all("meta", attrs={"name": True})}
    assert named == {
        "document": "WH-017", "title": "Putaway of palletised goods", "revision": "4", "owner": "Inbound supervisor",
        "effective_from": "2025-03-01", "review_by": "2029-03-01", "site_classes": "warehouse, branch",
        "data_class": "internal", "format": "docx",
    }  # fmt: skip


def test_headings_lists_and_tables_are_what_they_are(procedure: str) -> None:
    main = opened(procedure).main
    assert main is not None
    assert [(one.name, one.text) for one in main.find_all(["h1", "h2", "h3", "h4"])] == [
        ("h1", "Putaway of palletised goods"), ("h2", "Before you start"), ("h2", "Putting a pallet away"),
        ("h3", "When the location is occupied"),
    ]  # fmt: skip
    assert [len(one.find_all("li", recursive=False)) for one in main.find_all("ol")] == [2, 2, 3]
    outer = main.find("ul")
    assert outer is not None and outer.find("ol") is not None, "lists nest"
    assert [cell.text for cell in main.find_all("td")] == ["A1", "Full location", "B2", "Wrong | other"]
    assert [one.text for one in main.find_all("strong")] == ["never", "Full"]


def test_what_is_around_the_text_is_outside_of_it(procedure: str) -> None:
    page = opened(procedure)
    for name in ("header", "nav", "footer"):
        found = page.find(name)
        assert found is not None and found.text.strip() and page.main is not None
        assert page.main.find(name) is None
    assert page.footer is not None and "WH-017" in page.footer.text


def test_a_list_starts_where_it_says() -> None:
    found = opened("3. c\n4. d\n").ol
    assert found is not None and found["start"] == "3"
    plain = opened("1. c\n").ol
    assert plain is not None and "start" not in plain.attrs


def test_nothing_of_a_text_becomes_markup() -> None:
    page = opened(
        '---\ntitle: \'"><script>1</script>\'\nowner: "<b>"\n---\n\n`<script>2</script>` \\<i>x\n\n<script>3</script>'
    )
    assert page.find("script") is None and page.find("i") is None
    assert page.main is not None and "<script>2</script> <i>x" in page.main.text
    assert page.title is not None and page.title.text == '"><script>1</script>'


def test_foreign_text_without_a_title() -> None:
    page = opened("## b\n\ntext  \nmore")
    assert page.title is not None and page.title.text == "Untitled"
    assert page.find("h1") is None and page.h2 is not None and page.h2.text == "b"
    assert page.main is not None and page.main.find("br") is not None
    assert page.find_all("meta", attrs={"name": True}) == []


def test_an_item_keeps_what_belongs_to_it() -> None:
    page = opened("1. a\n\n   more\n2. b\n")
    assert page.ol is not None
    first, second = page.ol.find_all("li", recursive=False)
    assert first.text.split() == ["a", "more"] and first.p is not None and first.p.text == "more"
    assert second.text == "b"
