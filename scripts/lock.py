"""Write the constraints file: every package of the factory, at the version pip resolves today.

Local version suffixes (`+cpu`) are stripped, so that the same lock serves a CPU and a GPU build.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def main(target: Path) -> None:
    """Resolve `.[factory,openvino-factory,dev]` in an empty environment and write the outcome to `target`."""
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        report = Path(folder) / "report.json"
        command = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--dry-run", "--report", str(report)]
        subprocess.run([*command, f"{root}[factory,openvino-factory,dev]"], check=True)
        installs = json.loads(report.read_text())["install"]
    pins = {item["metadata"]["name"].lower(): item["metadata"]["version"].split("+")[0] for item in installs}
    pins.pop("lading")
    lines = [
        "# Written by `make lock`; do not edit.",
        *(f"{name}=={version}" for name, version in sorted(pins.items())),
    ]
    partial = target.with_suffix(".tmp")
    partial.write_text("\n".join(lines) + "\n")
    os.replace(partial, target)
    print(f"{target}: {len(pins)} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
