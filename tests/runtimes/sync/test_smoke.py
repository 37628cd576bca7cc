"""A bundle's own cases in a process of their own, through the real engine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import RefusedError, SmokeCase, dump
from fleet_manifests.bundle import BundleConfig
from runtimes.sync import smoke

pytestmark = pytest.mark.integration

WORDS = {"[PAD]": 0, "[UNK]": 1, "late": 2, "broken": 3}


def model() -> bytes:
    """Two classes: the highest token id of the text against a constant."""
    import onnx
    from onnx import TensorProto, helper

    def ids(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])

    table = helper.make_tensor("table", TensorProto.FLOAT, [4, 2], [0, 0, 0, 0, 4, 0, 0, 4])
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
        helper.make_node("Gather", ["table", "kept"], ["scores"]),
        helper.make_node("ReduceSum", ["scores", "axes"], ["logits"], keepdims=0),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "g", [ids("input_ids"), ids("attention_mask")], [out], [table, axes])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def tokenizer() -> bytes:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    made = Tokenizer(WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return made.to_str().encode()


def files(repository: Any, *cases: SmokeCase) -> dict[str, bytes]:
    """A bundle that really answers."""
    config = {"labels": ("delay", "damage"), "smoke": cases, "max_tokens": 8}
    found = repository.files("x", **config)
    return {
        "bundle.json": found["bundle.json"],
        "model.onnx": model(),
        "tokenizer.json": tokenizer(),
        "data_card.json": b"{}",
    }


GOOD = SmokeCase(text="late", label="delay", confidence=0.982)
BAD = SmokeCase(text="late", label="damage", confidence=0.982)


def write(folder: Path, made: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, raw in made.items():
        (folder / name).write_bytes(raw)
    return folder


def test_a_bundle_that_answers_as_it_says(tmp_path: Path, repository: Any) -> None:
    assert smoke.run_smoke(write(tmp_path / "b", files(repository, GOOD))) == []


def test_a_bundle_that_does_not(tmp_path: Path, repository: Any) -> None:
    (failure,) = smoke.run_smoke(write(tmp_path / "b", files(repository, GOOD, BAD)))
    assert "damage" in failure


def test_a_bundle_that_does_not_load(tmp_path: Path, repository: Any) -> None:
    made = files(repository, GOOD) | {"model.onnx": b"no graph"}
    assert len(smoke.run_smoke(write(tmp_path / "b", made))) == 1


def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    """An interpreter whose engine does what `body` says."""
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGILL)", "the engine ended with SIGILL: it said nothing"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the engine ended with SIGKILL: it said nothing"),
        ("sys.exit('no memory left')", "the engine ended with exit code 1: no memory left"),
        ("time.sleep(60)", "no result within 0 s"),
    ],
)
def test_an_engine_that_ends_or_hangs_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    engine(monkeypatch, tmp_path, body)
    limit = 0.2 if "sleep" in body else 30.0
    assert smoke.run_smoke(tmp_path, limit=limit) == [said]


def test_a_site_with_the_real_engine(station: Any) -> None:
    """Signed, published, pulled, tried in a child process, served: nothing stands in for anything."""
    from runtimes.engine import load
    from runtimes.sync import Agent, bundle_folder, load_active, sync

    repository = station.repository
    repository.add_bundle(files=files(repository, GOOD))
    repository.release(2)
    agent = Agent(version="0.1.0", facts=lambda: station.host)
    now = repository.expires.replace(day=5, month=1)
    active = sync(station.state, now=now, agent=agent).active
    answer = load(bundle_folder(station.state, load_active(station.state), "exception_triage")).classify("broken")
    assert (answer.label, active.manifest_version) == ("damage", 2)

    repository.add_bundle(files=files(repository, GOOD, BAD))
    repository.release(3)
    with pytest.raises(RefusedError, match="fails on this machine: smoke case 2"):
        sync(station.state, now=now, agent=agent)
    assert load_active(station.state) == active.model_copy(update={"seen": now})


def test_the_config_in_these_tests_is_a_real_one(repository: Any) -> None:
    made = files(repository, GOOD)["bundle.json"]
    assert dump(BundleConfig.model_validate_json(made)) == made
