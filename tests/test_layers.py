"""Who may import whom, and what a site never needs."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "fleet_manifests": set(),
    "training": {"fleet_manifests", "runtimes.derive"},
    "quantize": {"fleet_manifests", "runtimes.derive"},
    "release": {"fleet_manifests"},
    "sample": {"fleet_manifests"},
    "runtimes": {"fleet_manifests"},
    "evals": {"fleet_manifests", "runtimes.engine", "runtimes.knowledge", "runtimes.measure"},
    "pipelines": {
        "evals", "fleet_manifests", "quantize", "release", "runtimes.edge", "runtimes.engine", "runtimes.knowledge",
        "runtimes.derive", "runtimes.measure", "runtimes.serving", "runtimes.sync", "sample", "training",
    },
}  # fmt: skip
SERVING = (
    "runtimes/edge",
    "runtimes/central",
    "runtimes/engine",
    "runtimes/knowledge",
    "runtimes/serving.py",
    "runtimes/web.py",
)
ONLY_PIPELINES = {"dagster", "dlt"}
FACTORY_ONLY = {
    "accelerate", "bm25s", "bs4", "dagster", "datasets", "dlt", "docx", "duckdb", "ir_measures", "markdown_it", "markitdown",
    "matplotlib", "mlflow", "onnx", "optimum", "pandas", "peft", "pdfplumber", "phonenumbers", "rapidfuzz", "reportlab",
    "ruamel", "scipy", "sklearn", "torch", "transformers",
}  # fmt: skip


def sources(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, allowed: set[str]) -> bool:
    """Whether a module is one of `allowed`, inside one, or the bare parent whose member is checked itself."""
    parents = {one.rsplit(".", 1)[0] for one in allowed if "." in one}
    return name in parents or any(name == one or name.startswith(one + ".") for one in allowed)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_who_may_import_whom(package: str) -> None:
    ours = set(MAY_IMPORT)
    found = list(sources(package))
    assert found
    for path in found:
        for name in imports(path):
            top = name.split(".")[0]
            if top in ours and top != package:
                assert within(name, MAY_IMPORT[package]), f"{path.relative_to(ROOT)} may not import {name}"


def test_packages_are_those_of_the_rule() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.removesuffix("*") for name in listed} == set(MAY_IMPORT)


@pytest.mark.parametrize("package", ["fleet_manifests", "runtimes"])
def test_what_a_site_runs_needs_no_factory(package: str) -> None:
    for path in sources(package):
        assert not {name.split(".")[0] for name in imports(path)} & FACTORY_ONLY, path.relative_to(ROOT)


@pytest.mark.parametrize("package", sorted(set(MAY_IMPORT) - {"pipelines"}))
def test_only_pipelines_knows_dagster_and_dlt(package: str) -> None:
    for path in sources(package):
        assert not {name.split(".")[0] for name in imports(path)} & ONLY_PIPELINES, path.relative_to(ROOT)


def test_only_defs_import_dagster_at_their_top() -> None:
    """The command line answers `--help` without loading Dagster."""
    for path in sources("pipelines"):
        if path.is_relative_to(ROOT / "pipelines/defs") or path.name == "definitions.py":
            continue
        top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in top if isinstance(node, ast.ImportFrom) and node.module}
        assert "dagster" not in {name.split(".")[0] for name in names}, path.relative_to(ROOT)
        assert not any(name.startswith("pipelines.defs") for name in names), path.relative_to(ROOT)
