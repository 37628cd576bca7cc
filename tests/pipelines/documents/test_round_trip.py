"""The procedures of the sample, written in every format: each gives what its Markdown gives."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest

from pipelines.documents import Library
from sample.rendering import KINDS, Kind, render

pytestmark = pytest.mark.integration


def passages(library: Library) -> list[tuple[Any, ...]]:
    """All of the passages but their pages."""
    return [tuple(value for name, value in passage if name != "page") for passage in library.passages]


@pytest.fixture(scope="module")
def procedures() -> dict[str, str]:
    folder = resources.files("sample") / "sops" / "documents"
    return {path.name: path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith("1.md")}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "md"])
def test_a_format_loses_nothing(folder: Any, procedures: dict[str, str], kind: Kind) -> None:
    for name, text in procedures.items():
        folder.add(f"md/{name}", text)
        folder.add(f"{kind}/{name.removesuffix('.md')}.{kind}", render(text, kind))
    truth = folder.take_in(path="docs/md", workers=2)
    found = folder.take_in(path=f"docs/{kind}", workers=2)
    assert len(truth.documents) == len(procedures) > 5
    assert passages(found) == passages(truth)
    assert found.problems == truth.problems == ()
    assert all((passage.page is not None) is (kind == "pdf") for passage in found.passages)
