"""What a command needs beyond the base install."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from fleet_manifests.errors import MissingExtraError


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


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
