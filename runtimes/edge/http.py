"""The site's local HTTP API and status page.

    POST /v1/workflows/{name}   {"text": "...", "role": "...", "id": "..."}
    GET  /v1/requests/{id}      what became of a request
    GET  /v1/status             what runs here
    GET  /healthz               200 where a version is active, 503 where none is
    GET  /                      the same for a person
    GET  /ask                   a form for a person at this machine; POST asks

Texts are never logged. Without a token only this machine is served.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

from pydantic import Field
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from fleet_manifests import LadingError, Wire
from runtimes import tokens, web
from runtimes.edge.flush import Background
from runtimes.edge.report import report
from runtimes.edge.service import Site
from runtimes.problems import UnauthorizedError

CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Question(Wire):
    """The body of a request."""

    text: str
    role: str | None = Field(None, max_length=64)
    id: str | None = Field(None, max_length=64)


def app(site: Site, *, api_token: str | None = None, background: bool = True) -> Starlette:
    """The site as a web application.

    Args:
        site: the core.
        api_token: what callers must present; None serves this machine only, by its loopback names.
        background: load the engines and deliver the outbox while serving.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        courier = Background(site.courier) if background else None
        if courier is not None:
            threading.Thread(target=site.warm_up, name="warm-up", daemon=True).start()
            courier.start()
        yield
        if courier is not None:
            await run_in_threadpool(courier.stop)

    routes = [
        Route("/v1/workflows/{name}", ask, methods=["POST"]),
        Route("/v1/requests/{id}", request_state),
        Route("/v1/status", status),
        Route("/healthz", health),
        Route("/", page),
        Route("/ask", ask_page, methods=["GET", "POST"]),
    ]
    handlers: dict[Any, Any] = {LadingError: web.failed, HTTPException: web.refused, Exception: web.broken}
    made = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    made.state.site, made.state.api_token = site, api_token
    return made


async def ask(request: Request) -> Response:
    """Answer or defer."""
    site = _admit(request)
    question = await web.parsed(request, Question)
    name = request.path_params["name"]
    answer = await run_in_threadpool(site.answer, name, question.text, role=question.role, request_id=question.id)
    return web.shown(answer)


async def request_state(request: Request) -> Response:
    """What became of a request."""
    site = _admit(request)
    return web.shown(await run_in_threadpool(site.request, request.path_params["id"]))


async def status(request: Request) -> Response:
    """What runs here, for programs."""
    site = _admit(request)
    return JSONResponse(await run_in_threadpool(report, site))


async def page(request: Request) -> Response:
    """What runs here, for a person."""
    from runtimes.edge.page import page as render

    site = _admit(request)
    html = render(await run_in_threadpool(report, site))
    return HTMLResponse(html, headers={"Content-Security-Policy": CSP, "Cache-Control": "no-store"})


async def ask_page(request: Request) -> Response:
    """Ask in a browser at this machine."""
    from runtimes.edge import kiosk

    site = _admit(request)
    if request.method == "POST":
        fields = await web.form(request)
        html = await run_in_threadpool(kiosk.answered, site, fields.get("workflow", ""), fields.get("text", ""))
    else:
        html = await run_in_threadpool(kiosk.page, site)
    return HTMLResponse(html, headers={"Content-Security-Policy": kiosk.CSP, "Cache-Control": "no-store"})


async def health(request: Request) -> Response:
    """Whether requests can be served."""
    site: Site = request.app.state.site
    active = await run_in_threadpool(site.serving.active)
    return JSONResponse({"status": "ok", "manifest_version": active.manifest_version})


def _admit(request: Request) -> Site:
    """The site, for a caller who may ask it.

    Raises:
        UnauthorizedError: a token is needed and this is not it.
        ForbiddenError: no token is set and the request is for another host's name.
    """
    expected: str | None = request.app.state.api_token
    if expected is None:
        web.require_local_host(request)
    elif not tokens.same(web.bearer(request), expected):
        raise UnauthorizedError("this is not the token of this service")
    site: Site = request.app.state.site
    return site
