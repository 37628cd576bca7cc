"""What our instance and signer make, verified by an independent implementation: npm's `@sigstore/verify`.

Runs where node finds the packages: `npm install @sigstore/verify @sigstore/bundle @sigstore/protobuf-specs`, and
NODE_PATH pointing to `node_modules`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fleet_manifests.authors import SignerPolicy, Trust
from release import Keys, assemble, attest, sign_bundle
from release.signers_keyless import keyless_signer
from release.signing import Author
from tests.sigstore_double import SigstoreDouble

NODE = shutil.which("node")
PROGRAM = """
const fs = require('fs');
const { Verifier, toTrustMaterial, toSignedEntity } = require('@sigstore/verify');
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const [root, bundle, identity, issuer] = process.argv.slice(1);
const read = (path) => JSON.parse(fs.readFileSync(path, 'utf8'));
const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(read(root))));
verifier.verify(toSignedEntity(bundleFromJSON(read(bundle))),
                { subjectAlternativeName: identity, extensions: { issuer } });
"""


def _missing() -> str | None:
    if NODE is None:
        return "node is not installed"
    needed = ("@sigstore/verify", "@sigstore/bundle", "@sigstore/protobuf-specs")
    loading = "".join(f"require('{name}');" for name in needed)
    done = subprocess.run([NODE, "-e", loading], capture_output=True, check=False)
    return "node does not find @sigstore/verify" if done.returncode else None


REASON = _missing()
pytestmark = [pytest.mark.integration, pytest.mark.skipif(REASON is not None, reason=str(REASON))]
CI = "https://ci.example.org/acme/build.yml@main"


@pytest.fixture(scope="module", params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def double(request: pytest.FixtureRequest) -> Iterator[SigstoreDouble]:
    with SigstoreDouble(request.param) as found:
        yield found


@pytest.fixture
def made(double: SigstoreDouble, keys: Keys, builder: Any, tmp_path: Path) -> list[Path]:
    """A signed bundle's signature, and evidence."""
    (tmp_path / "client.json").write_text(json.dumps(double.client_config()))
    (tmp_path / "root.json").write_text(json.dumps(double.trusted_root()))
    (tmp_path / "token").write_text(double.oidc.token(CI))
    query = f"identity={quote(CI)}&issuer={quote(double.url)}&trust-config=client.json&token=file:token"
    said = {"identity": CI, "issuer": double.url, "workflows": ["*"], "signs": ["bundle", "evidence"]}
    policy = SignerPolicy.model_validate({"authors": [said]})
    trust = Trust(keys["builder"].public_pem, policy, (tmp_path / "root.json").read_bytes())
    author = Author(keyless_signer("builder", f"sigstore:?{query}", tmp_path), trust)
    assemble(builder.files(), builder.config(), tmp_path / "out")
    (tmp_path / "evidence.json").write_bytes(attest(builder.report("accuracy", "sha256:" + "a" * 64), author))
    return [sign_bundle(tmp_path / "out", author), tmp_path / "evidence.json"]


def verify(root: Path, bundle: Path, identity: str, issuer: str) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    command = [NODE, "-e", PROGRAM, str(root), str(bundle), identity, issuer]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_holds_elsewhere_too(made: list[Path], double: SigstoreDouble, tmp_path: Path) -> None:
    for bundle in made:
        done = verify(tmp_path / "root.json", bundle, CI, double.url)
        assert done.returncode == 0, done.stderr


def test_and_is_refused_elsewhere_too(made: list[Path], double: SigstoreDouble, tmp_path: Path) -> None:
    """The check can fail: another identity, another issuer, a trusted root without the log."""
    (tmp_path / "less.json").write_text(json.dumps(double.trusted_root() | {"tlogs": []}))
    for bundle in made:
        assert verify(tmp_path / "root.json", bundle, "https://ci.example.org/other", double.url).returncode
        assert verify(tmp_path / "root.json", bundle, CI, "https://accounts.example.org").returncode
        assert verify(tmp_path / "less.json", bundle, CI, double.url).returncode
