"""Every test that a document names is there: a claim about security without its test is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`(test_[a-z0-9_]+)`")


def defined() -> set[str]:
    """Every test function of the project."""
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"^def (test_\w+)\(", source, re.MULTILINE)}


@pytest.mark.parametrize("document", ["keys.md", "threat-model.md"])
def test_every_test_that_a_document_names_is_there(document: str) -> None:
    named = set(NAMED.findall((ROOT / "docs" / document).read_text()))
    assert len(named) > 20
    assert named - defined() == set()


def test_every_row_of_the_attack_list_names_a_test() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text()
    rows = text.split("## Attacks and their tests")[1].split("## What is left")[0].strip().splitlines()[2:]
    assert len(rows) > 25
    assert [row for row in rows if not NAMED.search(row.split("|")[2])] == []
