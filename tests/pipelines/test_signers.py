"""`signers` and `trust` of `lading.yaml`: who signs, what it is held to, and what is attested of a bundle."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import (
    BaseRef,
    BundleConfig,
    ConfigError,
    IsaClass,
    Task,
    UsageError,
    digest_of,
    parse,
    sha256_of,
)
from fleet_manifests.authors import BY_KEY
from pipelines.project.load import Project, load_project
from pipelines.steps.attestations import attest_bundle, attested, git_commit
from pipelines.steps.configs import author_of, keys_of, signing_policy
from pipelines.store import Entry, Step
from release import assemble, sign_bundle
from release.attestations import verify_attestation
from release.provenance import Provenance
from release.signers import EnvironmentKey, FileKey
from release.signers_keyless import KeylessSigner

pytestmark = pytest.mark.unit
CARD = b'{"rows": 3}'
KEYLESS = "sigstore:?identity=https://ci.example.org/build&issuer=https://ci.example.org"
TRUST = """
trust:
  trusted_root: trusted_root.json
  require: [provenance]
  authors:
    - {identity: "https://ci.example.org/build", issuer: "https://ci.example.org", workflows: ["*"], signs: [bundle]}
    - {key: builder, workflows: ["*"], signs: [evidence]}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `lading init` makes: `project`, and `keys` beside it."""
    from typer.testing import CliRunner

    from pipelines.cli.app import app

    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LADING_KEYS", str(folder / "keys"))
        assert CliRunner().invoke(app, ["init", str(folder / "project")]).exit_code == 0
    return folder


@pytest.fixture
def project_with(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project from the template, with a name and this in its `lading.yaml`."""
    monkeypatch.setenv("LADING_KEYS", str(tmp_path / "keys"))
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)

    def make(more: str) -> Project:
        (tmp_path / "project" / "lading.yaml").write_text(f"name: acme\ntitle: Acme\n{more}")
        return load_project(tmp_path / "project")

    return make


def test_without_a_word_the_builders_key_signs_everything(project_with: Any) -> None:
    author = author_of(project_with(""))
    assert isinstance(author.signer, FileKey)
    assert author.trust.policy == BY_KEY
    assert author.trust.builder == author.signer.public_pem
    assert signing_policy(project_with("")) == {}


def test_a_key_elsewhere(project_with: Any) -> None:
    keys = keys_of(project_with('signers:\n  online: "env:ONLINE"\n  alice: "env:ALICE"\n'))
    assert isinstance(keys["online"], EnvironmentKey)
    assert isinstance(keys["manager-alice"], EnvironmentKey)
    assert isinstance(keys["builder"], FileKey)


def test_a_keyless_builder_leaves_tuf_to_the_key_store(project_with: Any, tmp_path: Path) -> None:
    """securesystemslib signs keyless with the public instance only, and TUF must not depend on that."""
    (tmp_path / "project" / "trusted_root.json").write_text("{}")
    project = project_with(f'signers:\n  builder: "{KEYLESS}"\n{TRUST}')
    author = author_of(project)
    assert isinstance(author.signer, KeylessSigner)
    assert isinstance(keys_of(project)["builder"], FileKey)
    assert author.trust.builder == keys_of(project)["builder"].public_pem
    assert author.trust.policy.require == ("provenance",)
    assert author.trust.authors("triage", "bundle").key is None
    assert author.described.startswith("https://ci.example.org/build (https://ci.example.org)")


def test_a_missing_trusted_root_names_file_and_field(project_with: Any) -> None:
    with pytest.raises(ConfigError, match=r"lading\.yaml: trust: trusted_root: trusted_root\.json: No such file"):
        author_of(project_with(TRUST))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('signers: {builder: "gpg:X"}\n', "scheme 'gpg' is not known"),
        ('signers: {builder: "sigstore:?identity=a"}\n', "issuer is missing"),
        (f'signers: {{alice: "{KEYLESS}"}}\n', "manager-alice: only the builder signs keyless"),
        ('signers: {"Not A Name": "env:X"}\n', "signers"),
        ("trust: {authors: []}\n", "authors"),
        ("trust:\n  authors:\n    - {key: builder, workflows: [triage], signs: [everything]}\n", "signs"),
    ],
)
def test_what_is_wrong_is_said(project_with: Any, more: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        author_of(project_with(more))


def test_the_commit_of_a_project(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == (None, False)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert git_commit(tmp_path) == (None, False)
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    commit, changed = git_commit(tmp_path)
    assert (len(commit or ""), changed) == (40, False)
    (tmp_path / "a").write_text("2")
    assert git_commit(tmp_path) == (commit, True)


@pytest.fixture
def bundle(project_with: Any) -> tuple[Project, Entry, Entry]:
    """A project with a signed bundle and its corpus in the store."""
    project = project_with("")

    def corpus_work(out: Path) -> None:
        (out / "data_card.json").write_bytes(CARD)

    def work(out: Path) -> None:
        files = {"model.onnx": b"weights", "tokenizer.json": b"{}"}
        for name, raw in files.items():
            (out / name).write_bytes(raw)
        config = BundleConfig(
            workflow="triage", task=Task.CLASSIFY, profile="edge", isa=IsaClass.X86_64_V3, recipe="int8",
            labels=("late", "lost"), data_card=digest_of(CARD),
            base=BaseRef(name="mini", revision="1", digest=digest_of(b"base"), licence="Apache-2.0"),
        )  # fmt: skip
        card = corpus.path / "data_card.json"
        made = {name: out / name for name in files} | {"data_card.json": card}
        assemble(made, config, out / "assembled")
        sign_bundle(out / "assembled", author_of(project))
        for path in [*out.iterdir()]:
            if path.name != "assembled":
                path.unlink()
        for path in [*(out / "assembled").iterdir()]:
            path.rename(out / path.name)
        (out / "assembled").rmdir()

    corpus = project.store.keep("triage", Step(name="corpus", inputs={}, parameters={}, code=()), corpus_work)
    made = project.store.keep("triage--edge", Step(name="bundle", inputs={}, parameters={}, code=()), work)
    return project, made, corpus


def test_a_bundle_is_attested_when_it_is_made(bundle: tuple[Project, Entry, Entry]) -> None:
    project, made, corpus = bundle
    assert attested(project, "triage", "edge") == ()
    attest_bundle(project, "triage", "edge", made, corpus)
    paths = attested(project, "triage", "edge")
    raw = (made.path / "triage--edge" / "bundle.json").read_bytes()
    config, digest = parse(BundleConfig, raw), sha256_of(made.path / "manifest.json")
    found = [verify_attestation(path.read_bytes(), author_of(project).trust, config, digest) for path in paths]
    assert [act for act, _ in found] == ["provenance", "model-card"]
    said = found[0][1]
    assert isinstance(said, Provenance)
    inputs = {one.name: one for one in said.definition.dependencies}
    assert inputs["corpus"].digest == {"sha256": corpus.digest.removeprefix("sha256:")}
    assert inputs["onnxruntime"].uri == f"pkg:pypi/onnxruntime@{importlib.metadata.version('onnxruntime')}"
    assert said.run.builder.id.startswith("urn:lading:key:")


def test_what_was_attested_is_kept(bundle: tuple[Project, Entry, Entry]) -> None:
    project, made, corpus = bundle
    before = attest_bundle(project, "triage", "edge", made, corpus)
    again = attest_bundle(project, "triage", "edge", made, corpus)
    assert (again.reused, again.digest) == (True, before.digest)
