"""What a command or a build needs beyond the base install."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from fleet_manifests.errors import MissingExtraError

EXTRAS = MappingProxyType({"openvino": "openvino", "nncf": "openvino-factory"})
"""Libraries that only some builds need, and the extra that brings each."""


def need_installed(command: str, libraries: Iterable[str]) -> None:
    """Refuse a command of the factory where only the base is installed.

    Args:
        command: as a user types it.
        libraries: modules that must be there, of the extra `factory`.

    Raises:
        MissingExtraError: names the extra and what of it is missing.
    """
    missing = [name for name in libraries if not _installed(name)]
    if missing:
        raise MissingExtraError(
            f"`{command}` needs the factory, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed; run: pip install 'lading[factory]'"
        )


def need_libraries(libraries: Iterable[str]) -> None:
    """Refuse a build where one of its libraries is not installed.

    Args:
        libraries: those of `EXTRAS` that it needs.

    Raises:
        MissingExtraError: names the first that is missing, and its extra.
    """
    for name in libraries:
        if not _installed(name):
            raise MissingExtraError(f"{name} is needed and not installed; run: pip install 'lading[{EXTRAS[name]}]'")


def library(name: str) -> Any:
    """A library of `EXTRAS`. Those of OpenVINO report to their makers unless the module that does is never found.

    Raises:
        MissingExtraError: it is not installed, or cannot be loaded.
    """
    need_libraries([name])
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise MissingExtraError(f"{name} cannot be loaded: {exc}; install 'lading[{EXTRAS[name]}]' again") from exc


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
