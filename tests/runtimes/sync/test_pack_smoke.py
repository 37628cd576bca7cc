"""A pack's own cases in a process of their own, through the real engine and the real search."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_manifests import PackCase, PackConfig, Passage, RefusedError, SimilarityCase, Task, dump
from fleet_manifests.knowledge import PACK_FILE
from pipelines.steps.pack_files import write
from runtimes.knowledge import encrypt_files
from runtimes.sync import Agent, load_active, pack_folder, smoke, sync
from runtimes.sync.smoke import PackTrial

pytestmark = pytest.mark.integration

FLOW = "sop_assistant"
NAME = "sop_assistant--edge-x86-vnni--branch"
WORDS = ("[PAD]", "[UNK]", "slot", "taken", "probe", "warm", "vest")
RETRIEVER = "sha256:" + "7" * 64
QUESTION = "slot taken"
TEXTS = {
    "wh-017/occupied": "slot taken taken",
    "cc-002/warm": "probe warm",
    "hs-001/vest": "vest",
}


def model() -> bytes:
    """A text's vector is the count of each word, divided by its length."""
    import onnx
    from onnx import TensorProto, helper

    width = len(WORDS)
    table = helper.make_tensor("table", TensorProto.FLOAT, [width, width], np.eye(width).ravel().tolist())
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("ReduceSum", ["vectors", "axes"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["embedding"], axis=1, p=2),
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", width])
    graph = helper.make_graph(nodes, "g", [ids], [out], [table, axes])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def tokenizer() -> bytes:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    made = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return made.to_str().encode()


def embed(text: str) -> NDArray[np.float32]:
    """What the model makes of a text."""
    found = np.zeros(len(WORDS), np.float32)
    for word in text.split():
        found[WORDS.index(word) if word in WORDS else 1] += 1
    return found / np.linalg.norm(found)


def bundle_files(repository: Any, *cases: SimilarityCase) -> dict[str, bytes]:
    """A retriever that really embeds."""
    config = {"task": Task.RETRIEVE, "dimension": len(WORDS), "similar": cases, "max_tokens": 8}
    made = repository.files("x", FLOW, **config)
    return {
        "bundle.json": made["bundle.json"],
        "model.onnx": model(),
        "tokenizer.json": tokenizer(),
        "data_card.json": b"{}",
    }


def pack_in(folder: Path, retriever: str, *cases: PackCase, recipient: Any = None, **config: Any) -> Path:
    """A pack that really can be searched."""
    folder.mkdir()
    passages = [
        Passage(id=name, document=name.split("/")[0].upper(), title="x", text=text) for name, text in TEXTS.items()
    ]
    digest = write(passages, np.array([embed(one.content) for one in passages]), folder)
    if recipient is not None:
        encrypt_files(folder, str(recipient))
    values = {"workflow": FLOW, "profile": "edge-x86-vnni", "site_class": "branch", "retriever": retriever}
    values |= {"library": digest, "passages": 3, "dimension": len(WORDS), "encrypted": recipient is not None}
    (folder / PACK_FILE).write_bytes(dump(PackConfig.model_validate({**values, "smoke": cases, **config})))
    return folder


GOOD = PackCase(question=QUESTION, passage="wh-017/occupied")
BAD = PackCase(question=QUESTION, passage="hs-001/vest")
ALIKE = SimilarityCase(text="slot", other="slot taken", cosine=0.707)
UNLIKE = SimilarityCase(text="slot", other="slot taken", cosine=0.1)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def bundle(tmp_path: Path, repository: Any) -> Path:
    return written(tmp_path / "bundle", bundle_files(repository, ALIKE))


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    return folder


def key_in(path: Path, identity: Any) -> Path:
    path.write_text(f"{identity}\n")
    return path


def test_a_pack_that_answers_as_it_says(tmp_path: Path, bundle: Path) -> None:
    trial = PackTrial(pack_in(tmp_path / "pack", RETRIEVER, GOOD), RETRIEVER)
    assert smoke.run_smoke(bundle, trial) == []


def test_a_pack_that_does_not_and_its_question_is_not_told(tmp_path: Path, bundle: Path) -> None:
    trial = PackTrial(pack_in(tmp_path / "pack", RETRIEVER, GOOD, BAD), RETRIEVER)
    assert smoke.run_smoke(bundle, trial) == [
        "smoke case 2 of the pack: hs-001/vest first expected, found wh-017/occupied"
    ]


def test_the_cases_of_bundle_and_pack_are_both_run(tmp_path: Path, repository: Any) -> None:
    bundle = written(tmp_path / "bundle", bundle_files(repository, UNLIKE))
    trial = PackTrial(pack_in(tmp_path / "pack", RETRIEVER, BAD), RETRIEVER)
    first, second = smoke.run_smoke(bundle, trial)
    assert first.startswith("smoke case 1: cosine 0.100")
    assert second.startswith("smoke case 1 of the pack: hs-001/vest")


def test_a_retriever_without_a_pack_is_tried_too(bundle: Path) -> None:
    assert smoke.run_smoke(bundle) == []


def test_a_pack_of_another_retriever(tmp_path: Path, bundle: Path) -> None:
    (failure,) = smoke.run_smoke(bundle, PackTrial(pack_in(tmp_path / "pack", "sha256:" + "8" * 64, GOOD), RETRIEVER))
    assert "retriever: the pack is for sha256:888" in failure


def test_a_pack_that_does_not_open(tmp_path: Path, bundle: Path) -> None:
    folder = pack_in(tmp_path / "pack", RETRIEVER, GOOD)
    (folder / "passages.jsonl").write_bytes(b"")
    assert len(smoke.run_smoke(bundle, PackTrial(folder, RETRIEVER))) == 1


def test_a_pack_beside_a_bundle_that_embeds_nothing(tmp_path: Path, repository: Any) -> None:
    files = bundle_files(repository)
    files["bundle.json"] = repository.files("x", FLOW, labels=("a", "b"))["bundle.json"]
    trial = PackTrial(pack_in(tmp_path / "pack", RETRIEVER, GOOD), RETRIEVER)
    (failure,) = smoke.run_smoke(written(tmp_path / "bundle", files), trial)
    assert "task: retrieve expected, found classify" in failure


def test_a_pack_is_opened_with_the_key_of_its_site_class(tmp_path: Path, bundle: Path, site_class_key: Any) -> None:
    right, wrong = site_class_key
    folder = pack_in(tmp_path / "pack", RETRIEVER, GOOD, recipient=right.to_public(), data_class="customer")
    assert smoke.run_smoke(bundle, PackTrial(folder, RETRIEVER, key_in(tmp_path / "right", right))) == []
    (failure,) = smoke.run_smoke(bundle, PackTrial(folder, RETRIEVER, key_in(tmp_path / "wrong", wrong)))
    assert "encrypted for another key than the one given; the key of site class 'branch' is needed" in failure
    assert failure.endswith("; enroll again with --pack-key-file")
    (failure,) = smoke.run_smoke(bundle, PackTrial(folder, RETRIEVER))
    assert "the key of site class 'branch' is missing here" in failure
    (failure,) = smoke.run_smoke(bundle, PackTrial(folder, RETRIEVER, key_in(tmp_path / "odd", "AGE-SECRET-KEY-1ODD")))
    assert "not an age secret key" in failure
    assert "1ODD" not in failure


def test_the_key_itself_is_never_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site_class_key: Any
) -> None:
    script = tmp_path / "python"
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps(sys.argv + list(os.environ.values())))\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    key = key_in(tmp_path / "key", site_class_key[0])
    seen = smoke.run_smoke(tmp_path / "bundle", PackTrial(tmp_path / "pack", RETRIEVER, key))
    assert seen[4:8] == [str(tmp_path / "bundle"), str(tmp_path / "pack"), RETRIEVER, str(key)]
    assert not any(str(site_class_key[0]) in word for word in seen)


def release(site: Any, folder: Path, version: int) -> None:
    """Publish a real pack, signed as it lies there."""
    config = PackConfig.model_validate_json((folder / PACK_FILE).read_bytes())
    site.repository.add_pack(files=files_of(folder), config=config)
    site.repository.release(version)


def test_a_site_with_the_real_engine_and_search(station: Any, tmp_path: Path, site_class_key: Any) -> None:
    """Signed, published, pulled, tried in a child process, searched: nothing stands in for anything."""
    from runtimes.engine import load_embedder
    from runtimes.knowledge import open_pack
    from runtimes.sync.active import bundle_folder

    right, wrong = site_class_key
    repository = station.repository
    repository.builds.clear()
    retriever = repository.add_retriever(files=bundle_files(repository, ALIKE)).digest
    agent = Agent(version="0.1.0", facts=lambda: station.host)
    now = repository.expires.replace(day=5, month=1)

    release(station, pack_in(tmp_path / "one", retriever, GOOD), 2)
    active = sync(station.state, now=now, agent=agent).active
    assert found(station, load_embedder, open_pack, bundle_folder) == "wh-017/occupied"

    release(station, pack_in(tmp_path / "two", retriever, GOOD, BAD), 3)
    with pytest.raises(RefusedError, match=f"with pack {NAME} .* smoke case 2 of the pack: hs-001/vest first expected"):
        sync(station.state, now=now, agent=agent)
    assert load_active(station.state) == active.model_copy(update={"seen": now})

    closed = {"data_class": "customer", "recipient": right.to_public()}
    release(station, pack_in(tmp_path / "three", retriever, GOOD, **closed), 4)
    assert "enroll again with --pack-key-file" in sync(station.state, now=now, agent=agent).active.skipped[FLOW]
    station.enroll(pack_key=key_in(tmp_path / "wrong", wrong))
    with pytest.raises(RefusedError, match="the key of site class 'branch' is needed; enroll again"):
        sync(station.state, now=now, agent=agent)
    station.enroll(pack_key=key_in(tmp_path / "right", right))
    assert sync(station.state, now=now, agent=agent).changed
    identity = (station.state / "pack-key").read_bytes()
    assert found(station, load_embedder, open_pack, bundle_folder, identity=identity) == "wh-017/occupied"


def found(site: Any, load_embedder: Any, open_pack: Any, bundle_folder: Any, **key: Any) -> str:
    """The first passage that the running version finds."""
    active = load_active(site.state)
    assert active is not None
    embedder = load_embedder(bundle_folder(site.state, active, FLOW))
    with open_pack(pack_folder(site.state, active, FLOW), retriever=active.workflows[FLOW].bundle, **key) as pack:
        hits = pack.search(embedder.embed(QUESTION).vector, QUESTION, top=1).hits
    return str(hits[0].passage.id)
