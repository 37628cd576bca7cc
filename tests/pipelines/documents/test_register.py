"""The document register."""

from __future__ import annotations

import pytest

from fleet_manifests import ConfigError
from pipelines.documents.register import parse_register

pytestmark = pytest.mark.unit


def test_rows_by_file_and_by_document() -> None:
    register = parse_register(
        b"file,document,title,Effective From\nnight/a.md,WH-1,Receiving,2026-01-01\n,WH-2,Putaway,\n", shown="r.csv"
    )
    assert register.of_file("night/a.md") == {"document": "WH-1", "title": "Receiving", "effective_from": "2026-01-01"}
    assert register.of_document("wh-2") == {"document": "WH-2", "title": "Putaway"}
    assert register.of_file("b.md") == register.of_document("x") == {}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators(separator: str) -> None:
    raw = separator.join(["document", "site_classes"]) + "\n" + separator.join(["WH-1", "warehouse branch"]) + "\n"
    assert parse_register(raw.encode(), shown="r").of_document("WH-1")["site_classes"] == "warehouse branch"


def test_files_as_windows_and_a_shell_write_them() -> None:
    register = parse_register(b"file,owner\nnight\\a.md,x\n./b.md,y\n", shown="r")
    assert register.of_file("night/a.md") == {"owner": "x"}
    assert register.of_file("b.md") == {"owner": "y"}


def test_excel_writes_a_byte_order_mark_and_quotes() -> None:
    register = parse_register('\ufeffdocument;title\r\nWH-1;"Receiving; at night"\r\n'.encode(), shown="r")
    assert register.of_document("WH-1")["title"] == "Receiving; at night"


def test_empty_rows_are_passed_over_and_other_columns_are_named() -> None:
    register = parse_register(b"document,department,approver\n,,\nWH-1,dock,Jo\n", shown="r")
    assert register.ignored == ("department", "approver")
    assert list(register.by_document) == ["wh-1"]


def test_what_is_registered_and_not_there() -> None:
    register = parse_register(b"file,document\na.md,\nb.md,\n,WH-1\n,WH-2\n", shown="r")
    assert list(register.unknown(["a.md"], ["wh-1"])) == ["file b.md", "document WH-2"]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "expected a column file or document, found nothing"),
        (b"title,owner\na,b\n", "r.csv:1: expected a column file or document, found title, owner"),
        (b"document,owner\nWH-1,a\nwh-1,b\n", "r.csv:3: wh-1 is there twice"),
        (b"file,owner\na.md,a\n./a.md,b\n", "r.csv:3: a.md is there twice"),
        (b"file,document,owner\n,,somebody\n", "r.csv:2: expected a file or a document"),
        (b'document,owner\nWH-1,"open\n', "not CSV"),
        (b"\x00\x01", "NUL"),
    ],
)
def test_what_is_no_register(raw: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_register(raw, shown="r.csv")
