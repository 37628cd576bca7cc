"""A private bucket: what is signed, and what is said where something is missing.

The exchange with a server is in `tests/release/test_delivery.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from fleet_manifests import MissingExtraError, UsageError
from runtimes.sync.sources import open_source

pytestmark = pytest.mark.unit
ADDRESS = "s3://models/public"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine on which nothing is configured."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def test_without_the_extra(bare: pytest.MonkeyPatch) -> None:
    for name in ("botocore.exceptions", "botocore.session"):
        bare.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"s3://models/public: a bucket needs the extra s3; pip install"):
        open_source(ADDRESS)


def test_without_credentials(bare: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    with pytest.raises(UsageError, match="no credentials were found"):
        open_source(ADDRESS)


def test_credentials_never_show_in_the_address(bare: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    bare.setenv("AWS_ACCESS_KEY_ID", "AKIAHUSH")
    bare.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    source = open_source(ADDRESS)
    assert source.address == ADDRESS
    source.close()


def test_the_range_is_signed_and_the_secret_is_not_sent() -> None:
    credentials = pytest.importorskip("botocore.credentials")
    from runtimes.sync.bucket import _signing

    url = "https://s3.us-east-1.amazonaws.com/models/public/blobs/sha256/00"
    request = httpx.Request("GET", url, headers={"Range": "bytes=7-"})
    (signed,) = _signing(credentials.Credentials("AKIA1", "hush"), "eu-central-1").auth_flow(request)
    assert signed.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIA1/")
    assert "/eu-central-1/s3/aws4_request" in signed.headers["Authorization"]
    assert "range" in signed.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert "hush" not in str(signed.headers.raw)
