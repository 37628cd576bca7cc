"""A lexical head in the graph: the sum that it should give, no recipe touched by it, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from fleet_manifests import BaseRef, BundleConfig, DataError, IsaClass, RefusedError, Task, WordEmbeddings
from quantize import RECIPES, apply, export_onnx
from quantize.build import prepare
from quantize.lexical_head import LEXICAL_HEAD, Lexical, attach, detach, read_head
from quantize.split import split_weights, split_word_embeddings
from training.lexical_head import LexicalHead

pytestmark = pytest.mark.integration

PIECES = tuple(sorted([*((id_,) for id_ in range(4, 16)), (4, 5), (5, 4), (7, 8), (9, 9)]))
ROWS = (
    [2, 4, 5, 4, 4, 3], [2, 3], [2, 39, 38, 3], [7], [2, 7, 8, 9, 9, 9, 1, 3], [2, *range(4, 19), 3], [2, *[5] * 40, 3],
)  # fmt: skip
"""Words and pairs, no text, words that are in no feature, one word, an unknown one, all words, one word many times."""


@pytest.fixture(scope="module")
def head() -> LexicalHead:
    draw = np.random.default_rng(3)
    numbers = draw.normal(size=(len(PIECES), 3)).astype(np.float16), draw.normal(size=3).astype(np.float32)
    return LexicalHead(PIECES, draw.uniform(1, 5, len(PIECES)).astype(np.float32), *numbers, k=2.0, strength=0.3)


@pytest.fixture(scope="module")
def file(head: LexicalHead, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("head") / "head.npz"
    head.save(path)
    return path


@pytest.fixture(scope="module")
def together(merged: Path, tiny, texts, head: LexicalHead, file: Path, tmp_path_factory) -> Path:
    """The tiny model with the head, exported once."""
    out = tmp_path_factory.mktemp("onnx") / "together"
    return export_onnx(merged, out, load=tiny(), texts=texts, lexical=Lexical(file, head.scores)).folder


@pytest.fixture(scope="module")
def samples(merged: Path, texts: tuple[str, ...]) -> list[list[int]]:
    from quantize.folder import tokenize

    return tokenize(merged / "tokenizer.json", texts, 64)


def logits(folder: Path, row: list[int], padding: int = 0, **options: object) -> np.ndarray:
    session = ort.InferenceSession(str(folder / "model.onnx"), **options)
    ids = np.array([[*row, *[7] * padding]], np.int64)
    mask = np.array([[1] * len(row) + [0] * padding], np.int64)
    inputs = {"input_ids": ids, "attention_mask": mask}
    found: np.ndarray = session.run(["logits"], {one.name: inputs[one.name] for one in session.get_inputs()})[0][0]
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{len(row)} ids")
def test_the_graph_gives_the_sum(exported: Path, together: Path, head: LexicalHead, row: list[int]) -> None:
    expected = logits(exported, row) + head.scores([row])[0]
    np.testing.assert_allclose(logits(together, row), expected, atol=2e-5)
    np.testing.assert_allclose(logits(together, row, padding=5), expected, atol=2e-5)


def test_the_export_proves_it_and_keeps_the_head(together: Path, exported: Path, file: Path) -> None:
    parity = json.loads((together / "parity.json").read_text())
    assert 0 < parity["max_difference_lexical"] <= parity["tolerance"]
    assert "max_difference_lexical" not in json.loads((exported / "parity.json").read_text())
    assert (together / LEXICAL_HEAD).read_bytes() == file.read_bytes()
    onnx.checker.check_model(str(together / "model.onnx"), full_check=True)


def test_a_head_that_gives_something_else_is_refused(
    merged: Path, tiny, texts, head: LexicalHead, file: Path, tmp_path: Path
) -> None:
    other = dataclasses.replace(head, weight=-head.weight)
    with pytest.raises(RefusedError, match="the logits with a lexical head differ from the sum by"):
        export_onnx(merged, tmp_path / "out", load=tiny(), texts=texts, lexical=Lexical(file, other.scores))
    assert list(tmp_path.iterdir()) == []


def test_more_than_one_text_is_refused(together: Path) -> None:
    session = ort.InferenceSession(str(together / "model.onnx"))
    ids = np.ones((2, 3), np.int64)
    with pytest.raises(ort.capi.onnxruntime_pybind11_state.InvalidArgument, match="Expected: 1"):
        session.run(None, {"input_ids": ids, "attention_mask": ids})


def test_taking_the_head_out_leaves_what_was_there(exported: Path, together: Path, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((together / "model.onnx").read_bytes())
    detach(path)
    bare = onnx.load(str(exported / "model.onnx")).SerializeToString(deterministic=True)
    assert path.read_bytes() == bare
    attach(path, read_head(file))
    assert path.read_bytes() == (together / "model.onnx").read_bytes()


@pytest.mark.parametrize("name", ["fp32", "fp32-16bit-embeddings", "int8", "int8-lean", "int8-trimmed", "int8-mixed"])
def test_a_recipe_does_to_the_transformer_what_it_does_without(
    exported: Path, together: Path, head: LexicalHead, samples: list[list[int]], tmp_path: Path, name: str
) -> None:
    plain = apply(RECIPES[name], exported, tmp_path / "plain", samples)
    both = apply(RECIPES[name], together, tmp_path / "both", samples)
    assert both.lexical_head == {"features": len(PIECES), "k": 2.0, "strength": 0.3}
    assert dataclasses.replace(both, lexical_head=None, source=plain.source) == plain
    without = [logits(tmp_path / "plain", row, disabled_optimizers=_off(name)) for row in samples]
    found = [logits(tmp_path / "both", row, disabled_optimizers=_off(name)) for row in samples]
    np.testing.assert_allclose(np.stack(found) - np.stack(without), head.scores(samples), atol=2e-5)
    again = apply(RECIPES[name], together, tmp_path / "again", samples)
    assert again == both
    for file in (tmp_path / "both").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name


def _off(name: str) -> list[str]:
    return list(RECIPES[name].session.disabled_optimizers)


def test_a_prepared_graph_gives_the_same_bytes(exported: Path, together: Path, tmp_path: Path) -> None:
    prepare(together, tmp_path / "prepared")
    prepare(exported, tmp_path / "bare")
    model = "model.onnx"
    assert (tmp_path / "prepared" / model).read_bytes() == (tmp_path / "bare" / model).read_bytes()
    apply(RECIPES["int8"], together, tmp_path / "one")
    apply(RECIPES["int8"], together, tmp_path / "two", prepared=tmp_path / "prepared")
    assert (tmp_path / "one" / model).read_bytes() == (tmp_path / "two" / model).read_bytes()


def test_a_build_without_a_head_says_nothing_of_it(exported: Path, tmp_path: Path) -> None:
    record = apply(RECIPES["int8"], exported, tmp_path / "out")
    assert record.lexical_head is None
    assert "lexical_head" not in json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert not any("lexical" in name for name in operators_of(tmp_path / "out" / "model.onnx"))


def operators_of(path: Path) -> list[str]:
    return [node.name for node in onnx.load(str(path), load_external_data=False).graph.node]


@pytest.fixture
def parted(exported: Path, together: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Int8 builds, `plain` and `both`, with every weight in a file of its own however small."""
    from quantize import build

    monkeypatch.setattr(build, "split_word_embeddings", lambda path: split_word_embeddings(path, least=0))
    monkeypatch.setattr(build, "split_weights", lambda path: split_weights(path, least=1))
    for name, source in (("plain", exported), ("both", together)):
        apply(RECIPES["int8"], source, tmp_path / name)
    return tmp_path


def test_the_numbers_lie_with_the_head_and_a_site_derives_the_same_weights(parted: Path, head: LexicalHead) -> None:
    def content(name: str, file: str) -> bytes:
        return (parted / name / file).read_bytes()

    for file in ("tuned.bin", "frozen.bin", "word_embeddings.bin"):
        assert content("plain", file) == content("both", file), file
    assert content("both", "head.bin").startswith(content("plain", "head.bin"))
    assert head.weight.tobytes() in content("both", "head.bin")
    spots = [
        [(one.name, {entry.key: entry.value for entry in one.external_data}) for one in graph.initializer]
        for graph in (
            onnx.load(str(parted / name / "model.onnx"), load_external_data=False).graph for name in ("plain", "both")
        )
    ]
    tuned = [[(name, at) for name, at in some if at.get("location") == "tuned.bin"] for some in spots]
    assert tuned[0] == tuned[1] != []


def test_a_build_with_a_head_runs_in_the_engine(parted: Path, head: LexicalHead, samples, texts) -> None:
    from runtimes.engine import load_parts

    engines = {}
    for name in ("plain", "both"):
        told = json.loads((parted / name / "recipe.json").read_text())
        config = BundleConfig(
            workflow="triage",
            task=Task.CLASSIFY,
            profile="edge",
            isa=IsaClass.HOST,
            recipe="int8",
            max_tokens=64,
            labels=("damaged", "late", "short"),
            word_embeddings=WordEmbeddings.model_validate(told["word_embeddings"]),
            weights=tuple(told["weights"]),
            session=RECIPES["int8"].session,
            base=BaseRef(name="tiny", revision="1", digest="sha256:" + "0" * 64, licence="MIT"),
            data_card="sha256:" + "0" * 64,
        )
        engines[name] = load_parts(parted / name, config)
    difference = engines["both"].logits(texts) - engines["plain"].logits(texts)
    np.testing.assert_allclose(difference, head.scores(samples), atol=2e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pieces": np.array([[0, 5]] * len(PIECES), np.int32)}, "has id 0"),
        ({"pieces": np.array([[-1, -1]] * len(PIECES), np.int32)}, "a feature is empty"),
        ({"idf": np.ones(3, np.float32)}, "idf, weight and bias of"),
        ({"weight": np.ones((len(PIECES), 3), np.float32)}, "float32', 'float32"),
        ({"k": None}, "k is not a file"),
    ],
    ids=["id 0", "an empty feature", "another number of idf", "another precision", "no k"],
)
def test_a_damaged_head_is_refused(file: Path, tmp_path: Path, change: dict[str, object], said: str) -> None:
    with np.load(file) as found:
        numbers = {**found, **change}
    np.savez(tmp_path / "head.npz", **{name: value for name, value in numbers.items() if value is not None})
    with pytest.raises(DataError, match=f"{said}.*fit it again"):
        read_head(tmp_path / "head.npz")


def test_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "head.npz").write_bytes(b"PK\x03\x04")
    for name in ("head.npz", "none.npz"):
        with pytest.raises(DataError, match="a lexical head was expected"):
            read_head(tmp_path / name)


def test_a_head_of_another_model_is_refused(
    exported: Path, exported_retriever: Path, together: Path, head: LexicalHead, file: Path, tmp_path: Path
) -> None:
    other = dataclasses.replace(head, weight=head.weight[:, :2], bias=head.bias[:2])
    other.save(tmp_path / "two.npz")
    for source, given, said in (
        (exported, tmp_path / "two.npz", "a lexical head of 3 classes expected, found 2"),
        (exported_retriever, file, "only a classifier has one"),
        (together, file, "a lexical head already"),
    ):
        path = tmp_path / "model.onnx"
        path.write_bytes((source / "model.onnx").read_bytes())
        with pytest.raises(DataError, match=said):
            attach(path, read_head(given))
        assert path.read_bytes() == (source / "model.onnx").read_bytes()
