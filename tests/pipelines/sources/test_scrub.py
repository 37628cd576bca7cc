"""Scrubbing: personal data goes, order and part numbers stay."""

from __future__ import annotations

import pytest

from pipelines.sources import scrub

pytestmark = pytest.mark.unit

REGIONS = ("US", "GB", "DE")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail bob.o'neil@acme-co.com pls", "mail <email> pls"),
        ("cc: A.B+c@mail.example.co.uk; d@e.org", "cc: <email>; <email>"),
        ("call 4085551234 b4 noon", "call <phone> b4 noon"),
        ("ring me on 408-555-1234 re SO-100234", "ring me on <phone> re SO-100234"),
        ("(408) 555-1234", "<phone>"),
        ("408.555.1234 x22", "<phone>"),
        ("+44 20 7946 0958 dave", "<phone> dave"),
        ("Tel.: 030 901820", "Tel.: <phone>"),
        ("Phone no. 06 12 34 56 78, FR", "Phone no. <phone>, FR"),
        ("paid from GB29 NWBK 6016 1331 9268 19 today", "paid from <iban> today"),
        ("de89370400440532013000", "<iban>"),
        ("card 4111 1111 1111 1111 declined", "card <card> declined"),
        ("amex 378282246310005", "amex <card>"),
    ],
)
def test_personal_data_is_replaced(text: str, clean: str) -> None:
    assert scrub(text, REGIONS)[0] == clean


@pytest.mark.parametrize(
    "text",
    [
        "order 4085551234 late",
        "SO-408-555-2671 short 5 pcs",
        "PO 408-555-1234 not on asn",
        "pn 7781-22-0045 wrongly coded 20713",
        "EAN 4006381333931 missing, GTIN 04006381333931",
        "SSCC 003712345678901233 not scanned",
        "tracking 1Z999AA10123456784",
        "4111111111111112 is no card: its check digit is wrong",
        "DE89370400440532013001 is no account: its check digits are wrong",
        "2026-01-15 10:22:33 truck left",
        "qty 5@3.50 ea, 12@ 4",
        "dim 120 x 80 x 100, 1250.5 kg",
        "10 20 30 40 50 60 70",
        "invoice #4085551234",
        "freight 31090.27, value 310245.6, 1,250,310.50",
        "tel 4711 on the label",
        "RE: 115673 115673 PA-15116: someone took from the neighbour bin",
        "FW: 4500808744 4500808745 both late",
        "",
    ],
)
def test_business_numbers_survive(text: str) -> None:
    assert scrub(text, REGIONS) == (text, {})


def test_counts_each_token() -> None:
    text, counts = scrub("a@b.com c@d.com call 408-555-1234", REGIONS)
    assert text == "<email> <email> call <phone>"
    assert counts == {"<email>": 2, "<phone>": 1}


def test_regions_decide_which_national_formats_are_known() -> None:
    german = "ruf an: 030 901820"
    assert scrub(german, ("DE",))[0] == "ruf an: <phone>"
    assert scrub(german, ("US",))[0] == german


def test_scrubbing_twice_changes_nothing() -> None:
    once, _ = scrub("a@b.com, card 4111111111111111, call +1 408 555 1234", REGIONS)
    assert scrub(once, REGIONS) == (once, {})
