"""A PostgreSQL server of one's own, on loopback, for as long as a block runs."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER_USER = "nobody"
"""PostgreSQL refuses to run as root; root starts it as this user."""


def programs() -> Path | None:
    """The folder of the newest installed server (Debian: package postgresql), or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    other = shutil.which("initdb")
    return Path(other).parent if other else None


@contextmanager
def server() -> Iterator[str]:
    """Start an empty server and stop it; gives its SQLAlchemy URL.

    Raises:
        RuntimeError: PostgreSQL is not installed, or does not start.
    """
    binaries = programs()
    if binaries is None:
        raise RuntimeError("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(data, SERVER_USER)
            Path(folder).chmod(0o755)
        port = _free_port()
        _run(binaries / "initdb", "-D", str(data), "-U", "lading", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {port} -h 127.0.0.1 -k '' -c fsync=off"
        _run(binaries / "pg_ctl", "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg2://lading@127.0.0.1:{port}/postgres"
        finally:
            _run(binaries / "pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")


def _run(program: Path, *words: str) -> None:
    command = [str(program), *words]
    if os.geteuid() == 0:
        command = ["setpriv", f"--reuid={SERVER_USER}", "--regid=nogroup", "--clear-groups", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise RuntimeError(f"{program.name} as {getpass.getuser()}: {done.stderr.strip() or done.stdout.strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
