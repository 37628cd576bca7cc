"""The kiosk page: ask in a browser at this machine. One plain HTML form, no script, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import LadingError

if TYPE_CHECKING:
    from runtimes.edge.response import Response
    from runtimes.edge.service import Site

TEMPLATE = Path(__file__).with_name("kiosk.html")
CSP = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


def page(
    site: Site, *, chosen: str = "", text: str = "", said: Response | None = None, problem: str | None = None
) -> str:
    """The page, with an answer or a problem; every value is escaped."""
    from jinja2 import Environment

    active = site.serving.active()
    served = {**active.workflows, **active.stopped}
    workflows = {name: entry.title for name, entry in sorted(served.items())}
    template = Environment(autoescape=True).from_string(TEMPLATE.read_text("utf-8"))
    return template.render(site=active.site, workflows=workflows, chosen=chosen, text=text, said=said, problem=problem)


def answered(site: Site, workflow: str, text: str) -> str:
    """The page after a question: its answer, or what is wrong with it."""
    try:
        return page(site, chosen=workflow, text=text, said=site.answer(workflow, text))
    except LadingError as exc:
        return page(site, chosen=workflow, text=text, problem=str(exc))
