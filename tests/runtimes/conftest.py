"""A state folder as sync leaves it, with a bundle so small that its answers can be computed by hand.

The model adds up one row of three scores per word: `short`, `damage` and `late` speak for the
label of that name, every other word for none. One such word gives e^4 / (e^4 + 2) = 0.965,
none gives 1/3, two different ones 0.491 each.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import (
    BaseRef,
    BundleConfig,
    Guardrails,
    IsaClass,
    PackConfig,
    Passage,
    Relevance,
    Task,
    Where,
    digest_of,
    dump,
)
from fleet_manifests.bundle import BUNDLE_FILE, bundle_name
from fleet_manifests.knowledge import PACK_FILE, pack_name
from runtimes.sync.active import ACTIVE_FILE, CURRENT, VERSIONS, Active, ActiveWorkflow
from runtimes.sync.site import SITE_FILE, Enrolment

LABELS = ("damage", "late", "short")
WORKFLOW = "exception_triage"
ANY = "sha256:" + "0" * 64


class Tree:
    """A state folder, and what sync would do to it."""

    def __init__(self, state: Path, kind: str, bundle: Path) -> None:
        self.state, self.kind, self._bundle = state, kind, bundle
        self.profile = f"{kind}-test"
        state.mkdir(parents=True)
        enrolment = Enrolment(
            site="store-017", kind=kind, source="https://fleet.example", root=ANY, enrolled=datetime.now(UTC)
        )
        (state / SITE_FILE).write_bytes(dump(enrolment))

    def activate(
        self,
        version: int = 1,
        *,
        workflows: dict[str, dict[str, Any]] | None = None,
        labels: tuple[str, ...] = LABELS,
        **changes: Any,
    ) -> Active:
        """Put a version in place and switch to it, as sync does."""
        entries = {
            name: self._entry(name, version, labels, edited) for name, edited in (workflows or {WORKFLOW: {}}).items()
        }
        folder = f"stable-{version}"
        now = datetime.now(UTC)
        fields = {
            "version": folder, "site": "store-017", "site_class": "store", "kind": self.kind, "channel": "stable",
            "manifest_version": version, "manifest_digest": ANY, "assignment_version": 1, "profile": self.profile,
            "activated": now, "seen": now, "max_offline_hours": 24, "workflows": entries,
        }  # fmt: skip
        active = Active.model_validate(fields | changes)
        self.write(active)
        link = self.state / (CURRENT + ".new")
        link.symlink_to(Path(VERSIONS, folder))
        os.replace(link, self.state / CURRENT)
        return active

    def add_library(self, active: Active, passages: tuple[Passage, ...], **changes: Any) -> Active:
        """Put the workflow `sop` into an active version: a retriever and a pack of passages, as sync does."""
        from pipelines.steps.pack_files import write
        from runtimes.knowledge import encrypt_files

        where, name = self.state / VERSIONS / active.version, bundle_name("sop", self.profile)
        folder = where / "bundles" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            write_retriever(folder, self.profile)
        retriever = digest_of((folder / BUNDLE_FILE).read_bytes())
        recipient = changes.pop("recipient", None)
        named = pack_name("sop", self.profile, active.site_class)
        pack = where / "packs" / named
        shutil.rmtree(pack, ignore_errors=True)
        pack.mkdir(parents=True)
        library = write(passages, vectors(folder, [one.content for one in passages]), pack)
        config = PackConfig(
            workflow="sop", profile=self.profile, site_class=active.site_class, retriever=retriever, library=library,
            passages=len(passages), dimension=len(WORDS), encrypted=recipient is not None,
            relevance=Relevance(intercept=-8.0, weights={"cosine": 10.0}), defer_threshold=0.5,
        )  # fmt: skip
        if recipient is not None:
            encrypt_files(pack, recipient)
        (pack / PACK_FILE).write_bytes(dump(config))
        fields = {
            "task": "retrieve", "title": "SOP assistant", "owner": "ops", "where": Where.HYBRID, "defer_threshold": 0.0,
            "bundle": retriever, "name": name, "blobs": (),
            "pack": {"digest": digest_of(dump(config)), "name": named, "data_class": "internal", "blobs": ()},
        }  # fmt: skip
        entry = ActiveWorkflow.model_validate(fields | changes)
        active = active.model_copy(update={"workflows": {**active.workflows, "sop": entry}})
        self.write(active)
        return active

    def write(self, active: Active) -> None:
        """Replace the record of a version, as sync does when it saw the repository or a revocation."""
        path = self.state / VERSIONS / active.version / ACTIVE_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(dump(active))
        os.replace(part, path)

    def folder(self, active: Active, workflow: str = WORKFLOW) -> Path:
        return self.state / VERSIONS / active.version / active.workflows[workflow].folder

    def _entry(self, workflow: str, version: int, labels: tuple[str, ...], edited: dict[str, Any]) -> ActiveWorkflow:
        name = bundle_name(workflow, self.profile)
        folder = self.state / VERSIONS / f"stable-{version}" / "bundles" / name
        folder.mkdir(parents=True)
        for file in self._bundle.iterdir():
            os.link(file, folder / file.name)
        config = dump(
            BundleConfig(
                workflow=workflow, task=Task.CLASSIFY, profile=self.profile, isa=IsaClass.X86_64, recipe="fp32",
                labels=labels, max_characters=5000, data_card=ANY,
                base=BaseRef(name="tiny", revision="1", digest=ANY, licence="Apache-2.0"),
            )
        )  # fmt: skip
        (folder / BUNDLE_FILE).write_bytes(config)
        fields = {
            "task": "classify", "title": "Exception triage", "owner": "ops", "where": Where.HYBRID,
            "defer_threshold": 0.8, "guardrails": Guardrails(max_characters=1000), "bundle": digest_of(config),
            "name": name, "blobs": (),
        }  # fmt: skip
        return ActiveWorkflow.model_validate(fields | edited)


WORDS = ("spill", "oil", "pallet", "slot", "charge", "battery", "lamp", "door")


def write_retriever(folder: Path, profile: str) -> None:
    """A retriever whose vector has one place for each of `WORDS`, and a little everywhere."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    rows = np.full((len(WORDS) + 2, len(WORDS)), 0.01, np.float32)
    rows[2:] += np.eye(len(WORDS), dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["rows", "input_ids"], ["gathered"]),
        helper.make_node("ReduceSum", ["gathered", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceL2", ["sum", "tokens"], ["length"], keepdims=1),
        helper.make_node("Div", ["sum", "length"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", len(WORDS)])],
        [numpy_helper.from_array(rows, "rows"), numpy_helper.from_array(np.array([1], np.int64), "tokens")],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(made, folder / "model.onnx")
    tokenizer = Tokenizer(
        models.WordLevel({"[PAD]": 0, "[UNK]": 1} | {word: 2 + n for n, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = BundleConfig(
        workflow="sop", task=Task.RETRIEVE, profile=profile, isa=IsaClass.X86_64, recipe="fp32", dimension=len(WORDS),
        max_characters=5000, data_card=ANY, base=BaseRef(name="tiny", revision="1", digest=ANY, licence="Apache-2.0"),
    )  # fmt: skip
    (folder / BUNDLE_FILE).write_bytes(dump(config))


def vectors(folder: Path, texts: list[str]) -> Any:
    """The embeddings of texts by the retriever in a folder."""
    from runtimes.engine import load_embedder

    return load_embedder(folder).embeddings(texts)


@pytest.fixture
def make_tree(tmp_path: Path, tiny_bundle: Path) -> Callable[[str], Tree]:
    """Makes an enrolled state folder of a kind, `edge` or `central`, with nothing active."""
    return lambda kind: Tree(tmp_path / kind, kind, tiny_bundle)


@pytest.fixture
def tree(make_tree: Callable[[str], Tree]) -> Tree:
    """The state folder of a site, enrolled, nothing active."""
    return make_tree("edge")


@pytest.fixture
def central_tree(make_tree: Callable[[str], Tree]) -> Tree:
    """The state folder of a centre whose bundle answers from confidence 0.4 on."""
    made = make_tree("central")
    made.activate(7, workflows={WORKFLOW: {"defer_threshold": 0.4}})
    return made


@pytest.fixture
def centre(central_tree: Tree) -> Iterator[Any]:
    """The core of a centre."""
    from runtimes.central.service import Centre

    made = Centre(central_tree.state)
    yield made
    made.close()
