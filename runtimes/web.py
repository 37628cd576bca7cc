"""What both HTTP services share: bounded bodies, one shape of error, safe headers."""

from __future__ import annotations

import json
from typing import TypeVar
from urllib.parse import parse_qs

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fleet_manifests import (
    DataError,
    IntegrityError,
    LadingError,
    RefusedError,
    StorageError,
    UnreachableError,
    UsageError,
    parse,
)
from runtimes.deferrals import MAX_BYTES
from runtimes.problems import (
    ConflictError,
    ForbiddenError,
    MalformedError,
    NotFoundError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from runtimes.tokens import LOOPBACK

STATUS: dict[type[LadingError], int] = {
    MalformedError: 400,
    UnauthorizedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    TooLargeError: 413,
    UsageError: 422,
    DataError: 422,
    RefusedError: 422,
    IntegrityError: 503,
    StorageError: 503,
    UnavailableError: 503,
    UnreachableError: 503,
    LadingError: 500,
}
"""HTTP status of each class of error; a class that is not listed has its parent's."""

T = TypeVar("T", bound=BaseModel)


def status_of(error: LadingError) -> int:
    """The HTTP status that tells a caller whose turn it is."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def failed(request: Request, exc: Exception) -> Response:
    """Starlette's exception handler for `LadingError`: one clear message."""
    status = status_of(exc) if isinstance(exc, LadingError) else 500
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "30"}}.get(status)
    return JSONResponse({"error": str(exc)}, status, headers)


def refused(request: Request, exc: Exception) -> Response:
    """Starlette's exception handler for an unknown path or method."""
    status = getattr(exc, "status_code", 500)
    detail = getattr(exc, "detail", "internal error")
    return JSONResponse({"error": f"{request.method} {request.url.path}: {detail}"}, status)


def broken(request: Request, exc: Exception) -> Response:
    """Starlette's handler for a fault of ours: the cause goes to the server's log, not to the caller."""
    return JSONResponse({"error": "internal error; the log of the service has the cause"}, 500)


async def parsed(request: Request, kind: type[T]) -> T:
    """Read a JSON body of at most `MAX_BYTES` into a value.

    Raises:
        MalformedError: not declared as JSON, or not JSON.
        TooLargeError: over the limit; reading stops there.
        UsageError: JSON of another shape; names the field.
    """
    raw = await body(request, "application/json")
    try:
        json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise MalformedError("the body is not a JSON document") from exc
    try:
        return parse(kind, raw, where="body")
    except IntegrityError as exc:
        raise UsageError(str(exc)) from exc


async def form(request: Request) -> dict[str, str]:
    """Read a form that a page of this very service sent: the first value of each field.

    Raises:
        ForbiddenError: another page sent it.
        MalformedError: not declared as a form, or not one.
        TooLargeError: over the limit; reading stops there.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForbiddenError("another page sent this form; fill in the one of this service")
    raw = await body(request, "application/x-www-form-urlencoded")
    try:
        fields = parse_qs(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=16)
    except ValueError as exc:
        raise MalformedError("the body is not a form") from exc
    return {name: values[0] for name, values in fields.items()}


async def body(request: Request, kind: str, limit: int = MAX_BYTES) -> bytes:
    """The body of a request, at most `limit` bytes.

    Raises:
        MalformedError: declared as something else than `kind`.
        TooLargeError: over the limit; reading stops there.
    """
    declared = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if declared != kind:
        raise MalformedError(f"content-type: {kind} expected, found {declared or 'none'}")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes; send a shorter one")
    return bytes(raw)


def shown(value: BaseModel, status: int = 200) -> JSONResponse:
    """A value as JSON, with null for what is absent."""
    return JSONResponse(value.model_dump(mode="json"), status)


def bearer(request: Request) -> str:
    """The request's bearer token.

    Raises:
        UnauthorizedError: there is none.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError("a bearer token is needed: Authorization: Bearer <token>")
    return token.strip()


def require_local_host(request: Request) -> None:
    """Refuse a request for another host name: a web page that rebinds DNS must not reach a local service.

    Raises:
        ForbiddenError: the Host header is not a loopback name.
    """
    name = request.url.hostname or ""
    if name not in LOOPBACK:
        raise ForbiddenError(f"host {name!r}: this service answers to 127.0.0.1 and localhost only")
