"""What rendering needs beyond the base install."""

from __future__ import annotations

from fleet_manifests.extra import need_installed

LIBRARIES = ("docx", "markdown_it", "reportlab", "ruamel.yaml")


def need_libraries(command: str) -> None:
    """Refuse what renders where only the base is installed.

    Raises:
        MissingExtraError: names the extra and what of it is missing.
    """
    need_installed(command, LIBRARIES)
