"""Our entry point for sigstore-conformance, held to its protocol with bundles of an instance of our own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sigstore import ROOT, main
from tests.sigstore_double import SigstoreDouble

pytestmark = pytest.mark.integration
WHO = "builder@example.org"
ARTIFACT = b"an artifact"


@pytest.fixture(scope="module", params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def double(request: pytest.FixtureRequest) -> Iterator[SigstoreDouble]:
    with SigstoreDouble(request.param) as found:
        yield found


@pytest.fixture(params=["message", "dsse"])
def call(request: pytest.FixtureRequest, double: SigstoreDouble, tmp_path: Path) -> dict[str, str]:
    """The arguments of a call that is right in every point."""
    from sigstore.dsse import StatementBuilder, Subject
    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityToken
    from sigstore.sign import SigningContext

    context = SigningContext.from_trust_config(ClientTrustConfig.from_json(json.dumps(double.client_config())))
    with context.signer(IdentityToken(double.oidc.token(WHO))) as signer:
        if request.param == "message":
            bundle = signer.sign_artifact(ARTIFACT)
        else:
            subject = Subject(name="a", digest={"sha256": hashlib.sha256(ARTIFACT).hexdigest()})
            said = StatementBuilder().subjects([subject]).predicate_type("https://example.org/x").predicate({"a": 1})
            bundle = signer.sign_dsse(said.build())
    files: dict[str, bytes] = {
        "bundle": bundle.to_json().encode(),
        "root": json.dumps(double.trusted_root()).encode(),
        "artifact": ARTIFACT,
    }
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
    return {
        "--bundle": str(tmp_path / "bundle"),
        "--certificate-identity": WHO,
        "--certificate-oidc-issuer": double.url,
        "--trusted-root": str(tmp_path / "root"),
        "": str(tmp_path / "artifact"),
    }


def words(call: dict[str, str]) -> list[str]:
    return ["verify-bundle", *(word for name, value in call.items() for word in (name, value) if word)]


def test_a_file_and_a_digest(call: dict[str, str]) -> None:
    assert main(words(call)) == 0
    assert main(words(call | {"": "sha256:" + hashlib.sha256(ARTIFACT).hexdigest()})) == 0


def test_as_a_program(call: dict[str, str]) -> None:
    command = [sys.executable, "-m", "tests.conformance.sigstore", *words(call)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "change",
    [
        {"--certificate-identity": "somebody@example.org"},
        {"--certificate-oidc-issuer": "https://accounts.example.org"},
        {"": "sha256:" + "0" * 64},
        {"": "/nowhere"},
        {"--bundle": "/nowhere"},
        {"--trusted-root": "/nowhere"},
    ],
    ids=lambda change: next(iter(change.items()))[0] + str(next(iter(change.values()))[:12]),
)
def test_what_does_not_hold_is_refused(call: dict[str, str], change: dict[str, str], capsys: Any) -> None:
    assert main(words(call | change)) == 1
    assert capsys.readouterr().err


def test_a_damaged_bundle_is_refused(call: dict[str, str], tmp_path: Path) -> None:
    document = json.loads((tmp_path / "bundle").read_text())
    part = "messageSignature" if "messageSignature" in document else "dsseEnvelope"
    del document[part]
    (tmp_path / "bundle").write_text(json.dumps(document))
    assert main(words(call)) == 1


def test_no_trusted_root_is_fetched(call: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    root = call.pop("--trusted-root")
    monkeypatch.delenv(ROOT, raising=False)
    assert main(words(call)) == 2
    monkeypatch.setenv(ROOT, root)
    assert main(words(call)) == 0
    assert main(["verify-bundle", "--staging", *words(call)[1:]]) == 2  # the public root is not that of staging
