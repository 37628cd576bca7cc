"""The pages that people look at, in a real Chromium: nothing leaves, nothing is complained about, nothing overflows."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
SPEC = importlib.util.spec_from_file_location("chromium", Path(__file__).with_name("chromium.py"))
assert SPEC is not None and SPEC.loader is not None
browser = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(browser)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if browser.PROGRAM is None:
        pytest.skip("no Chromium on this machine")
    with browser.chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def pages(built: Any, tmp_path: Path) -> dict[str, Path]:
    said = json.loads((built.project.parent / "build.json").read_text())
    found = {f"{one['workflow']}--{one['profile']}": Path(one["paths"]["page"]) for one in said}
    packs = [pack for one in said for pack in one["packs"]]
    done = built("lading", "release", "card", "--out", str(tmp_path / "card.html"))
    assert done.code == 0, done.err
    done = built("lading", "release", "diff", "stable", "--to", "1", "--out", str(tmp_path / "diff.html"))
    assert done.code == 0, done.err
    return {
        "build": found["exception_triage--edge-this-machine"],
        "foreign build": found["exception_triage--edge-arm64"],
        "retriever": found["sop_assistant--edge-this-machine"],
        "pack": Path(packs[0]["paths"]["knowledge_report"]),
        "card": tmp_path / "card.html",
        "diff": tmp_path / "diff.html",
    }


HEADINGS = {
    "build": [
        "Gates",
        "Plots",
        "Against other models",
        "Classes and slices",
        "Flips",
        "Robustness",
        "Out of scope",
        "Metrics",
    ],
    "foreign build": ["Gates", "Plots", "Against other models", "Metrics"],
    "retriever": ["Gates", "Plots", "Against other models", "Metrics"],
    "pack": ["Gates", "Plots", "Against other models", "Metrics"],
    "diff": ["Builds", "Knowledge packs", "Workflows"],
    "card": ["Verdicts", "What would change", "Order-exception triage", "Knowledge packs"],
}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
def test_pages_are_whole_and_quiet(pages: dict[str, Path], tab: Any, width: int, dark: bool) -> None:
    for name, path in pages.items():
        tab.open(path, width=width, dark=dark)
        shown = tab.ask("[...document.querySelectorAll('h2')].map(one => one.textContent)")
        assert [one for one in shown if one in HEADINGS[name]] == HEADINGS[name], name
        assert tab.ask("document.documentElement.scrollWidth") <= width, f"{name} overflows at {width} px"
        assert tab.ask("[...document.images].every(one => one.complete && one.naturalWidth > 200)"), name
        assert [url for url in tab.requests if not url.startswith("data:")] == [path.as_uri()], name
        assert tab.complaints == [], name
        back = tab.ask("getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(255, 255, 255)") is not dark, "the page follows the reader's colours"


def test_folded_tables_open_without_a_script(pages: dict[str, Path], tab: Any) -> None:
    tab.open(pages["build"], width=1200)
    hidden = "[...document.querySelectorAll('details table')].filter(one => !one.checkVisibility()).length"
    assert tab.ask(hidden) > 0
    tab.ask("document.querySelectorAll('details').forEach(one => { one.querySelector('summary').click() })")
    assert tab.ask(hidden) == 0
