"""Two release managers, one after the other, and a site that follows: promote, approve, halt, revoke, resume."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
WORKFLOW = "exception_triage"


def test_a_day_of_two_release_managers_and_a_site(copy: Any) -> None:
    def release(*words: str) -> Any:
        return copy("lading", "release", *words)

    def sync() -> Any:
        return copy("lading-site", "sync", "--json").json()

    root, tree = str(copy.project / "public/metadata/1.root.json"), str(copy.project / "public")
    key = copy.project.parent / "warehouse.key"
    assert copy("lading", "pack-key", "warehouse", "--out", str(key)).code == 0
    enrolled = copy(
        "lading-site", "enroll", "--root", root, "--from", tree, "--site", "dc-north", "--pack-key-file", str(key)
    )
    assert enrolled.code == 0, enrolled.err
    before = sync()["manifest_version"]

    settings = copy.project / f"workflows/{WORKFLOW}.yaml"
    settings.write_text(settings.read_text().replace("guardrails: {", "guardrails: {minimum_confidence: 0.51, "))
    done = release("promote", "stable", "--as", "alice", "--json").json()
    assert done["published"] is None
    pending = done["pending"]
    assert (pending["signed"], pending["waiting"], pending["missing"]) == (["alice"], ["bob", "carol"], 1)
    assert done["changes"] == [
        {
            "section": "workflow",
            "name": WORKFLOW,
            "kind": "changed",
            "said": ["guardrails.minimum_confidence: 0.0 then, 0.51 now"],
        }
    ]
    assert sync()["changed"] is False

    twice = release("approve", "stable", "--as", "alice", "--yes")
    assert (twice.code, "signed this version already" in twice.err) == (1, True)
    other = release("approve", "stable", "--as", "bob", "--yes", "--digest", "sha256:" + "0" * 64)
    assert (other.code, "is pending" in other.err) == (1, True)
    assert release("approve", "stable", "--as", "bob", "--yes", "--digest", pending["digest"]).code == 0
    assert sync()["manifest_version"] == pending["version"] > before
    assert release("status", "--json").json()["pending"] is None

    assert release("halt", "stable", "--as", "carol", "--reason", "wrong labels").code == 0
    back = release(
        "rollback", "stable", "--to", "1", "--as", "alice", "--as", "bob", "--reason", "to be safe", "--json"
    )
    assert back.json()["published"]["version"] == pending["version"] + 1
    found = sync()
    assert (found["changed"], found["manifest_version"]) == (False, pending["version"])
    assert "stable is halted" in found["halted"]

    bundle = found["workflows"][WORKFLOW]
    assert release("revoke", bundle[7:19], "--as", "alice", "--reason", "trained on wrong labels").code == 0
    found = sync()
    assert WORKFLOW not in found["workflows"]
    assert found["skipped"][WORKFLOW] == "its bundle was revoked: trained on wrong labels"
    asked = copy("lading-site", "ask", WORKFLOW, "--text", "short 3 cs", "--json").json()
    assert (asked["status"], asked["reason"].split(";")[0]) == (
        "deferred",
        "its bundle was revoked: trained on wrong labels",
    )

    told = release("log", "--json").json()
    assert [(one["actor"], one["action"]) for one in told if one["channel"] == "stable"] == [
        ("alice, bob", "publish"),
        ("alice", "propose"),
        ("bob", "approve"),
        ("alice, bob", "publish"),
        ("carol", "halt"),
        ("alice, bob", "publish"),
        ("alice", "propose"),
    ]
    verified = release("log", "--verify")
    assert (verified.code, "whole and in order" in verified.out) == (0, True)
    path = copy.project / "release-log.jsonl"
    path.write_text(path.read_text().replace("carol", "dave"))
    assert release("log", "--verify").code == 1
