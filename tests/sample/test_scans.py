from __future__ import annotations

import re

import pytest

from sample import scans
from sample.dice import Dice
from sample.scans import CHANNELS, WEAR, Wear, blank, illegible, pass_through

pytestmark = pytest.mark.unit

LINES = [f"line number {n} says that 10 cartons of rolling iron were sent" for n in range(12)]
SPARE = tuple(f"small print {n} of the partner" for n in range(9))


def arrive(channel: str, seed: int, lines: list[str] | None = None, least: int = 60) -> str:
    given = lines or LINES
    return pass_through(given, channel, Dice(seed, "way"), stamp="RECEIVED", head="page 9", spare=SPARE, least=least)


def only(monkeypatch: pytest.MonkeyPatch, **rates: float) -> None:
    monkeypatch.setattr(scans, "WEAR", {"scanner": Wear(**rates)})


def test_every_channel_wears_and_a_mail_hardly() -> None:
    assert set(WEAR) == set(CHANNELS)
    clean = "\n".join(LINES)
    changed = {channel: sum(arrive(channel, seed) != clean for seed in range(200)) for channel in CHANNELS}
    assert 0 < changed["mail"] < 50 < 190 < changed["scanner"] <= changed["fax"]


def test_the_way_is_the_same_for_the_same_seed() -> None:
    assert arrive("fax", 3) == arrive("fax", 3) != arrive("fax", 4)


@pytest.mark.parametrize(
    ("rates", "pattern"),
    [
        ({"misread": 1.0}, r"sern|carf|nurnber|catons|1ine|l0|O "),
        ({"joined": 1.0}, r"linenumber\d+saysthat"),
        ({"split": 1.0}, r"(?m)\bca rtons\b|\bcar tons\b|\bcart ons\b|\bcarto ns\b"),
        ({"broken": 1.0}, r"(?m)^line number \d+$|^line number$|^line$"),
        ({"marks": 1.0}, r"(?m)^[.'|~,_*:\\-] line|sent [.'|~,_*:\\-]$"),
        ({"stamped": 1.0}, r"(?m)^RECEIVED$"),
        ({"foreign": 1.0}, r"\Apage 9\n|\npage 9\Z"),
    ],
)
def test_each_kind_of_wear(rates: dict[str, float], pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, **rates)
    assert re.search(pattern, arrive("scanner", 1))


def test_a_word_is_only_taken_for_what_looks_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, misread=1.0)
    assert {arrive("scanner", seed, ["0"] * 61) for seed in range(3)} == {"\n".join("O" * 61)}
    assert {arrive("scanner", seed, ["xyk"] * 61) for seed in range(3)} == {"\n".join(["xyk"] * 61)}
    assert {arrive("scanner", seed, ["barn"] * 61) for seed in range(3)} == {"\n".join(["bam"] * 61)}


@pytest.mark.parametrize(("rate", "kept"), [("beheaded", -1), ("cut", 0)])
def test_a_page_loses_its_top_or_its_bottom(rate: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, **{rate: 1.0})
    left = arrive("scanner", 1).split("\n")
    assert 8 <= len(left) < 12 and left[kept] == LINES[kept]


def test_enough_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, beheaded=1.0, cut=1.0, joined=1.0)
    for seed in range(50):
        assert len(arrive("scanner", seed, ["one two three"] * 9).split()) >= 60, "spare lines fill it up"
    assert len(arrive("scanner", 1, ["one two three"] * 9, least=0).split()) < 30


def test_lines_that_name_somebody_stay_legible(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, misread=1.0, joined=1.0, split=1.0, broken=1.0, marks=1.0)
    lines = ["Tel. 020 7946 0334", "write to office@birkworks.example today"]
    assert arrive("scanner", 1, lines, least=0).split("\n") == lines


def test_nothing_is_read_where_nothing_is_written() -> None:
    for seed in range(30):
        read = blank(Dice(seed, "blank"))
        assert read and not re.search(r"\w", "".join(read).replace("_", ""))
    assert blank(Dice(1, "blank")) != blank(Dice(2, "blank"))


def test_a_pale_page_gives_a_letter_here_and_there() -> None:
    clean = "\n".join(LINES)
    read = "\n".join(illegible(LINES, Dice(1, "pale")))
    assert not re.search(r"\b(number|cartons|rolling)\b", read)
    assert 0.1 < sum(map(str.isalpha, read)) / sum(map(str.isalpha, clean)) < 0.5
