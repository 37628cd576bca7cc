"""Ordinary Lading projects of real data, written as YAML and files and built by `lading build`."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FLEET = "channels:\n  stable: {managers: [ann, ben], threshold: 2}\nsites:\n  - {site: store-1, site_class: store}\n"
PROFILE = {
    "edge-this-machine": "kind: edge\nisa: host\nmemory_mb: 512\nlatency: {milliseconds: 400}\nsize_budget_mb: 40\n"
    "recipes: [int8-reduced-range]\n",
    "central-x86": "kind: central\nisa: x86-64\nmemory_mb: 2048\nlatency: {milliseconds: 400}\nsize_budget_mb: 200\n"
    "recipes: [fp32]\n",
}
TUNED = {"central-x86": "fp32", "edge-this-machine": "int8"}


def write_frame(project: Path) -> None:
    """Profiles, fleet and settings of a project."""
    for name, text in PROFILE.items():
        write(project / "profiles" / f"{name}.yaml", text)
    write(project / "lading.yaml", f"name: {project.name.replace('_', '-')}\n")
    write(project / "fleet.yaml", FLEET)


def build(name: str, project: Path) -> tuple[dict[str, dict[str, Any]], float]:
    """Build a project with the program, as a user does: what came of each profile, and the seconds it took."""
    keys = project.with_name(f"{project.name}-keys")
    environment = {**os.environ, "LADING_KEYS": str(keys), "LADING_PROJECT": str(project)}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "build", "--json"], env=environment, stdout=subprocess.PIPE, text=True
    )
    if not done.stdout:
        raise SystemExit(f"{name}: the build ended with {done.returncode}")
    return {one["profile"]: one for one in json.loads(done.stdout)}, time.monotonic() - began


def stored(project: Path, step: str, name: str) -> Any:
    """A JSON file of the latest store entry of a step."""
    entries = sorted((project / ".lading/store" / step).glob(f"*/files/{name}"), key=lambda path: path.stat().st_mtime)
    return json.loads(entries[-1].read_text())


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write lines of JSON and the folders above them."""
    write(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def write(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A Markdown table."""
    for line in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(line) + " |")
