"""A published tree over real servers: nginx, an S3-compatible bucket, an OCI registry; and a site that pulls from each."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fleet_manifests import FleetManifest, HostFacts, UnreachableError, UsageError
from fleet_manifests.bundle import MANIFEST_TYPE
from release import Release
from release.gc import collect
from release.layout import INDEX_TYPE
from runtimes.sync import Agent, SyncResult, enroll, load_active, status, sync

pytestmark = pytest.mark.e2e
HOST = HostFacts(architecture="x86_64", features=("avx2", "avx512_vnni"), cores=4, memory_mb=8192)
REPOSITORY = "acme/models"
BUCKET = "models"


def needs(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed (Debian: apt-get install {program})")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def serving(command: list[str], url: str, log: Path) -> Iterator[None]:
    """A server process, from its first answer on."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            for _ in range(200):
                try:
                    httpx.get(url, timeout=1, trust_env=False)
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()


@pytest.fixture
def manifest(release: Release, builder: Any) -> FleetManifest:
    """Two releases in canary, of which the second is current, and one site."""
    release.assign([builder.assignment("s1", channel="canary")])
    for content in ("first", "second"):
        made = release.promote("canary", [builder.candidate(content=content)], {"triage": builder.entry()})
    return made


@pytest.fixture
def nginx(public: Path, manifest: FleetManifest, tmp_path: Path) -> Iterator[str]:
    """Debian's nginx over the tree, with nothing but static files."""
    program, port = needs("nginx"), free_port()
    folder = tmp_path / "nginx"
    folder.mkdir()
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{'user root; ' if os.getuid() == 0 else ''}daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} "
        f"http {{ access_log {folder}/access.log; {temporary} "
        f"server {{ listen 127.0.0.1:{port}; root {public}; }} }}"
    )
    public.parent.chmod(0o755)
    url = f"http://127.0.0.1:{port}"
    command = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    with serving(command, f"{url}/oci-layout", folder / "log"):
        yield url


@pytest.fixture
def bucket(public: Path, manifest: FleetManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tree in a bucket of moto's S3, which checks every signature."""
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    boto3 = pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "setup")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "setup")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    endpoint = "http://{}:{}".format(*running.get_host_and_port())
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    for path, raw in (("reset", b""), ("reset-auth", b"inf")):
        httpx.post(f"{endpoint}/moto-api/{path}", content=raw, trust_env=False)
    s3 = boto3.client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket=BUCKET)
    for path in sorted(path for path in public.rglob("*") if path.is_file()):
        s3.put_object(Bucket=BUCKET, Key=f"public/{path.relative_to(public).as_posix()}", Body=path.read_bytes())
    iam = boto3.client("iam", endpoint_url=endpoint)
    iam.create_user(UserName="site")
    rule = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/public/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
    iam.put_user_policy(UserName="site", PolicyName="read", PolicyDocument=document)
    key = iam.create_access_key(UserName="site")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    httpx.post(f"{endpoint}/moto-api/reset-auth", content=b"0", trust_env=False)
    yield f"s3://{BUCKET}/public"
    running.stop()


@contextmanager
def running_registry(folder: Path, auth: str = "") -> Iterator[str]:
    """Debian's docker-registry on loopback over a folder; its host and port."""
    program, port = needs("docker-registry"), free_port()
    config = folder / f"registry-{port}.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/registry\n"
        f"http:\n  addr: 127.0.0.1:{port}\n{auth}"
    )
    with serving([program, "serve", str(config)], f"http://127.0.0.1:{port}/v2/", folder / f"registry-{port}.log"):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """One that asks nobody who they are."""
    with running_registry(tmp_path) as address:
        yield address


class TokenService:
    """The token service that a registry names: it signs what was asked for, to whom it was asked by."""

    SERVICE, ISSUER = "acme registry", "acme tokens"

    def __init__(self, folder: Path) -> None:
        self.password: str | None = None
        """The `Authorization` without which it gives none."""
        self.actions = ["pull"]
        self.asked: list[dict[str, str]] = []
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._certified()
        self.bundle = folder / "tokens.pem"
        self.bundle.write_bytes(self._certificate.public_bytes(Encoding.PEM))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    @property
    def auth(self) -> str:
        """What a registry's configuration says of it."""
        fields = {"realm": self.realm, "service": self.SERVICE, "issuer": self.ISSUER, "rootcertbundle": self.bundle}
        return "auth:\n  token:\n" + "".join(f"    {name}: {value}\n" for name, value in fields.items())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, scope: str) -> str:
        """A JSON Web Token for one scope."""
        kind, name, _ = scope.split(":")
        now = datetime.now(UTC)
        access = [{"type": kind, "name": name, "actions": self.actions}]
        claims = {"iss": self.ISSUER, "aud": self.SERVICE, "sub": "", "nbf": now - timedelta(minutes=1), "jti": "1"}
        chain = [base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode()]
        return jwt.encode(
            claims | {"iat": now, "exp": now + timedelta(minutes=5), "access": access},
            self._key,
            algorithm="ES256",
            headers={"x5c": chain},
        )

    def _certified(self) -> x509.Certificate:
        name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")]), datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        return made.add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(self._key, SHA256())

    def _handler(service) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                asked = dict(parse_qsl(urlsplit(self.path).query))
                service.asked.append(asked)
                known = service.password is None or self.headers["Authorization"] == service.password
                self.send_response(200 if known else 401)
                self.end_headers()
                if known:
                    self.wfile.write(json.dumps({"token": service.token(asked["scope"]), "expires_in": 300}).encode())

        return Handler


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenService]:
    made = TokenService(tmp_path)
    yield made
    made.close()


def names_of(layout: Path, kind: str = MANIFEST_TYPE) -> dict[str, str]:
    """Digest by name, of all that an image layout offers of a media type."""
    entries = json.loads((layout / "index.json").read_bytes())["manifests"]
    names = {one["annotations"]["org.opencontainers.image.ref.name"]: one for one in entries}
    return {name: one["digest"] for name, one in names.items() if one["mediaType"] == kind}


def copy(source: str, target: str) -> None:
    """Copy by skopeo, which refuses to change a byte."""
    program = needs("skopeo")
    words = ["copy", "--insecure-policy", "--all", "--preserve-digests", "--src-tls-verify=false"]
    done = subprocess.run([program, *words, "--dest-tls-verify=false", source, target], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def push(public: Path, registry: str) -> dict[str, str]:
    """Copy every artifact of a tree to a registry, each under its own name, and tag the indexes of what is attached."""
    names = names_of(public)
    for name in names:
        copy(f"oci:{public}:{name}", f"docker://{registry}/{REPOSITORY}:{name}")
    for name, digest in names_of(public, INDEX_TYPE).items():
        raw = (public / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()
        url = f"http://{registry}/v2/{REPOSITORY}/manifests/{name}"
        done = httpx.put(url, content=raw, headers={"Content-Type": INDEX_TYPE}, trust_env=False)
        assert done.status_code == 201, done.text
    return names


class Site:
    """A site of the tests: everything as it is, but for the model, which is none."""

    def __init__(self, state: Path, public: Path) -> None:
        self.state, self.root = state, public / "metadata" / "1.root.json"

    def enroll(self, source: str, **more: Any) -> None:
        enroll(self.state, root=self.root, source=source, site="s1", **more)

    def sync(self) -> SyncResult:
        return sync(self.state, agent=Agent(facts=lambda: HOST, smoke=lambda folder, pack: [], pause=lambda _: None))

    def bundle(self) -> str:
        active = load_active(self.state)
        assert active is not None
        return active.workflows["triage"].bundle


@pytest.fixture
def site(tmp_path: Path, public: Path) -> Site:
    return Site(tmp_path / "state", public)


def digest(manifest: FleetManifest) -> str:
    return manifest.workflows["triage"].builds["edge-x86-vnni"].bundle.digest


@pytest.mark.parametrize("kind", ["nginx", "bucket", "public"])
def test_a_site_pulls_from(kind: str, request: pytest.FixtureRequest, site: Site, manifest: FleetManifest) -> None:
    site.enroll(str(request.getfixturevalue(kind)))
    assert site.sync().changed
    assert site.bundle() == digest(manifest)
    again = site.sync()
    assert not again.changed
    assert again.fetched_bytes < 1000


def test_a_broken_download_is_resumed_from(bucket: str, site: Site, manifest: FleetManifest, public: Path) -> None:
    """The bucket honours `Range` with a signature over it."""
    site.enroll(bucket)
    blob = max((path for path in (public / "blobs/sha256").iterdir()), key=lambda path: path.stat().st_size)
    part = site.state / "blobs/sha256" / f"{blob.name}.part"
    part.write_bytes(blob.read_bytes()[:-10])
    site.sync()
    assert site.bundle() == digest(manifest)


def test_a_wrong_secret_is_refused_by_the_bucket(bucket: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.enroll(bucket)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UnreachableError, match=f"{bucket} has no .*HTTP 403"):
        site.sync()


def test_a_machine_without_credentials_is_told(bucket: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.enroll(bucket)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UsageError, match="no credentials were found"):
        site.sync()


def test_every_artifact_goes_to_a_registry_and_back_unchanged(
    registry: str, public: Path, manifest: FleetManifest, tmp_path: Path
) -> None:
    needs("skopeo")
    names = push(public, registry)
    assert len(names) == 8, "two bundles, each with a signature and two reports"
    back = tmp_path / "back"
    for name in names:
        copy(f"docker://{registry}/{REPOSITORY}:{name}", f"oci:{back}:{name}")
    assert names_of(back).items() >= names.items()
    for path in (back / "blobs/sha256").iterdir():
        assert path.read_bytes() == (public / "blobs/sha256" / path.name).read_bytes()


def test_signature_and_evidence_are_found_in_a_registry(registry: str, public: Path, manifest: FleetManifest) -> None:
    """By the referrers tag, which is for registries without the referrers API."""
    needs("skopeo")
    push(public, registry)
    build = manifest.workflows["triage"].builds["edge-x86-vnni"]
    tag = build.bundle.digest.replace(":", "-")
    accept = {"Accept": f"{INDEX_TYPE}, {MANIFEST_TYPE}"}
    base = f"http://{registry}/v2/{REPOSITORY}"
    attached = []
    for one in httpx.get(f"{base}/manifests/{tag}", headers=accept, trust_env=False).json()["manifests"]:
        document = httpx.get(f"{base}/manifests/{one['digest']}", headers=accept, trust_env=False).json()
        assert document["subject"]["digest"] == build.bundle.digest
        assert document["artifactType"] == one["artifactType"]
        attached += [layer["digest"] for layer in document["layers"]]
    assert set(attached) == {build.bundle.signature.digest, *(blob.digest for blob in build.evidence)}


def test_a_site_takes_its_blobs_from_a_registry(
    registry: str, public: Path, nginx: str, site: Site, manifest: FleetManifest, tmp_path: Path
) -> None:
    needs("skopeo")
    push(public, registry)
    site.enroll(nginx, blobs=f"oci+http://{registry}/{REPOSITORY}")
    site.sync()
    assert site.bundle() == digest(manifest)
    assert status(site.state).last_sync.fallbacks == ()
    asked = [line for line in (tmp_path / "nginx/access.log").read_text().splitlines() if "/blobs/" in line]
    updates = manifest.updates
    assert updates is not None
    assert {line.split("/blobs/sha256/")[1].split(" ")[0] for line in asked} <= {
        updates.digest.removeprefix("sha256:"), *payloads(public, updates.digest)
    }  # fmt: skip


@pytest.fixture
def guarded(
    registry: str, tokens: TokenService, public: Path, manifest: FleetManifest, tmp_path: Path
) -> Iterator[str]:
    """The same blobs in a registry that wants tokens."""
    needs("skopeo")
    push(public, registry)
    with running_registry(tmp_path, tokens.auth) as address:
        assert httpx.get(f"http://{address}/v2/{REPOSITORY}/tags/list", trust_env=False).status_code == 401
        yield address


def test_a_site_takes_its_blobs_from_a_registry_that_wants_tokens(
    guarded: str, tokens: TokenService, nginx: str, site: Site, manifest: FleetManifest
) -> None:
    """Whoever asks gets one; one is enough for all blobs."""
    site.enroll(nginx, blobs=f"oci+http://{guarded}/{REPOSITORY}")
    site.sync()
    assert site.bundle() == digest(manifest)
    assert status(site.state).last_sync.fallbacks == ()
    assert tokens.asked == [{"service": TokenService.SERVICE, "scope": f"repository:{REPOSITORY}:pull"}]


def test_a_registry_whose_tokens_are_for_those_with_a_password(
    guarded: str,
    tokens: TokenService,
    nginx: str,
    site: Site,
    manifest: FleetManifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens.password = "Basic " + base64.b64encode(b"site:hush").decode()
    monkeypatch.setenv("HOME", str(tmp_path))
    site.enroll(nginx, blobs=f"oci+http://{guarded}/{REPOSITORY}")
    site.sync()
    (said,) = status(site.state).last_sync.fallbacks
    assert "HTTP 401 where a token was expected" in said
    assert site.bundle() == digest(manifest), "from the source"
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login site password hush\n")
    (tmp_path / ".netrc").chmod(0o600)
    other = Site(tmp_path / "other", site.root.parent.parent)
    other.enroll(nginx, blobs=f"oci+http://{guarded}/{REPOSITORY}")
    other.sync()
    assert other.bundle() == digest(manifest)
    assert status(other.state).last_sync.fallbacks == ()


def test_a_token_that_allows_nothing(
    guarded: str, tokens: TokenService, nginx: str, site: Site, manifest: FleetManifest
) -> None:
    """The registry asks again; the site does not, and takes everything from its source."""
    tokens.actions = []
    site.enroll(nginx, blobs=f"oci+http://{guarded}/{REPOSITORY}")
    site.sync()
    assert site.bundle() == digest(manifest)
    (said,) = status(site.state).last_sync.fallbacks
    assert "may not read there (HTTP 401)" in said


def payloads(public: Path, updates: str) -> set[str]:
    """What only the origin has: the payloads of deltas."""
    raw = json.loads((public / "blobs/sha256" / updates.removeprefix("sha256:")).read_bytes())
    return {delta["payload"]["digest"].removeprefix("sha256:") for delta in raw["deltas"]}


def test_a_registry_with_another_blob_under_a_digest(
    registry: str, public: Path, nginx: str, site: Site, manifest: FleetManifest, tmp_path: Path
) -> None:
    """Somebody who can write to the registry's disk changes every blob there."""
    needs("skopeo")
    push(public, registry)
    for path in (tmp_path / "registry").rglob("blobs/sha256/*/*/data"):
        path.write_bytes(path.read_bytes()[::-1])
    site.enroll(nginx, blobs=f"oci+http://{registry}/{REPOSITORY}")
    site.sync()
    assert site.bundle() == digest(manifest)
    assert status(site.state).last_sync.fallbacks != ()


def test_a_tree_after_garbage_collection_still_goes_to_a_registry(
    registry: str, release: Release, public: Path, manifest: FleetManifest, clock: Any, builder: Any
) -> None:
    needs("skopeo")
    clock.forward(days=40)
    release.refresh("canary", "candidates")
    release.promote("canary", [builder.candidate(content="third")], {"triage": builder.entry()})
    assert collect(release.repository, dry_run=False).removed
    # the new build, the one before it, and the one that both are held to, each with a signature and two reports
    assert len(push(public, registry)) == 12


def test_a_stick_that_skopeo_wrote_is_enough_for_the_blobs(
    site: Site, public: Path, manifest: FleetManifest, tmp_path: Path
) -> None:
    """Metadata from the tree, blobs from another image layout on a medium."""
    needs("skopeo")
    stick = tmp_path / "stick"
    for name in names_of(public):
        copy(f"oci:{public}:{name}", f"oci:{stick}:{name}")
    site.enroll(str(public), blobs=str(stick))
    site.sync()
    assert site.bundle() == digest(manifest)
