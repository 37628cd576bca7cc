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
