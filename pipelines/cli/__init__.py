"""The program `lading`: factory and release from the command line.

Only this package's functions know about terminals. Each command finds the project, makes
one call, and prints a table for people or, with `--json`, a document for scripts.
"""

from typing import NoReturn


def main() -> NoReturn:
    """Entry point of the program."""
    from fleet_manifests import program
    from pipelines.cli import fleet

    program.run(fleet.app, "lading")
