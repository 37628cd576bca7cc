"""Documents: the procedures of a real ERP, written out as Markdown, Word and PDF and taken in again."""

from __future__ import annotations

import json
import resource
import time
from collections import Counter
from pathlib import Path

from benchmarks.real_data.projects import print_table
from sample.rendering import Kind

SUFFIXES: dict[Kind, str] = {"md": ".md", "docx": ".docx", "pdf": ".pdf"}
GOALS = {"md": 60.0, "docx": None, "pdf": 300.0}
"""Seconds on 2 idle cores."""


def d365(data: Path, work: Path) -> None:
    """Dynamics 365 Business Central documentation (Microsoft, CC BY 4.0) as a library of three formats."""
    from pipelines.documents import DocumentSource, take_in
    from sample.rendering import render

    lines = (data / "pages_nofaq.jsonl").read_text(encoding="utf-8").splitlines()
    pages = [json.loads(line) for line in lines]
    print(f"\n## d365bc_docs ({len(pages)} pages)\n")
    truth: Counter[str] | None = None
    rows = []
    for kind, suffix in SUFFIXES.items():
        folder = work / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number, page in enumerate(pages):
            (folder / f"page-{number:04d}{suffix}").write_bytes(render(page["text"], kind))
        began = time.monotonic()
        source = DocumentSource(name="d365", kind="documents", path=kind)
        library = take_in(source, project=work)
        seconds = time.monotonic() - began
        found = marks(library.passages)
        truth = truth or found
        goal = f" (goal {GOALS[kind]:.0f})" if GOALS[kind] else ""
        rows.append([
            kind, f"{seconds:.1f}{goal}", str(len(library.documents)), str(len(library.passages)),
            str(sum(card.pages or 0 for card in library.documents)), survived(truth, found, "heading"),
            survived(truth, found, "step"), str(len(library.problems)), f"{peak_mb():.0f}",
        ])  # fmt: skip
    head = ["format", "seconds", "documents", "passages", "pages", "headings kept", "steps kept", "problems", "peak MB"]
    print_table(head, rows)


def marks(passages: object) -> Counter[str]:
    """Every heading and every numbered step of a library, by document and text without markup."""
    found: Counter[str] = Counter()
    for passage in passages:  # type: ignore[attr-defined]
        for heading in passage.section:
            found[f"heading {passage.document} {plain(heading)}"] = 1
        for line in passage.text.splitlines():
            number, dot, text = line.strip().partition(". ")
            if dot and number.isdigit():
                found[f"step {passage.document} {plain(text)[:40]}"] += 1
    return found


def plain(text: str) -> str:
    """Letters and digits only, for comparison."""
    return "".join(char for char in text.casefold() if char.isalnum())


def survived(truth: Counter[str], found: Counter[str], kind: str) -> str:
    """The share of what Markdown has that is there in another format too."""
    wanted = {key: n for key, n in truth.items() if key.startswith(kind)}
    kept = sum(min(n, found.get(key, 0)) for key, n in wanted.items())
    return f"{kept / max(sum(wanted.values()), 1):.1%} of {sum(wanted.values())}"


def peak_mb() -> float:
    """Peak resident memory of this process and of the largest of its finished children."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, children) / 1024
