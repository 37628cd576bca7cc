"""What rendering needs beyond the base install."""

from __future__ import annotations

from importlib.util import find_spec

from fleet_manifests.errors import MissingExtraError

LIBRARIES = ("docx", "markdown_it", "reportlab", "ruamel.yaml")


def need_libraries(command: str) -> None:
    """Refuse what renders where only the base is installed.

    Raises:
        MissingExtraError: names the extra and what of it is missing.
    """
    missing = [name for name in LIBRARIES if not _installed(name)]
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
