"""Signing a bundle: outside the folder, strictly, and only once."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IntegrityError, UsageError
from fleet_manifests.signature import verify_bundle
from release import Keys, assemble, sign_bundle

pytestmark = pytest.mark.unit
NAME = "triage--edge-x86-vnni"


@pytest.fixture
def out(builder: Any, tmp_path: Path) -> Path:
    assemble(builder.files(), builder.config(), tmp_path / "out")
    return tmp_path / "out"


def test_the_signature_lies_beside_the_folder_and_holds(out: Path, keys: Keys) -> None:
    signature = sign_bundle(out, keys["builder"])
    assert signature == out / "model.sig"
    verify_bundle(out / NAME, signature, keys["builder"].public_pem, name=NAME)
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "manifest.json", "model.sig", NAME]


def test_the_name_is_bound(out: Path, keys: Keys) -> None:
    payload = json.loads(sign_bundle(out, keys["builder"]).read_text())["dsseEnvelope"]["payload"]
    assert json.loads(base64.b64decode(payload))["subject"][0]["name"] == NAME


def test_nothing_is_ignored(out: Path, keys: Keys) -> None:
    payload = json.loads(sign_bundle(out, keys["builder"]).read_text())["dsseEnvelope"]["payload"]
    assert "ignore_paths" not in base64.b64decode(payload).decode()


def test_a_signature_that_holds_is_kept(out: Path, keys: Keys) -> None:
    before = sign_bundle(out, keys["builder"]).read_bytes()
    assert sign_bundle(out, keys["builder"]).read_bytes() == before


def test_a_signature_by_another_key_is_replaced(out: Path, keys: Keys) -> None:
    keys.ensure(["other"])
    before = sign_bundle(out, keys["other"]).read_bytes()
    assert sign_bundle(out, keys["builder"]).read_bytes() != before
    verify_bundle(out / NAME, out / "model.sig", keys["builder"].public_pem, name=NAME)


def test_a_bundle_that_was_touched_is_not_signed(out: Path, keys: Keys) -> None:
    (out / NAME / ".git").mkdir()
    (out / NAME / ".git" / "evil.py").write_text("print('hello')")
    with pytest.raises(IntegrityError, match=r"\.git/evil\.py is extra"):
        sign_bundle(out, keys["builder"])
    assert not (out / "model.sig").exists()


def test_a_missing_key_is_the_users_turn(out: Path, keys: Keys) -> None:
    with pytest.raises(UsageError, match="restore the key"):
        sign_bundle(out, keys["nobody"])
    assert not (out / "model.sig").exists()


def test_a_signature_that_does_not_verify_is_not_kept(out: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise IntegrityError("does not verify")

    monkeypatch.setattr("release.signing.verify_bundle", refuse)
    with pytest.raises(IntegrityError, match="does not verify"):
        sign_bundle(out, keys["builder"])
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "manifest.json", NAME]
