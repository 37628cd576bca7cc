"""The process boundary of every program: an error of ours becomes one line and an exit code."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from fleet_manifests.errors import LadingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""


def run(app: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and end the process: 0 done, 1 refused, 2 bad usage.

    Args:
        app: the program's commands; made with `pretty_exceptions_enable=False`.
        name: what the program is called in its help.
        arguments: the words after the program's name; None takes the process's own.

    Raises:
        SystemExit: always.
    """
    try:
        app(args=arguments, prog_name=name)
    except LadingError as exc:
        _end(str(exc), exc.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(LadingError.exit_code) from None
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        _end(f"{where}{exc.strerror or exc}", LadingError.exit_code)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)
    raise SystemExit(0)


def version() -> str:
    """The installed version of Lading; `unknown` in a checkout that is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("lading")
    except PackageNotFoundError:
        return "unknown"


def as_json(value: Any) -> str:
    """A value as a script reads it: indented, sorted keys, non-ASCII as it is."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _end(message: str, code: int) -> NoReturn:
    """Say it on stderr and leave."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)
