"""A site whose fleet says who may sign what: the policy and the trusted root come with the signed metadata."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fleet_manifests import IntegrityError, RefusedError, dump
from fleet_manifests.authors import SIGNERS, TRUSTED_ROOT, SignerPolicy
from fleet_manifests.bundle import bundle_name
from release.signers_keyless import keyless_signer
from runtimes.sync import load_active
from tests.runtimes.sync.conftest import PROFILE, WORKFLOW
from tests.sigstore_double import SigstoreDouble

pytestmark = pytest.mark.integration
CI = "https://ci.example.org/acme/build.yml@main"
OTHER = "https://ci.example.org/mallory/build.yml@main"


@pytest.fixture(scope="module")
def double() -> Iterator[SigstoreDouble]:
    with SigstoreDouble() as found:
        yield found


def policy(double: SigstoreDouble, **changes: Any) -> bytes:
    author = {"identity": CI, "issuer": double.url, "workflows": [WORKFLOW], "signs": ["bundle"]}
    return dump(SignerPolicy.model_validate({"authors": [author | changes]}))


@pytest.fixture
def victim(running: Any, double: SigstoreDouble) -> Iterator[Any]:
    """A site that runs release 1, of a fleet that has gone keyless; it runs release 1 afterwards."""
    repository = running.repository
    repository.set_target("targets", SIGNERS, policy(double))
    repository.set_target("targets", TRUSTED_ROOT, json.dumps(double.trusted_root()).encode())
    yield running
    assert (load_active(running.state).manifest_version, running.content()) == (1, "one")


def sign(double: SigstoreDouble, site: Any, folder: Path, subject: str = CI) -> bytes:
    """The files of release 2 of the workflow, signed keyless."""
    name = bundle_name(WORKFLOW, PROFILE)
    work = folder / name
    shutil.rmtree(work, ignore_errors=True)
    for path, raw in site.repository.files("two").items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(raw)
    (folder / "client.json").write_text(json.dumps(double.client_config()))
    (folder / "token").write_text(double.oidc.token(subject))
    query = f"identity={quote(subject)}&issuer={quote(double.url)}&trust-config=client.json&token=file:token"
    keyless_signer("builder", f"sigstore:?{query}", folder).sign_files(work, folder / "model.sig")
    return (folder / "model.sig").read_bytes()


def release(site: Any, signature: bytes | None) -> None:
    site.repository.add_bundle("two", signature=signature)
    site.repository.release(2)


def refused(site: Any, match: str, kind: type[Exception] = IntegrityError) -> None:
    with pytest.raises(kind, match=match):
        site.sync()


def test_a_keyless_release_is_installed(running: Any, double: SigstoreDouble, tmp_path: Path) -> None:
    repository = running.repository
    repository.set_target("targets", SIGNERS, policy(double))
    repository.set_target("targets", TRUSTED_ROOT, json.dumps(double.trusted_root()).encode())
    release(running, sign(double, running, tmp_path))
    assert running.sync().changed
    assert (load_active(running.state).manifest_version, running.content()) == (2, "two")
    assert not running.sync().changed


def test_a_key_signed_bundle_where_the_fleet_is_keyless(victim: Any) -> None:
    release(victim, None)
    refused(victim, "is signed by a key; the signing policy lets no key sign")


def test_a_keyless_bundle_where_the_fleet_is_not(running: Any, double: SigstoreDouble, tmp_path: Path) -> None:
    release(running, sign(double, running, tmp_path))
    refused(running, "is signed keyless; the signing policy lets no identity sign")


def test_wrong_identity(victim: Any, double: SigstoreDouble, tmp_path: Path) -> None:
    release(victim, sign(double, victim, tmp_path, OTHER))
    refused(victim, "is not what https://ci")


def test_right_identity_for_another_workflow(victim: Any, double: SigstoreDouble, tmp_path: Path) -> None:
    victim.repository.set_target("targets", SIGNERS, policy(double, workflows=["routing"]))
    release(victim, sign(double, victim, tmp_path))
    refused(victim, f"lets no identity sign a bundle of workflow {WORKFLOW}")


def test_a_key_of_the_instance_that_was_removed(victim: Any, double: SigstoreDouble, tmp_path: Path) -> None:
    """Revocation reaches a site as an ordinary update of the trusted root."""
    root = double.trusted_root() | {"tlogs": []}
    victim.repository.set_target("targets", TRUSTED_ROOT, json.dumps(root).encode())
    release(victim, sign(double, victim, tmp_path))
    refused(victim, "is not what https://ci")


def test_a_policy_without_its_trusted_root(victim: Any, double: SigstoreDouble, tmp_path: Path) -> None:
    del victim.repository.metadata["targets"].signed.targets[TRUSTED_ROOT]
    release(victim, sign(double, victim, tmp_path))
    refused(victim, r"there is no trust/trusted_root\.json")


def test_a_policy_that_a_newer_lading_wrote(victim: Any, double: SigstoreDouble, tmp_path: Path) -> None:
    raw = json.loads(policy(double)) | {"schema_version": 2}
    victim.repository.set_target("targets", SIGNERS, json.dumps(raw).encode())
    release(victim, sign(double, victim, tmp_path))
    refused(victim, r"trust/policy\.json: schema_version")


@pytest.mark.parametrize("role", ["canary", "candidates", "stable"])
def test_a_policy_that_only_a_delegate_names(running: Any, double: SigstoreDouble, tmp_path: Path, role: str) -> None:
    """A channel's key cannot say who may sign: nothing that it names under `trust/` is found."""
    running.repository.set_target(role, SIGNERS, policy(double))
    running.repository.set_target(role, TRUSTED_ROOT, json.dumps(double.trusted_root()).encode())
    release(running, sign(double, running, tmp_path))
    refused(running, "lets no identity sign")


def test_a_tampered_policy(victim: Any, double: SigstoreDouble, tmp_path: Path) -> None:
    release(victim, sign(double, victim, tmp_path))
    folder = victim.repository.folder / "targets" / "trust"
    (path,) = folder.glob("*.policy.json")
    path.write_bytes(path.read_bytes().replace(CI.encode(), OTHER.encode()))
    refused(victim, "hash|length")


def test_without_the_builders_key_nothing_is_believed(victim: Any, double: SigstoreDouble, tmp_path: Path) -> None:
    del victim.repository.metadata["targets"].signed.targets["trust/builder.pub"]
    release(victim, sign(double, victim, tmp_path))
    refused(victim, r"nobody who may do so has published trust/builder\.pub", RefusedError)
