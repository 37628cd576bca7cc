"""Characters as a person reads them, and bytes that are or are not text."""

from __future__ import annotations

import pytest

from fleet_manifests import DataError
from pipelines.documents.readers.text import clean, decode, one_line, raised

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("o\ufb03ce \ufb01le", "office file"),
        ("co\u00adoperate", "cooperate"),
        ("5\u00a0kg\u202f/\u2009m", "5 kg / m"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("e\u0301", "é"),
        ("non\u2011breaking", "non-breaking"),
        ("a\x07b\x00c", "abc"),
        ("half \ud83d gone", "half gone"),
        ("\uf0b7 gloves", "• gloves"),
        ("  many   spaces\t and tabs ", "many spaces and tabs"),
        ("one\r\ntwo\rthree\n\n four ", "one\ntwo\nthree\nfour"),
    ],
)
def test_clean(written: str, read: str) -> None:
    assert clean(written) == read


@pytest.mark.parametrize("kept", ["10 m²", "½ turn", "№ 5", "™", "①", "Ω", "≥ 5 °C", "ß", "漢字", "a – b"])
def test_characters_that_mean_something_stay(kept: str) -> None:
    assert clean(kept) == kept


def test_clean_twice_is_clean() -> None:
    written = "o\ufb03ce\u00a0 \u00ad x\n\n y"
    assert clean(clean(written)) == clean(written)


def test_one_line() -> None:
    assert one_line(" a \n b\n") == "a b"


def test_raised_digits() -> None:
    assert raised("6") == "⁶"
    assert raised("-2") == "⁻²"
    assert raised("st") == "st"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_say_what_they_are(encoding: str) -> None:
    assert decode("Größe 5 °C".encode(encoding)) == ("Größe 5 °C", ())


def test_windows_bytes_are_read_with_a_note() -> None:
    text, (note,) = decode("Größe “5”".encode("cp1252"))
    assert text == "Größe “5”"
    assert "Windows-1252" in note


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\xff\xfea", "utf-16"),
        (b"caf\x81\xe9", "not text"),
        (b"PK\x03\x04\x00\x00", "NUL"),
        ("plain".encode("utf-16-le"), "NUL"),
    ],
)
def test_bytes_that_are_not_text(raw: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        decode(raw)
