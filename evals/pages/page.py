"""HTML pages with everything inside them: no script, no network, one look for all."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

from evals.pages.words import LEADS, MARKS
from fleet_manifests import digest_of

FOLDER = Path(__file__).parent


def render(template: str, **values: Any) -> str:
    """A page from one of the templates in this folder; every value is escaped.

    Args:
        template: file name, such as `report.html.j2`.
        values: what the template names.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FileSystemLoader(FOLDER),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    return environment.get_template(template).render(leads=LEADS, marks=MARKS, **values) + "\n"


def templates_digest() -> str:
    """The digest of all templates: a page is made anew when one changes."""
    return digest_of(b"\0".join(path.read_bytes() for path in sorted(FOLDER.glob("*.j2"))))


def data_uri(png: bytes) -> str:
    """A PNG as an address that holds it."""
    return "data:image/png;base64," + b64encode(png).decode()
