"""The status page: one plain HTML document, no script, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("page.html")


def page(report: dict[str, Any]) -> str:
    """The status page of a report; every value is escaped."""
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(TEMPLATE.read_text("utf-8")).render(r=report)
