"""Dagster's and MLflow's own servers on one project's state."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

from fleet_manifests import LadingError
from pipelines.cli.runs import prepare_home
from pipelines.project.load import Project

STOP_SECONDS = 20


def serve(project: Project, *, port: int, mlflow_port: int) -> None:
    """Run both servers on the loopback interface until Ctrl-C or until one of them ends.

    Raises:
        LadingError: a server ended by itself; its own message is above.
    """
    environment = {
        **os.environ,
        "LADING_PROJECT": str(project.root),
        "DAGSTER_HOME": str(prepare_home(project)),
    }
    python = [sys.executable, "-m"]
    dagster = [*python, "dagster", "dev", "-m", "pipelines.definitions", "-h", "127.0.0.1", "-p", str(port)]
    mlflow = [*python, "mlflow", "server", "--host", "127.0.0.1", "--port", str(mlflow_port)]
    mlflow += [
        "--backend-store-uri",
        project.tracking_uri,
        "--default-artifact-root",
        str(project.state / "mlartifacts"),
    ]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    servers = {
        name: subprocess.Popen(command, env=environment, cwd=project.root, start_new_session=True)
        for name, command in {"Dagster": dagster, "MLflow": mlflow}.items()
    }
    print(f"Dagster http://127.0.0.1:{port}  MLflow http://127.0.0.1:{mlflow_port}  (Ctrl-C ends both)")
    try:
        while all(server.poll() is None for server in servers.values()):
            time.sleep(0.5)
    finally:
        for server in servers.values():
            _stop(server)
    ended = ", ".join(f"{name} ended with {server.returncode}" for name, server in servers.items())
    raise LadingError(f"{ended}; is a port in use? Try --port and --mlflow-port")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ask a server and all that it started to end, then see to it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
