"""The base install: what a site gets, in an environment of its own, without the factory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parents[2]

IMPORT_ALL = """\
import importlib, pkgutil, sys
import fleet_manifests, runtimes
for package in (fleet_manifests, runtimes):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import model_signing.verifying
heavy = {"torch", "transformers", "dagster", "mlflow", "datasets", "sklearn", "scipy", "onnx", "dlt", "duckdb"}
assert not heavy & {name.split(".")[0] for name in sys.modules}, heavy & set(sys.modules)
for name in heavy:
    assert importlib.util.find_spec(name) is None, f"{name} is installed"
print("all imported")
"""


def interpreters() -> list[Path]:
    """This Python, and others that Lading supports, where they are installed."""
    folders = [*os.environ["PATH"].split(os.pathsep)]
    folders += [str(path) for path in Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin")]
    found = {"3.11": Path(sys.executable)}
    for version in ("3.12", "3.13"):
        for folder in folders:
            path = Path(folder) / f"python{version}"
            if path.is_file() and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
                found.setdefault(version, path)
    return list(found.values())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], check=True)
    return next(folder.glob("lading-*.whl"))


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: path.name)
def test_site_install(python: Path, wheel: Path, tmp_path: Path) -> None:
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / "bin"
    install = [programs / "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": ""}
        return subprocess.run(
            [programs / words[0], *words[1:]], capture_output=True, text=True, cwd=tmp_path, env=environment
        )

    done = run("python", "-c", IMPORT_ALL)
    assert done.stdout == "all imported\n", done.stderr
    for program in ("lading", "lading-site", "lading-central"):
        assert run(program, "--version").stdout.startswith(program)
        assert "Example" in run(program, "sync" if program != "lading" else "build", "--help").stdout
    for words in (
        ["init", "x"], ["build"], ["check"], ["release", "promote", "stable"], ["evaluate", ".", "--data", "x.csv"], ["release", "card"],
        ["device", "list"], ["receipts", "list"],
    ):  # fmt: skip
        refused = run("lading", *words)
        assert refused.returncode == 2, refused.stderr
        assert "pip install 'lading[factory]'" in refused.stderr
        assert "Traceback" not in refused.stderr
