"""Characters: from bytes to text, and from what a font or a program wrote to what a person reads."""

from __future__ import annotations

import codecs
import re
import unicodedata

from fleet_manifests import DataError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, the longer ones first."""
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_SPACES = dict.fromkeys((0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " ")
_NOTHING = dict.fromkeys((0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF, 0xFFFC), None)
_SYMBOLS = {0xF0B7: "•", 0xF0A7: "▪", 0xF0D8: "➢", 0xF0FC: "✓", 0xF076: "❖", 0xF02D: "-"}
"""Bullets of the symbol fonts of Word, which have no character of their own."""
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000))
"""Half characters, which no file can hold."""
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
_REPLACED = {
    **_LIGATURES,
    **_SPACES,
    **_NOTHING,
    **_CONTROLS,
    **_SURROGATES,
    **_SYMBOLS,
    0x2028: "\n",
    0x2029: "\n",
    0x2011: "-",
}
_POWERS = str.maketrans("0123456789+-\u2212", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")
_BLANKS = re.compile(r"[ \t]+")


def clean(text: str) -> str:
    """Text as a person reads it: composed (NFC), ligatures spelt out, one kind of space, nothing invisible.

    Compatibility characters such as `²`, `½` or `™` stay: NFKC would change what they say. Line breaks stay.
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").translate(_REPLACED))
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def one_line(text: str) -> str:
    """The same on one line."""
    return clean(text).replace("\n", " ")


def raised(text: str) -> str:
    """Text with its digits as superscripts."""
    return text.translate(_POWERS)


def decode(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file and what to note about its encoding.

    UTF-8, or what a byte order mark says; other bytes are read as Windows-1252, which is noted.

    Raises:
        DataError: these bytes are not text.
    """
    name = next((name for mark, name in _BOMS if raw.startswith(mark)), "utf-8")
    notes: tuple[str, ...] = ()
    try:
        text = raw.decode(name)
    except UnicodeDecodeError as exc:
        if name != "utf-8":
            raise DataError(f"not text: begins like {name} but is not; save it as UTF-8") from exc
        text, notes = _windows(raw), ("not UTF-8: read as Windows-1252; check its accents, or save it as UTF-8",)
    if "\0" in text:
        raise DataError("not text: it has NUL characters; save it as text in UTF-8")
    return text, notes


def _windows(raw: bytes) -> str:
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError as exc:
        raise DataError("not text in UTF-8 or Windows-1252; save it as UTF-8") from exc
