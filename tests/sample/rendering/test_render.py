from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleet_manifests import extra as installed
from fleet_manifests.errors import MissingExtraError, UsageError
from sample.rendering import KINDS, Kind, extra, render

pytestmark = pytest.mark.unit

FOREIGN = {
    "empty": "",
    "one word": "word",
    "only front matter": "---\ntitle: x\n---\n",
    "link and picture": "See [the rules](http://x.example) ![dock door](a.png) and <b>this</b>.",
    "code": "```python\nprint(1)\n```\n\n    indented\n",
    "note": "> [!NOTE]\n> Be careful.\n>\n> > Very.",
    "html": "<div><script>alert(1)</script>x<br>y</div>\n\n<!-- c -->\n",
    "control characters": "a\x00b\x07c\ud800d\x85e\uffff",
    "wide table": "|" + "c|" * 40 + "\n|" + "-|" * 40 + "\n|" + "averylongword|" * 40,
    "ragged table": "|a|b|\n|-|-|\n|1|\n|1|2|3|\n",
    "tall cell": "|a|b|\n|-|-|\n|" + "word " * 4000 + "|x|\n",
    "long word": "x" * 5000,
    "deep list": "\n".join("  " * depth + "- item" for depth in range(30)),
    "empty items": "-\n- \n1.\n2. x",
    "heading in a list": "- # head\n\n  |a|\n  |-|\n  |b|",
    "numbers": "0. a\n1. b\n\ntext\n\n999999999. c",
    "many tops": "# a\n\n# b\n\ntext\n\n####### no heading\n\n###### deep",
    "long heading": "# " + "word " * 300,
    "other scripts": "数量 → ok, žluťoučký, ≤ 5",
    "rule, no front matter": "---\nfoo\n---\nbar",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_markdown_does_not_break_it(name: str, kind: Kind) -> None:
    source = FOREIGN[name].replace("\ud800", "") if kind == "md" else FOREIGN[name]
    assert isinstance(render(source, kind), bytes)


def test_markdown_is_given_as_it_is(procedure: str) -> None:
    assert render(procedure, "md") == procedure.encode()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_text_gives_the_same_bytes_at_any_time(
    procedure: str, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = render(procedure, kind)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 10_000_000)
    assert render(procedure, kind) == first != render(procedure + "\nMore.\n", kind)


def test_another_process_gives_the_same_bytes(procedure: str, tmp_path: Path) -> None:
    script = (
        "import hashlib, pathlib, sys; from sample.rendering import KINDS, render\n"
        "text = pathlib.Path(sys.argv[1]).read_text()\n"
        "print(*(hashlib.sha256(render(text, kind)).hexdigest() for kind in KINDS))\n"
    )
    path = tmp_path / "text.md"
    path.write_text(procedure)
    environment = {**os.environ, "PYTHONHASHSEED": "3", "TZ": "Asia/Tokyo"}
    words = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == [hashlib.sha256(render(procedure, kind)).hexdigest() for kind in KINDS]


def test_an_unknown_format_is_refused(procedure: str) -> None:
    with pytest.raises(UsageError, match="expected one of md, docx, pdf, html, found odt"):
        render(procedure, "odt")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["docx", "pdf", "html"])
def test_missing_libraries_are_named(procedure: str, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name in ("docx", "reportlab") else object())
    with pytest.raises(
        MissingExtraError, match=r"docx, reportlab are not installed; run: pip install 'lading\[factory"
    ):
        render(procedure, kind)
    assert render(procedure, "md")


def test_a_parent_that_is_missing_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        if name == "ruamel.yaml":
            raise ModuleNotFoundError(name)
        return object()

    monkeypatch.setattr(installed, "find_spec", absent)
    with pytest.raises(MissingExtraError, match=r"`lading init` needs the factory, and ruamel.yaml is not installed"):
        extra.need_libraries("lading init")
