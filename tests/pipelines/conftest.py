from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FILES = {
    "lading.yaml": "name: acme\ntitle: Acme\n",
    "sources/erp.yaml": """\
kind: sql
url: sqlite:///erp.sqlite
tables:
  notes:
    cursor: updated_at
    primary_key: [id]
    columns: {id: internal, updated_at: internal, note: {class: internal, scrub: true}, label: internal}
""",
    "workflows/triage.yaml": """\
title: Triage
owner: desk
task: classify
data_classes: [internal]
corpus:
  sql: corpora/triage.sql
  split: {by: time, validation: 0.15, test: 0.15}
gates: {metric: macro_f1, floor: 0.5, margin: 0.05}
placement: {offline: full}
""",
    "corpora/triage.sql": "SELECT id, note AS text, label, updated_at AS time FROM erp.notes\n",
    "profiles/edge.yaml": """\
kind: edge
isa: x86-64-v3
cores: 1
memory_mb: 512
latency: {percentile: 99, milliseconds: 400, tokens: 128}
size_budget_mb: 40
recipes: [int8-reduced-range]
""",
    "fleet.yaml": """\
channels:
  stable: {managers: [alice, bob], threshold: 2}
sites:
  - {site: north, site_class: warehouse}
""",
}


@pytest.fixture(scope="session")
def project_files() -> dict[str, str]:
    """The files of the small valid project."""
    return FILES


@pytest.fixture
def project_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small valid project; keyword arguments replace, `old=new`, text in a file."""

    def write(**changes: tuple[str, str]) -> Path:
        root = tmp_path / "project"
        for name, text in FILES.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name, (old, new) in changes.items():
            path = root / name.replace("__", "/").replace("_yaml", ".yaml")
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new, 1))
        return root

    return write


LIBRARY = {
    "sources/sops.yaml": "kind: documents\npath: sops\n",
    "workflows/floor.yaml": """\
title: Floor
owner: desk
task: retrieve
data_classes: [internal]
corpus:
  source: sops
  questions: {validation: questions/validation.jsonl, test: questions/test.jsonl}
gates: {floor: 0.5, margin: 0.05}
placement: {offline: full}
""",
    "questions/validation.jsonl": '{"id": "v1", "text": "who mops up oil", "answers": [{"document": "HS-1", "section": "Spills"}]}\n',
    "questions/test.jsonl": '{"id": "t1", "text": "slot taken, where to", "answers": [{"document": "WH-1", "section": "Full slots"}]}\n',
    "sops/wh-1.md": """\
---
document: WH-1
revision: 2
effective_from: 2026-01-01
---
# Putaway

## Full slots

1. Scan the pallet.
2. Take it to the overflow aisle.
""",
    "sops/hs-1.md": """\
---
document: HS-1
---
# Safety

## Spills

1. Put up the yellow sign.
2. Spread the granulate.
""",
}


@pytest.fixture
def library_folder(project_folder: Callable[..., Path]) -> Callable[..., Path]:
    """Writes the small project with two procedures and a workflow that answers from them."""

    def write(**changes: tuple[str, str]) -> Path:
        root = project_folder(**changes)
        for name, text in LIBRARY.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return write
