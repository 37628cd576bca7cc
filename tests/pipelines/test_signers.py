"""`signers` and `trust` of `lading.yaml`: who signs, what it is held to, and what is attested of a bundle."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import ConfigError, UsageError
from fleet_manifests.authors import BY_KEY
from pipelines.project.load import Project, load_project
from pipelines.steps.attestations import git_commit
from pipelines.steps.configs import author_of, keys_of, signing_policy
from release.signers import EnvironmentKey, FileKey
from release.signers_keyless import KeylessSigner

pytestmark = pytest.mark.unit
KEYLESS = "sigstore:?identity=https://ci.example.org/build&issuer=https://ci.example.org"
TRUST = """
trust:
  trusted_root: trusted_root.json
  require: [provenance]
  authors:
    - {identity: "https://ci.example.org/build", issuer: "https://ci.example.org", workflows: ["*"], signs: [bundle]}
    - {key: builder, workflows: ["*"], signs: [evidence]}
"""


@pytest.fixture
def project_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project from the template, with more in its `lading.yaml`."""
    from typer.testing import CliRunner

    from pipelines.cli.app import app

    monkeypatch.setenv("LADING_KEYS", str(tmp_path / "keys"))
    assert CliRunner().invoke(app, ["init", str(tmp_path / "project")]).exit_code == 0

    def make(more: str) -> Project:
        path = tmp_path / "project" / "lading.yaml"
        path.write_text(path.read_text() + more)
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
