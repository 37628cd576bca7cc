"""Merging: same answers, right base, whole folder or none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fleet_manifests import IntegrityError, UsageError
from training.bases import ResolvedBase
from training.features import load_tokenizer, pad, tokenize
from training.merge import merge, require_parity
from training.model import load_merged
from training.retriever import RetrieverResult

pytestmark = pytest.mark.integration

TEXTS = ["pallet wet and torn", "carrier late again today for item 4711 said the customer", "price"]


@pytest.fixture(scope="module")
def merged(adapter: Path, base: ResolvedBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("merged") / "merged"
    merge(adapter, base, out)
    return out


def test_the_folder_holds_what_the_next_steps_need(merged: Path, adapter: Path) -> None:
    assert {path.name for path in merged.iterdir()} == {
        "adapter.bin",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "labels.json",
        "arguments.json",
    }
    for name in ("adapter.bin", "labels.json", "arguments.json"):
        assert (merged / name).read_bytes() == (adapter / name).read_bytes()
    config = json.loads((merged / "config.json").read_text())
    assert config["id2label"] == {"0": "damage", "1": "late", "2": "price"}
    tokenizer = json.loads((merged / "tokenizer.json").read_text())
    assert tokenizer["padding"] is None
    assert tokenizer["truncation"]["max_length"] == 32


def test_the_merged_model_answers_as_the_adapter_does(merged: Path, adapter: Path, base: ResolvedBase) -> None:
    import torch
    from peft import PeftModel

    from training.compact import round_base
    from training.model import build, load_encoder

    ids, mask = pad(tokenize(load_tokenizer(merged, 32), TEXTS), 0)
    plain = build(load_encoder(base.path), 3)
    round_base(plain)
    tuned = PeftModel.from_pretrained(plain, str(adapter)).eval()
    with torch.inference_mode():
        expected, found = tuned(input_ids=ids, attention_mask=mask), load_merged(merged)(ids, mask)
    assert found.shape == (3, 3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_padding_does_not_change_an_answer(merged: Path) -> None:
    import torch

    model = load_merged(merged)
    sequences = tokenize(load_tokenizer(merged, 32), TEXTS)
    with torch.inference_mode():
        together = model(*pad(sequences, 0))
        alone = torch.cat([model(*pad([sequence], 0)) for sequence in sequences])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_the_same_adapter_gives_the_same_bytes(merged: Path, adapter: Path, base: ResolvedBase, tmp_path: Path) -> None:
    merge(adapter, base, tmp_path / "again")
    for path in merged.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_an_adapter_of_another_base_is_refused(adapter: Path, other_base: ResolvedBase, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"was trained on tiny sha256:.*found base other sha256:"):
        merge(adapter, other_base, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["base.json", "labels.json", "arguments.json", "adapter_config.json"])
def test_an_adapter_without_a_file_is_refused(adapter: Path, base: ResolvedBase, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(adapter, tmp_path / "copy")
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=r"tune it again|build that step again"):
        merge(folder, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_model.safetensors", "cut"),
        ("labels.json", '["damage", "late"]'),
        ("labels.json", '{"damage": 0}'),
        ("arguments.json", '{"rank": "high"}'),
        ("base.json", '{"name": 1}'),
    ],
)
def test_an_altered_adapter_is_refused(
    adapter: Path, base: ResolvedBase, tmp_path: Path, name: str, content: str
) -> None:
    folder = shutil.copytree(adapter, tmp_path / "copy")
    (folder / name).write_text(content)
    with pytest.raises(IntegrityError):
        merge(folder, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["head.weight", "layer.1.output.dense.lora_A"])
def test_an_incomplete_adapter_is_refused(adapter: Path, base: ResolvedBase, tmp_path: Path, part: str) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(adapter, tmp_path / "copy")
    state = load_file(folder / "adapter_model.safetensors")
    save_file({k: v for k, v in state.items() if part not in k}, folder / "adapter_model.safetensors")
    with pytest.raises(IntegrityError, match=r"PEFT adapter for this base|weights are missing or unknown"):
        merge(folder, base, tmp_path / "out")


def test_content_is_never_overwritten(adapter: Path, base: ResolvedBase, merged: Path) -> None:
    with pytest.raises(UsageError, match="found content"):
        merge(adapter, base, merged)


@pytest.mark.parametrize("change", [0.1, float("nan"), float("inf")])
def test_logits_that_differ_are_refused(change: float) -> None:
    import torch

    expected = torch.tensor([[1.0, -4.0], [0.5, 0.25]])
    require_parity(expected, expected + 1e-5, "here")
    with pytest.raises(IntegrityError, match="here: merged outputs differ"):
        require_parity(expected, expected + torch.tensor([[0, 0], [0, change]]), "here")


def test_a_merged_folder_with_weights_of_another_shape_is_refused(merged: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(merged, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "a", "1": "b"}
    (folder / "config.json").write_text(json.dumps(config | {"num_labels": 2}))
    with pytest.raises(IntegrityError, match="expected a merged model folder"):
        load_merged(folder)


def test_the_merged_model_exports_to_onnx(merged: Path, tmp_path: Path) -> None:
    """Any encoder exporter can take the module: two inputs, one output, both axes dynamic."""
    import numpy as np
    import onnxruntime
    import torch

    model = load_merged(merged)
    sequences = tokenize(load_tokenizer(merged, 32), TEXTS)
    ids, mask = pad(sequences, 0)
    names, axes = ["input_ids", "attention_mask"], {0: "batch", 1: "sequence"}
    with torch.inference_mode():
        torch.onnx.export(
            model,
            (ids, mask),
            str(tmp_path / "model.onnx"),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=dict.fromkeys(names, axes),
            opset_version=18,
            dynamo=False,
        )
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
        for batch in (sequences, sequences[:1]):
            ids, mask = pad(batch, 0)
            found = session.run(["logits"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
            np.testing.assert_allclose(found, model(ids, mask).numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def merged_retriever(
    retriever: tuple[RetrieverResult, Path], base: ResolvedBase, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("merged") / "retriever"
    merge(retriever[1], base, out)
    return out


def test_a_merged_retriever_has_no_labels(merged_retriever: Path, retriever: tuple[RetrieverResult, Path]) -> None:
    names = {"adapter.bin", "config.json", "model.safetensors", "tokenizer.json", "arguments.json"}
    assert {path.name for path in merged_retriever.iterdir()} == names
    assert (merged_retriever / "arguments.json").read_bytes() == (retriever[1] / "arguments.json").read_bytes()
    config = json.loads((merged_retriever / "config.json").read_text())
    assert config["architectures"] == ["MeanPoolEmbedder"]


def test_a_merged_retriever_gives_vectors_of_length_one_as_the_adapter_does(
    merged_retriever: Path, retriever: tuple[RetrieverResult, Path], base: ResolvedBase
) -> None:
    import torch
    from peft import PeftModel

    from training.compact import round_base
    from training.model import build_embedder, load_encoder, mean_pool

    ids, mask = pad(tokenize(load_tokenizer(merged_retriever, 32), TEXTS), 0)
    plain = build_embedder(load_encoder(base.path))
    round_base(plain)
    tuned = PeftModel.from_pretrained(plain, str(retriever[1])).eval()
    model = load_merged(merged_retriever)
    with torch.inference_mode():
        expected, found = tuned(input_ids=ids, attention_mask=mask), model(ids, mask)
        mean = mean_pool(model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
        frozen = build_embedder(load_encoder(base.path))(ids, mask)
    assert found.shape == (3, 32)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found, torch.nn.functional.normalize(mean, dim=1))
    assert (found - frozen).abs().max() > 0.01


def test_padding_does_not_move_a_vector(merged_retriever: Path) -> None:
    import torch

    model = load_merged(merged_retriever)
    sequences = tokenize(load_tokenizer(merged_retriever, 32), TEXTS)
    with torch.inference_mode():
        together = model(*pad(sequences, 0))
        alone = torch.cat([model(*pad([sequence], 0)) for sequence in sequences])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_a_folder_that_names_no_task_is_a_classifiers(merged: Path, merged_retriever: Path, tmp_path: Path) -> None:
    assert "task" not in json.loads((merged / "arguments.json").read_text())
    assert load_merged(merged).head.out_features == 3
    folder = shutil.copytree(merged_retriever, tmp_path / "copy")
    shutil.copyfile(merged / "arguments.json", folder / "arguments.json")
    with pytest.raises(IntegrityError, match="expected a merged model folder"):
        load_merged(folder)


def test_an_adapter_that_says_it_is_of_another_task_is_refused(
    adapter: Path, retriever: tuple[RetrieverResult, Path], base: ResolvedBase, tmp_path: Path
) -> None:
    folder = shutil.copytree(retriever[1], tmp_path / "copy")
    shutil.copyfile(adapter / "arguments.json", folder / "arguments.json")
    with pytest.raises(IntegrityError, match=r"labels\.json: expected a JSON file of an earlier step"):
        merge(folder, base, tmp_path / "out")
    folder = shutil.copytree(adapter, tmp_path / "other")
    shutil.copyfile(retriever[1] / "arguments.json", folder / "arguments.json")
    with pytest.raises(IntegrityError, match="PEFT adapter for this base|weights are missing or unknown"):
        merge(folder, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
