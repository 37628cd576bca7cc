"""Reading the files of a corpus folder: one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from fleet_manifests import DataError


class Line(NamedTuple):
    """One object of a file."""

    data: dict[str, Any]
    where: str
    """`file:line`."""

    def text(self, name: str) -> str:
        """A field that must be a string with something in it.

        Raises:
            DataError: it is missing, of another type, or blank.
        """
        value = self.data.get(name)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{self.where}: {name}: expected a non-empty string, found {value!r}; fix or drop the row")
        return value


def read_lines(path: Path, fields: str) -> tuple[Line, ...]:
    """The objects of a file, in file order; blank lines are passed over.

    Args:
        path: the file.
        fields: what an object must hold, for errors.

    Raises:
        DataError: the file is missing or not UTF-8, or a line is not a JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as exc:
        raise DataError(f"{path}: expected a corpus file, found none; build the corpus first") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{path}: expected UTF-8 lines of JSON: {exc}") from exc
    return tuple(_line(line, f"{path}:{number}", fields) for number, line in enumerate(lines, 1) if line.strip())


def _line(line: str, where: str, fields: str) -> Line:
    """One line as an object."""
    try:
        data = json.loads(line)
    except ValueError as exc:
        raise DataError(f"{where}: not a line of JSON: {exc}; build the corpus again") from exc
    if not isinstance(data, dict):
        raise DataError(f"{where}: expected an object with {fields}, found {type(data).__name__}")
    return Line(data, where)
