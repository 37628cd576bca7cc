"""A published tree in an S3-compatible bucket: the same web source, with requests that are signed (SigV4).

Only the signing is botocore's. S3 libraries read a whole answer into memory, whatever was asked for; here the limits
of every other source hold. A bucket that anybody may read needs none of this: enrol with its https address.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TYPE_CHECKING

from fleet_manifests.errors import MissingExtraError, UnreachableError, UsageError
from runtimes.sync.sources import BUCKET
from runtimes.sync.web import HttpSource

if TYPE_CHECKING:
    import httpx
    from botocore.credentials import Credentials

REGION = "us-east-1"
"""Where nothing is configured; most S3-compatible servers take it."""


def bucket_source(address: str) -> HttpSource:
    """The source at `s3://bucket/prefix`.

    Credentials, region and endpoint come from where AWS tools look for them: `AWS_ACCESS_KEY_ID` and
    `AWS_SECRET_ACCESS_KEY`, `~/.aws`, the instance's role; `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.

    Raises:
        MissingExtraError: the extra `s3` is not installed.
        UsageError: this machine has no credentials.
        UnreachableError: they are kept elsewhere and cannot be had now.
    """
    try:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError as exc:
        raise MissingExtraError(f"{address}: a bucket needs the extra s3; pip install 'lading[s3]'") from exc
    session = Session()
    try:
        region = session.get_config_variable("region") or REGION
        credentials = session.get_credentials()
    except BotoCoreError as exc:
        raise UnreachableError(f"{address}: its credentials cannot be had: {type(exc).__name__}; see ~/.aws") from exc
    if credentials is None:
        raise UsageError(
            f"{address}: no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws"
        )
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    base = (endpoint or f"https://s3.{region}.amazonaws.com").rstrip("/")
    return HttpSource(f"{base}/{address.removeprefix(BUCKET)}", auth=_signing(credentials, region), name=address)


def _signing(credentials: Credentials, region: str) -> httpx.Auth:
    """What signs each request."""
    import httpx
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    class Signing(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            asked = {"Range": request.headers["Range"]} if "Range" in request.headers else {}
            signed = AWSRequest(request.method, str(request.url), headers=asked)
            S3SigV4Auth(credentials.get_frozen_credentials(), "s3", region).add_auth(signed)
            for name, value in signed.headers.items():
                request.headers[name] = value
            yield request

    return Signing()
