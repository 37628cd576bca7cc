from __future__ import annotations

import re
import sqlite3
from collections import Counter

import pytest

from sample import notes
from sample.dice import Dice
from sample.grammar import expand, fill, sections, slots
from sample.writers import STYLES, WRITERS, Writer, write

pytestmark = pytest.mark.unit

LABELLED = "SELECT note, exception_class FROM order_exceptions WHERE disposition = 'confirmed' ORDER BY exception_id"


@pytest.fixture
def rows(erp: sqlite3.Connection) -> list[tuple[str, str]]:
    return erp.execute(LABELLED).fetchall()


def test_classes_are_as_unequal_as_planned(rows: list[tuple[str, str]]) -> None:
    found = Counter(label for _, label in rows)
    assert set(found) == set(notes.SHARES)
    assert sum(notes.SHARES.values()) == pytest.approx(1)
    for label, share in notes.SHARES.items():
        assert found[label] / len(rows) == pytest.approx(share, abs=0.02), label
    largest, smallest = max(found.values()), min(found.values())
    assert 0.15 < largest / len(rows) < 0.25 and 0.02 < smallest / len(rows) < 0.045


@pytest.mark.parametrize(
    ("trait", "pattern", "share"),
    [
        ("shouting", r"^[^a-z]{12,}$", 0.1),
        ("abbreviation", r"(?i)\b(cust|rcvd|qty|plt|inv|shpd|dlvy|pls|w/o)\b", 0.1),
        ("item number", r"\b[A-Z]{2}-?\d{5}\b", 0.15),
        ("order number", r"\bSO-\d{6}\b", 0.1),
        ("date", r"\b\d{1,2}[/.]\d\d\b|\b20\d\d-\d\d-\d\d\b|\b\d\d (Jan|Feb|Mar|Apr|Jun|Oct)", 0.003),
        ("mail address", r"\S+@\S+\.example", 0.01),
        ("phone number", r"(0|\+44 )\d{2,3} \d{3,4} \d{4}", 0.02),
        ("copied mail", r"(?i)^(fw|re|fwd):|\bregards\b|sent from my phone", 0.02),
        ("denial", r"(?i)\b(not|no|nothing)\b", 0.1),
        ("texting", r"\b(u|2|4|n|r|thx|2moro|abt|da)\b", 0.02),
        ("foreign words", r"(?i)\b(mit|und|camion|factura|dringend|livraison)\b", 0.01),
    ],
)
def test_notes_are_as_messy_as_real_ones(rows: list[tuple[str, str]], trait: str, pattern: str, share: float) -> None:
    found = sum(bool(re.search(pattern, note)) for note, _ in rows)
    assert found / len(rows) >= share, trait


def test_notes_are_short(rows: list[tuple[str, str]]) -> None:
    words = sorted(len(re.findall(r"\w+|[^\w\s]", note)) for note, _ in rows)
    assert 10 <= words[len(words) // 2] <= 25
    assert words[int(0.97 * len(words))] < 60


def test_notes_do_not_repeat_each_other(rows: list[tuple[str, str]]) -> None:
    same = Counter(re.sub(r"\d+", "0", note.casefold()) for note, _ in rows)
    assert sum(times - 1 for times in same.values()) / len(rows) < 0.05
    skeletons = Counter(re.sub(r"[\W\d_]+", " ", note.casefold()).strip() for note, _ in rows)
    assert max(skeletons.values()) < 0.005 * len(rows)


def test_many_notes_never_name_their_class(rows: list[tuple[str, str]]) -> None:
    silent = [note for note, label in rows if not any(word[:5] in note.casefold() for word in label.split("_"))]
    assert len(silent) / len(rows) > 0.5


def test_two_in_a_hundred_labels_are_wrong_and_look_alike() -> None:
    dice = Dice(1, "labels")
    drawn = [(cause, notes.given_label(cause, dice)) for cause in notes.SHARES for _ in range(2000)]
    wrong = [(cause, label) for cause, label in drawn if cause != label]
    assert len(wrong) / len(drawn) == pytest.approx(notes.WRONG_LABELS, abs=0.005)
    assert all(label in notes.KIN[cause] for cause, label in wrong)


def test_other_notes_are_typed_by_the_same_people_in_the_same_jargon(erp: sqlite3.Connection) -> None:
    query = "SELECT reported_by, count(*) FROM order_exceptions WHERE disposition = ? GROUP BY 1"
    others = dict(erp.execute(query, ("not_an_exception",)).fetchall())
    assert set(others) == {writer.user for writer in WRITERS}
    vocabulary = {word for note, _ in erp.execute(LABELLED) for word in re.findall(r"[a-z]+", note.casefold())}
    texts = erp.execute("SELECT note FROM order_exceptions WHERE disposition = 'not_an_exception'").fetchall()
    words = [word for (note,) in texts for word in re.findall(r"[a-z]+", note.casefold())]
    assert sum(word in vocabulary for word in words) / len(words) > 0.6
    same = Counter(re.sub(r"\d+", "0", note.casefold()) for (note,) in texts)
    assert sum(times - 1 for times in same.values()) / len(texts) < 0.1


def test_every_class_has_many_phrasings_in_three_sections() -> None:
    for label in notes.SHARES:
        found = sections(label)
        assert list(found) == ["says", "mentions", "denies"]
        assert len(found["says"]) >= 35 and len(found["mentions"]) >= 12 and len(found["denies"]) >= 7, label


def test_phrase_files_are_well_formed(erp: sqlite3.Connection) -> None:
    known = set(_facts())
    for file in (*notes.SHARES, notes.NO_CLASS, "frames"):
        for section, lines in sections(file).items():
            assert len(set(lines)) == len(lines), (file, section)
            for line in lines:
                assert line.count("[") == line.count("]") and line == line.strip(), line
                assert slots(line) <= known | {"main", "second", "denial", "denial2"}, line


def test_a_frame_with_two_causes_names_both_once() -> None:
    for frame in sections("frames")["mixed"]:
        for attempt in range(20):
            decided = expand(frame, Dice(attempt, "frame"), "someone")
            assert decided.count("{main}") == decided.count("{second}") == 1, frame


def test_no_phrasing_is_shared_by_two_classes() -> None:
    lines = Counter(line for label in notes.SHARES for line in sections(label)["says"])
    assert max(lines.values()) == 1


def test_choices_nest_and_an_empty_one_is_possible() -> None:
    drawn = {expand("a[ [b|c]|] {d}", Dice(seed, "nest"), "h") for seed in range(60)}
    assert drawn == {"a b {d}", "a c {d}", "a {d}"}
    assert fill("{x}, {y}", {"x": "1", "y": "2"}) == "1, 2"


def test_writers_have_favourite_words() -> None:
    phrase = "[one|two|three|four]"
    favourites = set()
    for writer in WRITERS:
        drawn = Counter(expand(phrase, Dice(seed, "w"), writer.user) for seed in range(300))
        ((favourite, times),) = drawn.most_common(1)
        favourites.add(favourite)
        assert len(drawn) == 4 and times > 110
    assert len(favourites) > 1


def test_some_phrasings_come_up_only_later() -> None:
    def heard(progress: float) -> set[str]:
        dice, moment = Dice(1, "later"), notes.Moment(progress)
        return {notes._Voice(WRITERS[0], moment, dice).say("frames", "ask") for _ in range(3000)}

    early, late = heard(0.0), heard(1.0)
    assert len({text.split()[0] for text in late - early}) >= 2


@pytest.mark.parametrize(
    ("style", "said", "expected"),
    [
        ("terse", "the pallet is wet", "PALLET WET"),
        ("sentences", "cust rcvd 4. pls check", "The customer received 4. Please check."),
        ("plain", "box wet", "box wet"),
    ],
)
def test_styles(style: str, said: str, expected: str) -> None:
    typed = {write(said, Writer("x", 1.0, style), Dice(seed, "style")) for seed in range(80)}
    assert expected in typed


def test_slips_of_the_finger_touch_words_but_never_numbers() -> None:
    writer = Writer("x", 1.0, "plain", typos=1.0)
    for seed in range(50):
        typed = write("SO-104233 delivered 12/03 AB-10442", writer, Dice(seed, "typos"))
        assert re.fullmatch(r"SO-104233 [A-Za-z]{3,10} 12/03 AB-10442", typed)
    assert write("delivered", Writer("x", 1.0, "plain"), Dice(1, "t")).lower() == "delivered"


def test_every_writer_has_a_style_and_shares_add_up() -> None:
    assert {writer.style for writer in WRITERS} == set(STYLES)
    assert sum(writer.share for writer in WRITERS) == pytest.approx(1)


def test_the_statement_denied_is_never_the_cause() -> None:
    dice = Dice(2, "denied")
    for cause in notes.SHARES:
        voice = notes._Voice(WRITERS[2], notes.Moment(0.5), dice)
        for _ in range(100):
            assert voice.other_than(cause) != cause


def _facts() -> dict[str, str]:
    names = (
        "order order2 po invoice track item other product otherproduct unit ordered got less price wrongprice amount "
        "bin day days date carrier customer city city2 name contact email phone"
    )
    return dict.fromkeys(names.split(), "x")


@pytest.mark.parametrize("cause", notes.SHARES)
def test_every_writer_can_say_every_class(cause: str) -> None:
    dice = Dice(3, cause)
    for writer in WRITERS:
        for _ in range(20):
            note = notes.exception_note(cause, _facts(), writer, notes.Moment(1.0), dice)
            assert len(note) > 5 and not re.search(r"[\[\]{}]", note), note
