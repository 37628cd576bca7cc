from __future__ import annotations

import re
from dataclasses import replace

import pytest

from sample.clock import DAYS
from sample.dealings import Dealing, Line
from sample.dice import Dice
from sample.grammar import repertoire, sections, slots
from sample.house_style import DIALECTS, style_of
from sample.paper_facts import PARTIAL, facts_of
from sample.papers import KINDS, MOST, OTHERS, Paper, write_paper

pytestmark = pytest.mark.unit

DEAL = Dealing(
    side="supplier", partner_id="V2001", partner="Birk Works", city="Hull", order="PO-70123", reference="40512",
    warehouse="DC Leeds", carrier="Nordline", tracking="NO123456789", cartons=7, ordered=300.0, arrived=310.0,
    lines=(Line("SA-10021", "ear plugs", "box", 48, 2.5), Line("TO-10777", "hand trucks", "pc", 12, 80.0)),
)  # fmt: skip
WORDS = re.compile(r"[^\W\d_]+")


def a_paper(kind: str, seed: int, partner: str = "V2001", channel: str = "scanner") -> Paper:
    return write_paper(kind, replace(DEAL, partner_id=partner), 311.0, channel, Dice(seed, "paper"))


def partners_of(dialect: str) -> list[str]:
    return [name for name in (f"V{n}" for n in range(2001, 2400)) if style_of(name).dialect == dialect]


def facts(kind: str = "claim", seed: int = 1) -> dict[str, str]:
    return facts_of(kind, DEAL, DEAL.lines, 311.0, style_of("V2001"), Dice(seed, "facts"))


def test_shares_add_up_and_kin_are_kinds() -> None:
    assert sum(kind.share for kind in KINDS.values()) == pytest.approx(1)
    assert len(KINDS) == 7
    for name, kind in KINDS.items():
        assert set(kind.kin) < set(KINDS) and name not in kind.kin and len(set(kind.kin)) == 3
        assert any(name in other.kin for other in KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_many_phrasings(kind: str) -> None:
    found = sections(kind, "layouts")
    assert list(found) == ["titles", "number", "core", "hints", "mentions"]
    assert len(found["titles"]) >= 10 and len(found["core"]) >= 60 and len(found["mentions"]) >= 8


@pytest.mark.parametrize("file", [*KINDS, "other", "common"])
def test_layout_files_are_well_formed(file: str) -> None:
    known = set(facts()) | {"subject"}
    for section, lines in sections(file, "layouts").items():
        assert len(set(lines)) == len(lines), section
        for line in lines:
            assert line.count("[") == line.count("]") and line == line.strip(), line
            assert slots(line) <= known, line
        for user in ("V2001", "C30077"):
            _, weights, arrivals = repertoire(file, section, user, "layouts")
            assert any(weight and not arrival for weight, arrival in zip(weights, arrivals, strict=True)), section


def test_every_other_kind_has_titles_and_statements() -> None:
    found = sections("other", "layouts")
    assert set(found) == {f"{kind}.{part}" for kind in OTHERS if kind != "blank" for part in ("titles", "core")}


def test_statements_of_two_kinds_are_never_the_same() -> None:
    said = [line for kind in KINDS for line in sections(kind, "layouts")["core"]]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("kind", [*KINDS, *OTHERS])
def test_every_partner_can_write_every_kind(kind: str) -> None:
    for seed in range(60):
        paper = a_paper(kind, seed, f"V{2001 + seed}", "mail" if seed % 2 else "fax")
        text = "\n".join((*paper.lines, paper.stamp, paper.head, *paper.spare))
        assert not re.search(r"[\[\]{}]", text), text
        assert sum(len(line.split()) for line in paper.lines) <= MOST - 20
        assert sum(len(line.split()) for line in paper.spare) > 60, "enough to fill any paper up"


def test_the_same_dice_write_the_same_paper() -> None:
    assert a_paper("claim", 5) == a_paper("claim", 5) != a_paper("claim", 6)


def test_a_paper_says_at_least_one_thing_that_only_its_kind_says() -> None:
    stems = {
        kind: {re.split(r"[\[{|]", line)[0].strip().casefold() for line in sections(kind, "layouts")["core"]}
        for kind in KINDS
    }
    for kind in KINDS:
        own = {stem for stem in stems[kind] if len(stem.split()) >= 4}
        partners = partners_of("plain")[:40]
        texts = ["\n".join(a_paper(kind, n, one).lines).casefold() for n, one in enumerate(partners)]
        assert sum(any(stem in text for stem in own) for text in texts) > 10, kind


def test_a_title_is_often_missing_or_wrong() -> None:
    missing, wrong, papers = 0, 0, 0
    for kind in KINDS:
        names = {one: {title.casefold() for title in sections(one, "layouts")["titles"]} for one in KINDS}
        others = set().union(*(found for one, found in names.items() if one != kind))
        for seed in range(60):
            heads = {
                part.casefold() for line in a_paper(kind, seed, f"V{2001 + seed}").lines for part in line.split(" / ")
            }
            papers += 1
            missing += not heads & names[kind]
            wrong += bool(heads & others) and not heads & names[kind]
    assert 0.35 < missing / papers < 0.75
    assert 0.01 < wrong / papers < 0.1


def test_one_form_serves_several_kinds() -> None:
    shared = next(name for name in (f"V{n}" for n in range(2001, 2400)) if style_of(name).shared_form)
    forms = {
        line for seed in range(40) for line in a_paper("packing_list", seed, shared).lines if line.count(" / ") == 2
    }
    assert forms


def test_papers_speak_of_other_papers() -> None:
    said = "\n".join(line for seed in range(150) for line in a_paper("supplier_invoice", seed).lines).casefold()
    assert re.search(r"credit", said) and re.search(r"packing (list|slip)", said) and re.search(r"pod|delivery", said)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects_are_heard(dialect: str) -> None:
    texts = ["\n".join(a_paper("claim", n, one).lines) for n, one in enumerate(partners_of(dialect)[:40])]
    words = {word.casefold() for text in texts for word in WORDS.findall(text)}
    german, dutch = {"menge", "artikel", "datum", "und"}, {"aantal", "omschrijving", "gelieve", "en"}
    assert (dialect == "german") == (len(words & german) >= 3)
    assert (dialect == "dutch") == (len(words & dutch) >= 3)


@pytest.mark.parametrize("kind", PARTIAL)
def test_a_paper_about_some_pieces_counts_those(kind: str) -> None:
    for seed in range(40):
        found = facts(kind, seed)
        less = int(found["less"])
        assert 1 <= less <= 16 and int(found["got"]) == 48 - less and found["qty"] == "48"
        amount = float(found["amount"].replace(",", ""))
        assert amount == pytest.approx(2.5 * less) and found["total"] == style_of("V2001").money(1.2 * amount)


def test_an_invoice_is_about_all_of_it() -> None:
    found = facts("supplier_invoice")
    assert found["amount"] == "1,080.00" and found["tax"] == "216.00" and found["total"] == "1,296.00"


def test_an_announcement_speaks_of_what_is_to_come_and_others_of_what_was() -> None:
    style = style_of("V2001")
    early = facts_of("advance_shipping_notice", DEAL, DEAL.lines, 307.0, style, Dice(1, "facts"))
    assert early["deadline"] == style.day(310.0) and early["event"] in (style.day(307.0), style.day(308.0))
    assert facts("claim")["event"] == style.day(310.0)


def test_new_phrasings_come_up_as_time_goes_by() -> None:
    def heard(day: float) -> set[str]:
        author = replace(DEAL, arrived=day)
        dice = Dice(1, "later")
        return {
            line
            for _ in range(1500)
            for line in write_paper("claim", author, day, "scanner", dice).lines
            if len(line) > 30
        }

    born = [
        line for line, at in zip(*repertoire("claim", "core", "V2001", "layouts")[::2], strict=True) if 0.2 < at < 0.9
    ]
    stems = [re.split(r"[\[{|]", line)[0].strip().casefold() for line in born]
    stems = [stem for stem in stems if len(stem.split()) >= 4]
    assert stems
    early, late = ("\n".join(heard(day)).casefold() for day in (0.05 * DAYS, 0.95 * DAYS))
    assert not any(stem in early for stem in stems) and any(stem in late for stem in stems)
