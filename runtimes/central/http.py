"""The centre's HTTP API for sites.

    POST /v1/deferrals             a deferral; sending it again gives the same answer
    GET  /v1/answers/{site}/{id}   what became of it
    POST /v1/receipts              what a site's device has measured, for the factory
    GET  /v1/status                what the centre runs
    GET  /healthz                  200 where a version is active, 503 where none is

Everything but `/healthz` needs the bearer token of a site, and shows that site's records
only. Neither texts nor tokens are logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fleet_manifests import LadingError
from fleet_manifests.dsse import ENVELOPE_TYPE
from fleet_manifests.receipt import MAX_RECEIPT_BYTES
from runtimes import web
from runtimes.central.service import Centre
from runtimes.deferrals import Deferral
from runtimes.problems import ForbiddenError, NotFoundError, UnauthorizedError

log = logging.getLogger("lading.central")


class BadTokens:
    """Counts refused tokens and says so in the log, at most once a minute, without the tokens.

    Args:
        clock: seconds that only rise.
        every: seconds between two lines.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, every: float = 60.0) -> None:
        """Start at none."""
        self._clock, self._every = clock, every
        self._next = float("-inf")
        self._unsaid = 0

    def seen(self, caller: str) -> None:
        """Count one, and log if it is time."""
        self._unsaid += 1
        if self._clock() >= self._next:
            log.warning("%d requests with a wrong token, the last one from %s", self._unsaid, caller)
            self._next, self._unsaid = self._clock() + self._every, 0


def app(centre: Centre) -> Starlette:
    """The centre as a web application."""
    routes = [
        Route("/v1/deferrals", take, methods=["POST"]),
        Route("/v1/answers/{site}/{id}", answer),
        Route("/v1/receipts", keep_receipt, methods=["POST"]),
        Route("/v1/status", status),
        Route("/healthz", health),
    ]
    handlers = {LadingError: web.failed, HTTPException: web.refused, Exception: web.broken}
    made = Starlette(routes=routes, exception_handlers=handlers)
    made.state.centre, made.state.bad_tokens = centre, BadTokens()
    return made


async def take(request: Request) -> Response:
    """Answer a deferral, or queue it for a person."""
    centre, site = await _admit(request)
    deferral = await web.parsed(request, Deferral)
    _require_own(site, deferral.site)
    return web.shown(await run_in_threadpool(centre.take, deferral))


async def answer(request: Request) -> Response:
    """What became of a deferral."""
    centre, site = await _admit(request)
    wanted, request_id = request.path_params["site"], request.path_params["id"]
    _require_own(site, wanted)
    found = await run_in_threadpool(centre.store.find, wanted, request_id)
    if found is None:
        raise NotFoundError(f"request {request_id!r} of site {wanted} did not come here")
    return web.shown(found)


async def keep_receipt(request: Request) -> Response:
    """Keep a receipt of the site whose token this is."""
    centre, site = await _admit(request)
    raw = await web.body(request, ENVELOPE_TYPE, limit=MAX_RECEIPT_BYTES)
    return JSONResponse({"receipt": await run_in_threadpool(centre.receipts.keep, raw, site)})


async def status(request: Request) -> Response:
    """What the centre runs."""
    centre, _ = await _admit(request)
    return JSONResponse(await run_in_threadpool(centre.report))


async def health(request: Request) -> Response:
    """Whether deferrals can be answered."""
    centre: Centre = request.app.state.centre
    active = await run_in_threadpool(centre.serving.active)
    return JSONResponse({"status": "ok", "manifest_version": active.manifest_version})


async def _admit(request: Request) -> tuple[Centre, str]:
    """The centre, and the site whose token this is.

    Raises:
        UnauthorizedError: no token, or nobody's.
    """
    centre: Centre = request.app.state.centre
    site = await run_in_threadpool(centre.store.site_of, web.bearer(request))
    if site is None:
        request.app.state.bad_tokens.seen(request.client.host if request.client else "unknown")
        raise UnauthorizedError("this token was not made here, or was replaced by a newer one")
    return centre, site


def _require_own(site: str, wanted: str) -> None:
    """Refuse one site's token for another site's records."""
    if site != wanted:
        raise ForbiddenError(f"the token of site {site} cannot speak for site {wanted}")
