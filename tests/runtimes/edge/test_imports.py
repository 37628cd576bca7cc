"""The serving process carries neither the verifier's libraries nor the factory's."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.unit

FORBIDDEN = {
    "tuf", "sigstore", "model_signing", "securesystemslib", "OpenSSL", "torch", "transformers", "dagster", "mlflow",
    "sklearn", "scipy", "bm25s", "onnx", "optimum", "pandas", "duckdb",
}  # fmt: skip

SERVE = """
import json, sys, warnings
from pathlib import Path
from {package}.http import app
from {package}.service import {core}
import uvicorn
import {package}.cli
core = {core}(Path(sys.argv[1]))
made = app(core)
{use}
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
EDGE = 'assert core.answer("exception_triage", "short on the pallet").status == "answered"'
CENTRAL = 'core.serving.labels(core.serving.active(), "exception_triage")'


@pytest.mark.parametrize(
    ("package", "core", "use"),
    [("runtimes.edge", "Site", EDGE), ("runtimes.central", "Centre", CENTRAL)],
    ids=["edge", "central"],
)
def test_a_server_that_has_answered_imported_nothing_forbidden(
    tree: Any, central_tree: Any, package: str, core: str, use: str
) -> None:
    tree.activate(1)
    state = (tree if core == "Site" else central_tree).state
    script = SERVE.format(package=package, core=core, use=use)
    done = subprocess.run([sys.executable, "-c", script, str(state)], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"onnxruntime", "starlette"} <= loaded
    assert not loaded & FORBIDDEN
