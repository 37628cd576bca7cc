"""Keyless signing against a Sigstore instance of our own: sigstore-python and model_signing are unmodified.

Each refusal is a test named after it; the public conformance suite is blind to who signed.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from fleet_manifests import Gate, IntegrityError, UnreachableError, UsageError, Verdict, parse
from fleet_manifests.authors import Authors, Identity, SignerPolicy, Trust
from fleet_manifests.signature import verify_bundle
from release import Keys, assemble, attest, check_candidate, sign_bundle, verify_evidence
from release.signers_keyless import KeylessSigner, keyless_signer
from release.signing import Author
from tests.sigstore_double import SigstoreDouble

pytestmark = pytest.mark.integration
NAME = "triage--edge-x86-vnni"
CI = "https://ci.example.org/acme/models/build.yml@refs/heads/main"
OTHER = "https://ci.example.org/mallory/models/build.yml@refs/heads/main"
DIGEST = "sha256:" + "a" * 64
LEFT_OPEN = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
"""sigstore-python does not close the page that it waits on."""
STATEMENT = json.dumps(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": "a" * 64}}],
        "predicateType": "https://example.org/x",
        "predicate": {},
    }
).encode()


@pytest.fixture(scope="module", params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def double(request: pytest.FixtureRequest) -> Iterator[SigstoreDouble]:
    with SigstoreDouble(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def foreign() -> Iterator[SigstoreDouble]:
    """Another instance, which nobody here trusts."""
    with SigstoreDouble() as found:
        yield found


def root_of(double: SigstoreDouble, change: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    document = double.trusted_root()
    if change is not None:
        change(document)
    return json.dumps(document).encode()


def policy_of(double: SigstoreDouble, *more: dict[str, Any], **changes: Any) -> SignerPolicy:
    author = {"identity": CI, "issuer": double.url, "workflows": ["triage"], "signs": ["bundle", "evidence"], **changes}
    return parse(SignerPolicy, json.dumps({"authors": [author, *more]}).encode())


@pytest.fixture
def trust(double: SigstoreDouble, keys: Keys) -> Trust:
    return Trust(keys["builder"].public_pem, policy_of(double), root_of(double))


@pytest.fixture
def signer_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KeylessSigner]:
    """A signer of an instance, whose token is in a variable of the environment as in a CI."""

    def make(double: SigstoreDouble, subject: str = CI, **options: str) -> KeylessSigner:
        config = tmp_path / f"client-{len(list(tmp_path.iterdir()))}.json"
        config.write_text(json.dumps(double.client_config()))
        monkeypatch.setenv("CI_TOKEN", double.oidc.token(subject))
        said = {"identity": subject, "issuer": double.url, "trust-config": config.name, "token": "env:CI_TOKEN"}
        query = "&".join(f"{name}={quote(value)}" for name, value in (said | options).items())
        return keyless_signer("builder", f"sigstore:?{query}", tmp_path)

    return make


@pytest.fixture
def author(double: SigstoreDouble, signer_of: Any, trust: Trust) -> Author:
    return Author(signer_of(double), trust)


@pytest.fixture
def out(builder: Any, tmp_path: Path) -> Path:
    assemble(builder.files(), builder.config(), tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def signed(out: Path, author: Author) -> Path:
    sign_bundle(out, author)
    return out


def verify(out: Path, trust: Trust, workflow: str = "triage") -> None:
    verify_bundle(out / NAME, out / "model.sig", trust.authors(workflow, "bundle"), name=NAME)


def sign_anyhow(out: Path, signer: KeylessSigner) -> None:
    """What somebody signs who does not ask our policy."""
    signer.sign_files(out / NAME, out / "model.sig")


def test_the_named_identity_is_accepted(signed: Path, trust: Trust) -> None:
    verify(signed, trust)


def test_it_needs_no_folder_to_write_into(
    signed: Path, trust: Trust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    verify(signed, trust)


def test_a_signature_that_holds_is_kept(signed: Path, author: Author) -> None:
    before = (signed / "model.sig").read_bytes()
    assert sign_bundle(signed, author).read_bytes() == before


def test_upstream_accepts_it(signed: Path, double: SigstoreDouble, tmp_path: Path) -> None:
    config = tmp_path / "verify.json"
    config.write_text(json.dumps(double.client_config()))
    command = [sys.executable, "-m", "model_signing", "verify", "sigstore", str(signed / NAME)]
    command += ["--signature", str(signed / "model.sig"), "--identity", CI, "--identity_provider", double.url]
    done = subprocess.run(
        [*command, "--trust_config", str(config), "--no-ignore-git-paths"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_wrong_identity(out: Path, double: SigstoreDouble, signer_of: Any, trust: Trust) -> None:
    sign_anyhow(out, signer_of(double, OTHER))
    with pytest.raises(IntegrityError, match=r"is not what https://ci\.example\.org/acme.* signed"):
        verify(out, trust)


def test_wrong_issuer(signed: Path, double: SigstoreDouble, keys: Keys) -> None:
    policy = policy_of(double, issuer="https://accounts.example.org")
    with pytest.raises(IntegrityError, match="OIDCIssuer does not match"):
        verify(signed, Trust(keys["builder"].public_pem, policy, root_of(double)))


def test_right_identity_for_another_workflow(signed: Path, double: SigstoreDouble, keys: Keys) -> None:
    policy = policy_of(double, workflows=["routing"])
    with pytest.raises(IntegrityError, match="lets no identity sign a bundle of workflow triage"):
        verify(signed, Trust(keys["builder"].public_pem, policy, root_of(double)))


def test_right_identity_for_another_act(signed: Path, double: SigstoreDouble, keys: Keys) -> None:
    policy = policy_of(double, signs=["evidence"])
    with pytest.raises(IntegrityError, match="lets no identity sign a bundle"):
        verify(signed, Trust(keys["builder"].public_pem, policy, root_of(double)))


def test_a_key_signed_bundle_into_the_keyless_verifier(out: Path, keys: Keys, trust: Trust) -> None:
    sign_bundle(out, keys["builder"])
    with pytest.raises(IntegrityError, match="is signed by a key; the signing policy lets no key sign"):
        verify(out, trust)


def test_a_keyless_bundle_into_the_key_verifier(signed: Path, keys: Keys) -> None:
    with pytest.raises(IntegrityError, match="is signed keyless; the signing policy lets no identity sign"):
        verify_bundle(signed / NAME, signed / "model.sig", keys["builder"].public_pem, name=NAME)


ENTRIES = ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"]


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_trusted_root_with_an_entry_removed(signed: Path, double: SigstoreDouble, keys: Keys, entry: str) -> None:
    """How a key of an instance is revoked: `validFor.end` is ignored by sigstore-python."""
    root = root_of(double, lambda document: document.update({entry: []}))
    with pytest.raises(IntegrityError, match="is not what"):
        verify(signed, Trust(keys["builder"].public_pem, policy_of(double), root))


@pytest.mark.parametrize("entry", ENTRIES, ids=["log", "certificate-log", "ca", "tsa"])
def test_a_foreign_part(signed: Path, double: SigstoreDouble, foreign: SigstoreDouble, keys: Keys, entry: str) -> None:
    """A foreign log, certificate log, CA or TSA in place of the trusted one."""
    root = root_of(double, lambda document: document.update({entry: foreign.trusted_root()[entry]}))
    if (double.rekor, entry) == (1, "timestampAuthorities"):
        verify(signed, Trust(keys["builder"].public_pem, policy_of(double), root))  # the log itself says when
        return
    with pytest.raises(IntegrityError, match="is not what"):
        verify(signed, Trust(keys["builder"].public_pem, policy_of(double), root))


def test_a_foreign_timestamp_is_no_source_of_time(
    signed: Path, double: SigstoreDouble, foreign: SigstoreDouble, trust: Trust
) -> None:
    """Without the log's own promise only a timestamp says when, and a foreign one does not."""
    document = json.loads((signed / "model.sig").read_text())
    (entry,) = document["verificationMaterial"]["tlogEntries"]
    entry.pop("inclusionPromise", None)
    (signed / "model.sig").write_text(json.dumps(document))
    verify(signed, trust)
    root = root_of(double, lambda it: it.update(timestampAuthorities=foreign.trusted_root()["timestampAuthorities"]))
    with pytest.raises(IntegrityError, match="not enough sources of verified time"):
        verify(signed, Trust(trust.builder, trust.policy, root))


def test_a_foreign_instance(
    out: Path, foreign: SigstoreDouble, double: SigstoreDouble, signer_of: Any, keys: Keys
) -> None:
    """The same identity and issuer name, of an instance that is not in the trusted root."""
    sign_anyhow(out, signer_of(foreign))
    policy = policy_of(double, issuer=foreign.url)
    with pytest.raises(IntegrityError, match="is not what"):
        verify(out, Trust(keys["builder"].public_pem, policy, root_of(double)))


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{}", b'{"mediaType": 1}', b"\xff"])
def test_a_trusted_root_that_is_none(signed: Path, double: SigstoreDouble, keys: Keys, raw: bytes) -> None:
    with pytest.raises(IntegrityError):
        verify(signed, Trust(keys["builder"].public_pem, policy_of(double), raw))


def test_sigstores_own_cache_is_never_read(
    signed: Path, trust: Trust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline, sigstore-python would believe its cached trusted root unverified."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setattr("sigstore.models.ClientTrustConfig.from_tuf", lambda *_, **__: pytest.fail("read its cache"))
    verify(signed, trust)
    assert not (tmp_path / "nowhere").exists()


def test_a_tampered_file(signed: Path, trust: Trust) -> None:
    (signed / NAME / "model.onnx").write_text("other weights")
    with pytest.raises(IntegrityError, match=NAME):
        verify(signed, trust)


def test_an_added_git_file(signed: Path, trust: Trust) -> None:
    (signed / NAME / ".git").mkdir()
    (signed / NAME / ".git" / "evil.py").write_text("print('hello')")
    with pytest.raises(IntegrityError, match=NAME):
        verify(signed, trust)


def test_nothing_is_ignored(signed: Path) -> None:
    payload = base64.b64decode(json.loads((signed / "model.sig").read_text())["dsseEnvelope"]["payload"])
    assert json.loads(payload)["predicate"]["serialization"] == {
        "method": "files", "hash_type": "sha256", "allow_symlinks": False,
    }  # fmt: skip


def test_replay_under_another_name(signed: Path, trust: Trust) -> None:
    with pytest.raises(IntegrityError, match="it is for bundle"):
        verify_bundle(signed / NAME, signed / "model.sig", trust.authors("triage", "bundle"), name="triage--other")


def every_path(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(below for name, child in children for below in every_path(child, (*path, name)))]


@pytest.mark.parametrize("value", [None, "", 0, [], {}, "AAAA", ["x"]], ids=str)
def test_no_damage_to_the_signature_file_escapes_the_seam(signed: Path, trust: Trust, value: Any) -> None:
    document = json.loads((signed / "model.sig").read_text())
    harmless = {
        ("dsseEnvelope", "signatures", 0, "keyid"),
        ("verificationMaterial", "tlogEntries", 0, "inclusionProof", "hashes"),
        ("verificationMaterial", "tlogEntries", 0, "integratedTime"),
        ("verificationMaterial", "tlogEntries", 0, "inclusionPromise"),
        ("verificationMaterial", "timestampVerificationData"),
        ("verificationMaterial", "timestampVerificationData", "rfc3161Timestamps"),
    }
    for path in every_path(document):
        if path in harmless or not path:
            continue
        changed = copy.deepcopy(document)
        node = changed
        for step in path[:-1]:
            node = node[step]
        if node[path[-1]] == value:
            continue
        node[path[-1]] = value
        (signed / "model.sig").write_text(json.dumps(changed))
        with pytest.raises(IntegrityError):
            verify(signed, trust)


def test_a_timestamp_that_failed_is_noticed_before_anything_is_kept(
    out: Path, double: SigstoreDouble, author: Author
) -> None:
    """The library only logs it; with Rekor v2 there is then no time, and no site would accept the bundle."""
    double.tsa.broken = True
    try:
        if double.rekor == 1:  # the log's promise says when
            sign_bundle(out, author)
            return
        with pytest.raises(UnreachableError, match="nothing was signed: .*must contain an inclusion promise or signed"):
            sign_bundle(out, author)
    finally:
        double.tsa.broken = False
    assert not (out / "model.sig").exists()
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "manifest.json", NAME]


def test_an_author_whom_the_policy_does_not_name_signs_nothing(
    out: Path, double: SigstoreDouble, signer_of: Any, trust: Trust
) -> None:
    """What a transparency log has, it has for ever: refused before it is asked."""
    logged = len(double.log._leaves)
    with pytest.raises(IntegrityError, match="the signing policy does not let .*mallory.* sign a bundle"):
        sign_bundle(out, Author(signer_of(double, OTHER), trust))
    assert len(double.log._leaves) == logged


def test_evidence_is_signed_and_verified_keyless(author: Author, trust: Trust, builder: Any) -> None:
    report = builder.report("accuracy", DIGEST)
    envelope = attest(report, author)
    assert verify_evidence(envelope, trust.authors("triage", "evidence"), DIGEST) == report


def test_evidence_for_another_workflow_is_not_signed(author: Author, builder: Any) -> None:
    with pytest.raises(IntegrityError, match="does not let https://ci.* sign evidence of workflow routing"):
        attest(builder.report("accuracy", DIGEST, workflow="routing"), author)


def test_evidence_of_a_wrong_identity(double: SigstoreDouble, signer_of: Any, trust: Trust, builder: Any) -> None:
    permissive = Trust(trust.builder, policy_of(double, identity=OTHER), trust.trusted_root)
    envelope = attest(builder.report("accuracy", DIGEST), Author(signer_of(double, OTHER), permissive))
    with pytest.raises(IntegrityError, match="evidence: is not signed by https://ci"):
        verify_evidence(envelope, trust.authors("triage", "evidence"), DIGEST)


def test_key_signed_evidence_where_only_identities_may(trust: Trust, keys: Keys, builder: Any) -> None:
    envelope = attest(builder.report("accuracy", DIGEST), keys["builder"])
    with pytest.raises(IntegrityError, match="lets no key sign"):
        verify_evidence(envelope, trust.authors("triage", "evidence"), DIGEST)


def test_keyless_evidence_where_only_the_key_may(author: Author, keys: Keys, builder: Any) -> None:
    envelope = attest(builder.report("accuracy", DIGEST), author)
    with pytest.raises(IntegrityError, match="lets no identity sign"):
        verify_evidence(envelope, keys["builder"].public_pem, DIGEST)


def test_the_gate_holds_a_candidate_to_the_same_policy(
    builder: Any, double: SigstoreDouble, signer_of: Any, trust: Trust
) -> None:
    candidate = builder.candidate()  # signed by the builder's key
    checked = check_candidate(candidate, trust)
    assert [gate.name for gate in checked.gates if gate.verdict is Verdict.FAIL] == ["signature"]
    (candidate.folder / "model.sig").unlink()
    author = Author(signer_of(double), trust)
    sign_bundle(candidate.folder, author)
    evidence = [builder.report(kind, _digest(candidate)) for kind in ("accuracy", "latency")]
    for path, report in zip(candidate.evidence, evidence, strict=True):
        path.write_bytes(attest(report, author))
    assert all(gate.verdict is Verdict.PASS for gate in check_candidate(candidate, trust).gates)
    other = Trust(trust.builder, policy_of(double, workflows=["routing"]), trust.trusted_root)
    failed = _failed(check_candidate(candidate, other).gates)
    assert [gate.name for gate in failed] == ["signature"]
    assert "workflow triage" in failed[0].reason


def _digest(candidate: Any) -> str:
    from fleet_manifests import sha256_of

    return sha256_of(candidate.folder / "manifest.json")


def _failed(gates: tuple[Gate, ...]) -> list[Gate]:
    return [gate for gate in gates if gate.verdict is Verdict.FAIL]


def test_one_of_several_identities(signed: Path, double: SigstoreDouble, keys: Keys) -> None:
    more = {"identity": OTHER, "issuer": double.url, "workflows": ["*"], "signs": ["bundle"]}
    policy = policy_of(double, more)
    authors = Trust(keys["builder"].public_pem, policy, root_of(double)).authors("triage", "bundle")
    assert len(authors.identities) == 2
    swapped = Authors(None, authors.identities[::-1], authors.trusted_root)
    for one in (authors, swapped):
        verify_bundle(signed / NAME, signed / "model.sig", one, name=NAME)


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({"lifetime": -60}, "cannot be used"),
        ({"audience": "elsewhere"}, "cannot be used"),
        ({"issuer": "https://evil.example.org"}, "issued by https://evil"),
    ],
)
def test_a_token_that_cannot_be_right_never_leaves(
    out: Path, double: SigstoreDouble, author: Author, monkeypatch: pytest.MonkeyPatch, token: Any, said: str
) -> None:
    monkeypatch.setenv("CI_TOKEN", double.oidc.token(CI, **token))
    with pytest.raises(UsageError, match=said):
        sign_bundle(out, author)


def test_a_token_of_another_subject_signs_nothing_that_is_kept(
    out: Path, double: SigstoreDouble, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_TOKEN", double.oidc.token(OTHER))
    with pytest.raises(IntegrityError, match="is not what"):
        sign_bundle(out, author)
    assert not (out / "model.sig").exists()


def test_a_token_of_a_foreign_issuer_is_refused_by_the_authority(
    out: Path, double: SigstoreDouble, foreign: SigstoreDouble, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = foreign.oidc.token(CI, issuer=double.url)  # a forgery: the right name, another key
    monkeypatch.setenv("CI_TOKEN", token)
    with pytest.raises(UnreachableError, match="nothing was signed") as refused:
        sign_bundle(out, author)
    assert token not in str(refused.value)


def test_an_instance_that_is_gone(out: Path, keys: Keys, signer_of: Any) -> None:
    with SigstoreDouble() as gone:
        trust = Trust(keys["builder"].public_pem, policy_of(gone), root_of(gone))
        author = Author(signer_of(gone), trust)
    with pytest.raises(UnreachableError, match="sigstore: nothing was signed"):
        sign_bundle(out, author)


def test_the_token_may_be_in_a_file(
    double: SigstoreDouble, signer_of: Any, trust: Trust, out: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(double.oidc.token(CI) + "\n")
    sign_bundle(out, Author(signer_of(double, token="file:token"), trust))
    verify(out, trust)


def test_without_a_ci_there_is_no_ambient_identity(
    double: SigstoreDouble, signer_of: Any, trust: Trust, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_ACTIONS", "CIRCLECI", "GITLAB_CI", "BUILDKITE", "SIGSTORE_ID_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda *_: None)
    with pytest.raises(UsageError, match="no identity of a CI; name where the token is"):
        sign_bundle(out, Author(signer_of(double, token="ambient"), trust))


class Browser:
    """A browser without a window: it goes wherever it is sent, in a thread of its own."""

    def __init__(self, forged: str | None = None) -> None:
        self.forged = forged
        """What it calls back with in place of the issuer's answer."""
        self.opened: list[str] = []

    def open(self, url: str) -> bool:
        self.opened.append(url)
        threading.Thread(target=self._visit, args=(url,), daemon=True).start()
        return True

    def _visit(self, url: str) -> None:
        with httpx.Client(trust_env=False) as client:
            if self.forged is not None:
                client.get(f"{url}/auth/callback?{self.forged}")
                return
            client.get(url, follow_redirects=True).raise_for_status()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    made = Browser()
    monkeypatch.setattr("webbrowser.open", made.open)
    return made


@pytest.fixture
def person(double: SigstoreDouble, signer_of: Any) -> Iterator[KeylessSigner]:
    """A signer whose token is had by logging in."""
    double.oidc.login, double.oidc.logins = "alice@example.org", 0
    yield signer_of(double, double.oidc.login, token="interactive")
    double.oidc.login = None


@pytest.fixture
def persons_trust(double: SigstoreDouble, trust: Trust) -> Trust:
    return replace(trust, policy=policy_of(double, identity="alice@example.org"))


@LEFT_OPEN
def test_a_person_logs_in_once_and_signs_bundle_and_evidence(
    double: SigstoreDouble, browser: Browser, person: KeylessSigner, persons_trust: Trust, out: Path, builder: Any
) -> None:
    """The browser follows the issuer to the page that sigstore-python waits on; the code is redeemed with its proof."""
    author = Author(person, persons_trust)
    sign_bundle(out, author)
    verify(out, persons_trust)
    report = builder.report("accuracy", DIGEST)
    assert verify_evidence(attest(report, author), persons_trust.authors("triage", "evidence"), DIGEST) == report
    assert double.oidc.logins == len(browser.opened) == 1
    assert "eyJ" not in repr(author)


@LEFT_OPEN
def test_a_person_whose_token_ended_logs_in_anew(
    double: SigstoreDouble, browser: Browser, person: KeylessSigner
) -> None:
    person._given[:] = [double.oidc.token("alice@example.org", lifetime=-1)]
    person.seal_payload(STATEMENT)
    assert double.oidc.logins == 1


@LEFT_OPEN
def test_somebody_else_logs_in(
    double: SigstoreDouble, browser: Browser, person: KeylessSigner, persons_trust: Trust, out: Path
) -> None:
    double.oidc.login = "mallory@example.org"
    with pytest.raises(IntegrityError, match=r"mallory@example\.org|alice@example\.org"):
        sign_bundle(out, Author(person, persons_trust))


@LEFT_OPEN
def test_who_is_turned_away_signs_nothing(double: SigstoreDouble, browser: Browser, person: KeylessSigner) -> None:
    double.oidc.login = None
    with pytest.raises(UnreachableError, match="nothing was signed: IdentityError: .*access_denied"):
        person.seal_payload(STATEMENT)


@LEFT_OPEN
@pytest.mark.parametrize("forged", ["code=1&state=another", "code=1", "state=another"])
def test_another_page_calls_back(browser: Browser, person: KeylessSigner, forged: str) -> None:
    browser.forged = forged
    with pytest.raises(UnreachableError, match="nothing was signed"):
        person.seal_payload(STATEMENT)


@LEFT_OPEN
def test_without_a_browser_and_without_a_person(
    person: KeylessSigner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UsageError, match="nobody is there to log in; name another token"):
        person.seal_payload(STATEMENT)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sigstore:", "identity is missing; say whose signature is expected"),
        ("sigstore:?identity=a@b.org", "issuer is missing"),
        ("sigstore:?identity=a@b.org&issuer=https://x&tokn=env:X", "tokn is not known"),
        ("sigstore:?identity=a@b.org&issuer=https://x&token=eyJhbGciOi", "expected ambient, interactive, env:"),
    ],
)
def test_a_uri_that_is_none(tmp_path: Path, uri: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        keyless_signer("builder", uri, tmp_path)
    assert "eyJ" not in str(refused.value)


def test_who_signs_is_told_without_the_token(author: Author, double: SigstoreDouble) -> None:
    assert author.described.startswith(f"{CI} ({double.url})")
    assert isinstance(author.signer, KeylessSigner)
    assert author.signer.identity == Identity(identity=CI, issuer=double.url)
    assert "eyJ" not in repr(author)
