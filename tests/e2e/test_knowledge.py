"""A library, as its users run it: build, publish, ask on the floor, change a procedure, and only the pack is new."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from evals.questions import read_unanswered
from fleet_manifests import KnowledgeReport, Verdict
from fleet_manifests.evidence import now
from fleet_manifests.receipt import Receipt
from pipelines.project.load import load_project
from pipelines.steps import knowledge
from pipelines.steps.evidence import read_knowledge
from pipelines.steps.received import Judged
from runtimes.engine import load_embedder

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
WORKFLOW = "sop_assistant"
SITE, PROFILE, SITE_CLASS = "dc-north", "edge-this-machine", "warehouse"
NAME = f"{WORKFLOW}--{PROFILE}--{SITE_CLASS}"


def entries(line: Any, step: str) -> set[str]:
    """What a project's store holds of a step."""
    return {path.parent.name for path in (line.project / ".lading" / "store" / step).glob("*/entry.json")}


def site(line: Any) -> None:
    """Enroll a site with the key of its class, and sync it."""
    assert line("lading", "release", "publish").code == 0
    key = line.project.parent / "warehouse.key"
    assert line("lading", "pack-key", SITE_CLASS, "--out", str(key)).code == 0
    assert key.stat().st_mode & 0o777 == 0o600
    root, public = str(line.project / "public/metadata/1.root.json"), str(line.project / "public")
    words = ["enroll", "--root", root, "--from", public, "--site", SITE, "--pack-key-file", str(key)]
    for step in (words, ["sync"]):
        done = line("lading-site", *step)
        assert done.code == 0, done.err


def questions(line: Any) -> list[str]:
    """Test questions of the workflow."""
    path = line.project / "questions" / f"{WORKFLOW}_test.jsonl"
    return [json.loads(row)["text"] for row in path.read_text().splitlines()]


def answered(line: Any) -> tuple[str, dict[str, Any]]:
    """The first question that the site answers, and the answer."""
    for text in questions(line):
        said = line("lading-site", "ask", WORKFLOW, "--text", text, "--json").json()
        if said["status"] == "answered":
            return text, said
    raise AssertionError("the site answers none of its questions")


def test_packs_are_built_for_each_class_of_sites(built: Any) -> None:
    said = json.loads((built.project.parent / "build.json").read_text())
    (edge,) = [one for one in said if (one["workflow"], one["profile"]) == (WORKFLOW, PROFILE)]
    assert edge["verdict"] == "pass", edge["reasons"]
    packs = {one["site_class"]: one for one in edge["packs"]}
    assert set(packs) == {"branch", "warehouse"}
    for one in packs.values():
        assert one["verdict"] == "pass", one["reasons"]
        assert {"ndcg_at_10", "recall_at_5", "mrr", "coverage"} <= {metric["name"] for metric in one["metrics"]}
        assert "<html" in Path(one["paths"]["knowledge_report"]).read_text()
    assert packs["warehouse"]["data_class"] == "customer"
    closed = [path for path in Path(packs["warehouse"]["paths"]["pack"]).rglob("*") if path.is_file()]
    closed = [path for path in closed if path.name != "pack.json"]
    assert closed
    assert all(path.read_bytes().startswith(b"age-encryption.org/") for path in closed)


def test_a_site_answers_word_for_word_and_says_from_where(copy: Any) -> None:
    site(copy)
    text, said = answered(copy)
    (first, *_) = said["passages"]
    assert first["document"] and first["revision"] and first["section"]
    snapshot = [json.loads(row) for row in (copy.project / "snapshots" / f"{WORKFLOW}.jsonl").read_text().splitlines()]
    assert first["text"] in {row["text"] for row in snapshot}
    shown = copy("lading-site", "ask", WORKFLOW, "--text", text).out
    assert first["document"] in shown
    assert first["text"].splitlines()[0] in shown
    unanswered = copy(
        "lading-site", "ask", WORKFLOW, "--text", "who won the football match last night", "--json"
    ).json()
    assert unanswered["status"] == "deferred"
    assert unanswered["passages"] == []


def test_a_changed_procedure_makes_a_pack_its_evidence_and_a_manifest(copy: Any) -> None:
    site(copy)
    before = {step: entries(copy, step) for step in ("onnx_model", "bundle", "corpus", "adapter", "accuracy_report")}
    packs, reports = entries(copy, "knowledge_pack"), entries(copy, "knowledge_report")
    vectors = _vectors(copy)
    (path,) = (copy.project / "sops").glob("wh-001*.md")
    changed = path.read_text().replace("1. ", "1. Put on the yellow vest. ", 1)
    assert changed != path.read_text()
    path.write_text(changed)

    done = copy("lading", "build", "--json")
    assert done.code == 0, done.err
    assert {step: entries(copy, step) for step in before} == before, "no model, no bundle, no corpus is made again"
    assert entries(copy, "knowledge_pack") > packs
    assert entries(copy, "knowledge_report") > reports
    new = {kind: count - vectors[kind] for kind, count in _vectors(copy).items()}
    assert set(new.values()) == {1}, "one changed passage is embedded, by the retriever and by its base"

    old = copy("lading-site", "status", "--json").json()["active"]
    for words in (
        ["release", "promote", "stable", "--as", "alice", "--as", "bob"],
        ["release", "promote", "canary"],
        ["release", "publish"],
    ):
        assert copy("lading", *words).code == 0
    synced = copy("lading-site", "sync", "--json").json()
    now = copy("lading-site", "status", "--json").json()["active"]
    assert now["manifest_version"] > old["manifest_version"]
    assert synced["fetched_bytes"] < 5_000_000, "the model does not travel again"


def _vectors(line: Any) -> dict[str, int]:
    """Vectors that the factory remembers, by file."""
    found = {}
    for path in (line.project / ".lading" / "vectors").glob("*.db"):
        with sqlite3.connect(path) as base:
            found[path.name] = base.execute("SELECT count(*) FROM vectors").fetchone()[0]
    return found


def test_a_pack_is_judged_by_what_a_device_made_of_the_questions(copy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the device embeds as this machine does, the figures are the factory's; where it does not, they say so."""
    monkeypatch.setenv("LADING_KEYS", copy.environment["LADING_KEYS"])
    project = load_project(copy.project)
    own = read_knowledge(project.store.latest("knowledge_report", NAME))
    bundle = project.store.latest("bundle", f"{WORKFLOW}--{PROFILE}").path / f"{WORKFLOW}--{PROFILE}"
    corpus = project.store.latest("corpus", WORKFLOW).path
    embedder = load_embedder(bundle)
    outputs = {
        split: embedder.embeddings([one.text for one in read_unanswered(corpus, split)])
        for split in ("test", "oos_test")
    }
    receipt = Receipt(
        id="0" * 32, site=SITE, workflow=WORKFLOW, profile=PROFILE, bundle=own.retriever, cases="sha256:" + "0" * 64,
        manifest=1, taken=now(), machine=own.machine.model_copy(update={"kernel": "of a device"}),
    )  # fmt: skip

    def judged_by(given: dict[str, Any], digest: str) -> KnowledgeReport:
        seen = Judged(receipt, digest, {}, {}, given)
        monkeypatch.setattr(knowledge, "received", lambda *_: [seen])
        monkeypatch.setattr(knowledge, "counting", lambda mine, others: 0)
        return read_knowledge(knowledge.evidence_of(project, WORKFLOW, PROFILE, SITE_CLASS))

    found = judged_by(outputs, "sha256:" + "1" * 64)
    assert (found.metrics, found.gates, found.bundle) == (own.metrics, own.gates, own.bundle)
    assert (found.site, found.receipt, found.machine.kernel) == (SITE, "sha256:" + "1" * 64, "of a device")
    assert own.receipt is None
    turned = {split: vectors[:, ::-1] for split, vectors in outputs.items()}
    worse = judged_by(turned, "sha256:" + "2" * 64)
    assert worse.metric("ndcg_at_10").value < own.metric("ndcg_at_10").value
    assert worse.verdict is Verdict.FAIL
    assert read_knowledge(project.store.latest("knowledge_report", NAME)) == own
