"""Values in sentences: their kinds, their amounts, and what is no value."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes.knowledge.values import Statement, statement, statements

pytestmark = pytest.mark.unit

HOUR, DAY = 3600.0, 86400.0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("within 2 hours", [("duration", 2 * HOUR)]),
        ("within two hours", [("duration", 2 * HOUR)]),
        ("after 90 minutes", [("duration", 1.5 * HOUR)]),
        ("a half-day of 1.5 hours", [("duration", 1.5 * HOUR)]),
        ("a 2-week supply", [("duration", 14 * DAY)]),
        ("for 20 to 40 minutes", [("duration", 1200.0), ("duration", 2400.0)]),
        ("between 2 and 8 °C", [("temperature", 2.0), ("temperature", 8.0)]),
        ("-18 °C or colder", [("temperature", -18.0)]),
        ("warmer than −15 °C", [("temperature", -15.0)]),
        ("3 working days", [("working time", 3.0)]),
        ("1.80 m", [("length", 1.8)]),
        ("180 cm", [("length", 1.8)]),
        ("1,000 kg", [("mass", 1000.0)]),
        ("1 tonne", [("mass", 1000.0)]),
        ("7,5 litres", [("volume", 7.5)]),
        ("20 per cent", [("share", 20.0)]),
        ("20 % or less", [("share", 20.0)]),
        ("60-95% alcohol", [("share", 60.0), ("share", 95.0)]),
        ("up to EUR 20", [("money", 20.0)]),
        ("up to 20 EUR", [("money", 20.0)]),
        ("€1,250.50", [("money", 1250.5)]),
        ("$5 or £6", [("dollars", 5.0), ("pounds", 6.0)]),
        ("10 km/h", [("speed", 10.0)]),
        ("every 2 hours", [("interval", 2 * HOUR)]),
        ("every hour", [("interval", HOUR)]),
        ("every day", [("interval", DAY)]),
        ("daily", [("interval", DAY)]),
        ("once a week", [("interval", 7 * DAY)]),
        ("every Monday", [("interval", 7 * DAY)]),
        ("every second week", [("interval", 14 * DAY)]),
        ("twice a day", [("interval", DAY / 2)]),
        ("three times a day", [("interval", DAY / 3)]),
        ("4 times per year", [("interval", 365 * DAY / 4)]),
        ("at 06:00", [("clock", 360.0)]),
        ("before noon", [("clock", 720.0)]),
        ("two people", [("count:person", 2.0)]),
        ("one person", [("count:person", 1.0)]),
        ("3 full pallets", [("count:pallet", 3.0)]),
        ("six signed copies", [("count:copie", 6.0)]),
        ("The lid must not be opened", [("rule", 0.0)]),
        ("Never climb", [("rule", 0.0)]),
        ("Entry is forbidden", [("rule", 0.0)]),
        ("The lid must be opened", [("rule", 1.0)]),
        ("You may climb", [("rule", 1.0)]),
        ("Climbing is allowed", [("rule", 1.0)]),
    ],
)
def test_values(text: str, values: list[tuple[str, float]]) -> None:
    assert list(statement(text).values) == values


@pytest.mark.parametrize(
    "text",
    [
        "Drive away",
        "door 7 at the north end",
        "see section 4 support",
        "Repeat steps 4 through 8",
        "N95 respirators",
        "item SP-1009 Airpot",
        "location A-12-03-B",
        "3.4 Accidents and incidents",
        "on 10 July",
        "the 2026 revision",
        "level 3 of aisle 4",
        "form CR-1",
        "about one",
        "don't wait",
        "one slightly ahead",
        "",
    ],
)
def test_what_is_no_value(text: str) -> None:
    assert statement(text).values == ()
    assert statement(text).masked == text


@pytest.mark.parametrize(
    ("one", "other"),
    [("60 minutes", "1 hour"), ("7 days", "one week"), ("180 cm", "1.8 m"), ("daily", "every day"), ("noon", "12:00")],
)
def test_the_same_amount_in_other_words_is_equal(one: str, other: str) -> None:
    assert statement(one).values == statement(other).values


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Read it every 2 hours at 06:00.", "Read it interval at clock."),
        ("Two people lift 30 kg.", "count people lift mass."),
        ("It must not exceed 8 °C.", "It rule exceed temperature."),
    ],
)
def test_masked_sentences_hide_only_values(text: str, masked: str) -> None:
    assert statement(text).masked == masked


def test_sentences_that_differ_in_a_value_alone_mask_alike() -> None:
    assert statement("Report it within 2 hours.").masked == statement("Report it within 30 minutes.").masked


def test_of_gives_the_amounts_of_a_kind() -> None:
    found = statement("Between 2 and 8 °C for 2 hours, or for 3 hours.")
    assert found.of("temperature") == {2.0, 8.0}
    assert found.of("duration") == {2 * HOUR, 3 * HOUR}
    assert found.of("mass") == frozenset()


def texts(text: str) -> list[str]:
    return [one.text for one in statements(text)]


def test_steps_and_bullets_lose_their_marks() -> None:
    assert texts("1. Wait 2 minutes.\n- Lift 3 boxes.\n* Rest.\n12) **Wait** 5 minutes.") == [
        "Wait 2 minutes.",
        "Lift 3 boxes.",
        "Wait 5 minutes.",
    ]


@pytest.mark.parametrize("text", ["| a | 2 hours |", "# 3 boxes", "## Wait 2 hours", "", "\n\n", "No value here."])
def test_tables_headings_and_plain_sentences_hold_no_statement(text: str) -> None:
    assert texts(text) == []


def test_decimal_points_and_abbreviations_do_not_end_a_sentence() -> None:
    assert texts("Up to 1.80 m is fine. More is not.") == ["Up to 1.80 m is fine."]


def test_clauses_come_after_their_sentence_and_know_it() -> None:
    text = "The height is 1.80 m, base included; the gauge hangs at the exit."
    found = list(statements(text))
    assert [one.text for one in found] == [text, "The height is 1.80 m, base included;", "The height is 1.80 m,"]
    assert {one.sentence for one in found} == {text}


def test_clauses_that_point_elsewhere_are_left_out() -> None:
    assert texts("Lift the drum; rolling it is allowed for 3 m at most.") == [
        "Lift the drum; rolling it is allowed for 3 m at most."
    ]


@pytest.mark.parametrize("unit", ["hours", "Hours", "HOURS"])
def test_case_does_not_matter(unit: str) -> None:
    assert statement(f"Within 2 {unit}").values == (("duration", 2 * HOUR),)


def test_statements_are_values() -> None:
    made: Any = Statement("2 m", "2 m", "length", (("length", 2.0),))
    assert statement("2 m") == made
    assert hash(statement("2 m")) == hash(made)


@pytest.mark.parametrize("text", ["every every every", "0 times a day", "99:99", "1,2,3,4 m", "--5 m", "5.", "%", "€"])
def test_odd_texts_do_not_fail(text: str) -> None:
    for one in statements(text):
        assert one.values
