"""How long `make demo` takes after installation, how much memory, and again with nothing changed.

python -m benchmarks.demo
python -m benchmarks.demo --keep demo      # and leave the project there, for the other benchmarks
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.children import measured

FIRST, AGAIN, MEMORY_GIB, BUILD = 600, 30, 3.0, 20
"""Goals: seconds on 2 idle cores, seconds again, GiB of the largest process, seconds of `lading build` again."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="a new folder for the project; its keys lie beside it")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        project: Path = given.keep or Path(folder) / "demo"
        environment = {**os.environ, "LADING_KEYS": str(project.resolve().with_name(f"{project.name}-keys"))}
        demo = [sys.executable, "-m", "pipelines.demo", str(project)]
        first = measured(demo, environment)
        made = entries(project)
        again = measured(demo, environment)
        build = measured([sys.executable, "-m", "pipelines.cli", "build", "--project", str(project)], environment)
        print(f"{'first':>20}  {first.seconds:.0f} s (goal {FIRST} s)")
        print(f"{'again':>20}  {again.seconds:.0f} s (goal {AGAIN} s), {len(entries(project) - made)} steps done again")
        print(f"{'ratio':>20}  {again.seconds / first.seconds:.3f}")
        print(f"{'lading build, again':>20}  {build.seconds:.0f} s (goal {BUILD} s), {builds(project)} builds")
        print(f"{'largest process':>20}  {first.largest / 2**30:.2f} GiB (goal {MEMORY_GIB} GiB)")


def entries(project: Path) -> set[tuple[Path, int]]:
    """The finished steps of a store and when they were done."""
    return {(path, path.stat().st_mtime_ns) for path in (project / ".lading" / "store").rglob("entry.json")}


def builds(project: Path) -> int:
    """How many bundles a project has."""
    return sum(1 for _ in (project / ".lading" / "store" / ".refs" / "bundle").iterdir())


if __name__ == "__main__":
    main()
