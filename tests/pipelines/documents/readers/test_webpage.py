"""HTML: the content of a page and nothing around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleet_manifests import DataError
from pipelines.documents.blocks import Document
from pipelines.documents.readers import read

pytestmark = pytest.mark.unit


def page(body: str, head: str = "", encoding: str = "utf-8") -> Document:
    source = f'<!DOCTYPE html><html><head><meta charset="{encoding}">{head}</head><body>{body}</body></html>'
    return read(source.encode(encoding), "html")


def test_content_without_what_is_around_it(shown: Callable[[Document], list[str]]) -> None:
    document = page(
        """
        <header><p>Intranet</p><nav><ul><li>Home</li></ul></nav></header>
        <main><h1>Receiving</h1><p>Some <b>bold</b> text<br>in two lines.</p>
        <h2>Steps</h2>
        <ol start="3"><li>Open.</li><li>Look.<ul><li>red</li></ul></li></ol>
        <table><tr><th>Item</th><th>Limit</th></tr><tr><td>A|B</td><td>5 kg</td></tr></table>
        <aside>See also</aside><script>x()</script><style>p{}</style></main>
        <footer>Owner: nobody. Revision: 99</footer>
        """,
        '<title>Receiving - Intranet</title><meta name="document" content="WH-1"><meta name="generator" content="CMS 5">'
        '<meta name="effective-from" content="2026-01-01"><meta name="revision" content="6">',
    )
    assert document.metadata.stated == {"document": "WH-1", "effective_from": "2026-01-01", "revision": "6"}
    assert document.metadata.properties["title"] == "Receiving - Intranet"
    assert document.metadata.properties["generator"] == "CMS 5"
    assert shown(document) == [
        "# Receiving",
        "Some bold text\nin two lines.",
        "## Steps",
        "3. Open.",
        "4. Look.",
        "  - red",
        "Item | Limit / A|B | 5 kg",
    ]


def test_a_header_inside_the_content_is_content(shown: Callable[[Document], list[str]]) -> None:
    document = page("<header>Site</header><article><header><h1>Spills</h1></header><p>Act.</p></article>")
    assert shown(document) == ["# Spills", "Act."]


def test_without_main_the_body_counts(shown: Callable[[Document], list[str]]) -> None:
    document = page("<div role='navigation'>Menu</div><h1>A</h1><div><p>x</p></div><p hidden>no</p><form>Search</form>")
    assert shown(document) == ["# A", "x"]


def test_several_articles_are_all_read(shown: Callable[[Document], list[str]]) -> None:
    document = page("<article><h2>A</h2><p>x</p></article><article><h2>B</h2><p>y</p></article>")
    assert shown(document) == ["## A", "x", "## B", "y"]


def test_a_control_table(shown: Callable[[Document], list[str]]) -> None:
    document = page(
        "<h1>A</h1><table><tr><td>Document</td><td>X-1</td></tr><tr><td>Revision</td><td>2</td></tr></table><p>t</p>"
    )
    assert document.metadata.stated == {"document": "X-1", "revision": "2"}
    assert shown(document) == ["# A", "t"]


def test_marks_of_markdown_in_the_text_stay_text(shown: Callable[[Document], list[str]]) -> None:
    document = page("<p>5 * 3 * 2 and file_name_x # [y] &lt;b&gt; 1 | 2</p><p># 7 pallets</p>")
    assert shown(document) == ["5 * 3 * 2 and file_name_x # [y] <b> 1 | 2", "# 7 pallets"]


def test_typed_numbers(shown: Callable[[Document], list[str]]) -> None:
    assert shown(page("<p>a) one</p><p>b) two</p>")) == ["a) one", "b) two"]
    assert [block.kind for block in page("<p>a) one</p><p>b) two</p>").blocks] == ["step", "step"]


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "iso-8859-1"])
def test_encodings_that_the_page_declares(encoding: str, shown: Callable[[Document], list[str]]) -> None:
    document = page("<p>Größe</p>", encoding=encoding)
    assert (shown(document), document.notes) == (["Größe"], ())


def test_an_encoding_that_nobody_declares_is_noted(shown: Callable[[Document], list[str]]) -> None:
    document = read("<p>Größe 5 °C</p>".encode("cp1252"), "html")
    assert shown(document) == ["Größe 5 °C"]
    assert "Windows-1252" in document.notes[0]


def test_an_empty_file() -> None:
    with pytest.raises(DataError, match="empty"):
        read(b"", "html")


def test_a_page_without_content_has_no_blocks() -> None:
    assert page("<nav>Home</nav>").blocks == ()
