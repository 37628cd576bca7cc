"""Making a build: a recipe applied to an exported model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fleet_manifests import DataError, WordEmbeddings, sha256_of
from fleet_manifests.profile import OPENVINO
from quantize.folder import COMPANIONS, MODEL
from quantize.graphs import integer_operators, operators
from quantize.integers import to_integers
from quantize.lexical_head import LEXICAL_HEAD, attach, detach, read_head
from quantize.openvino import IR, IR_WEIGHTS, to_ir
from quantize.passes import Samples, run_passes
from quantize.recipes import UNPADDED, Recipe
from quantize.split import split_weights, split_word_embeddings
from quantize.staging import copy_present, staged

RECORD = "recipe.json"
NO_HEAD = (
    "the model has a lexical head, which counts word pieces by an operator that OpenVINO does not have; use another "
    "recipe, or leave the head out (training: {lexical_head: false})"
)
PREPARED = "passes.json"
"""What was done to a prepared graph."""


@dataclass(frozen=True)
class BuildRecord:
    """What `apply` did; `recipe.json` beside the model."""

    recipe: str
    description: str
    source: str
    """Digest of the exported model."""
    attention_blocks: int
    """Attention blocks found in the exported graph."""
    passes: dict[str, int]
    """How many things each pass changed, in the order they ran. `fuse-attention`: blocks that became one operator,
    all or none; `drop-mask`: 1 where the build reads one unpadded text at a time and has no attention mask."""
    quantized: dict[str, int]
    """Integer operators in the build, by type."""
    engine: str
    model: str
    """The file with the graph."""
    word_embeddings: dict[str, Any] | None
    """How `word_embeddings.bin` holds the table that was moved there (`fleet_manifests.WordEmbeddings`)."""
    weights: tuple[str, ...]
    """The other files that weights were moved into."""
    session: dict[str, Any]
    versions: dict[str, str]
    lexical_head: dict[str, Any] | None = None
    """Of a build with a lexical head: its `features`, their weight `k` beside the logits, the SVM's `strength`. A build
    without says nothing of it."""


def prepare(onnx: Path, out: Path, passes: Sequence[str] = UNPADDED) -> None:
    """Run passes that many recipes begin with once for all of them.

    Args:
        onnx: the folder that `export_onnx` wrote.
        out: a folder that is there; gets `model.onnx` and what was done to it.
        passes: which need no texts.

    Raises:
        DataError: the folder has no model, or a pass does not know it.
        StorageError: the disk is full or not writable.
    """
    source = _source(onnx)
    with staged(out) as stage:
        _copy_bare((), onnx, stage)
        blocks = operators(stage / MODEL)["Softmax"]
        done = _checked(f"passes {', '.join(passes)}", lambda: run_passes(passes, stage / MODEL, ()))
        told = {"source": sha256_of(source), "attention_blocks": blocks, "passes": done}
        (stage / PREPARED).write_text(json.dumps(told))


def apply(recipe: Recipe, onnx: Path, out: Path, samples: Samples = (), *, prepared: Path | None = None) -> BuildRecord:
    """Make a build. Equal inputs give equal bytes.

    Args:
        recipe: what to do.
        onnx: the folder that `export_onnx` wrote.
        out: a new or empty folder; gets `model.onnx`, its weights in files by what they mean (of a recipe for OpenVINO
            `model.xml` and `model.bin`), the tokenizer, labels, arguments and `recipe.json`.
        samples: token ids of training texts, for a recipe that `needs_texts`.
        prepared: what `prepare` made of the same model with the passes that the recipe begins with.

    Raises:
        DataError: the folder has no model, or the recipe cannot be applied to it.
        MissingExtraError: a library of the recipe is not installed.
        StorageError: the disk is full or not writable.
        UsageError: `out` holds files already.
    """
    source = sha256_of(_source(onnx))
    with staged(out) as stage:
        model = stage / MODEL
        _copy_bare(COMPANIONS, onnx, stage)
        blocks, done = operators(model)["Softmax"], {}
        if prepared is not None:
            done = json.loads((prepared / PREPARED).read_text())["passes"]
            copy_present((MODEL,), prepared, stage)
        if recipe.engine == OPENVINO:
            if (onnx / LEXICAL_HEAD).is_file():
                raise DataError(f"recipe {recipe.name}: {NO_HEAD}")
            record = _for_openvino(recipe, source, blocks, model, samples)
        else:
            done = _checked(f"recipe {recipe.name}", lambda: _rewrite(recipe, model, samples, done))
            head = _put_back(onnx, model)
            table = split_word_embeddings(model)
            weights = split_weights(model) if table else ()
            found = integer_operators(operators(model))
            record = _record(recipe, source, (blocks, done), found, (table, weights), lexical_head=head)
        told = {name: value for name, value in asdict(record).items() if name != "lexical_head" or value is not None}
        (stage / RECORD).write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")
    return record


def _copy_bare(companions: tuple[str, ...], onnx: Path, stage: Path) -> None:
    """Copy an exported model, without its lexical head, and what belongs to it."""
    copy_present((MODEL, *companions), onnx, stage)
    if (onnx / LEXICAL_HEAD).is_file():
        detach(stage / MODEL)


def _put_back(onnx: Path, model: Path) -> dict[str, Any] | None:
    """Give a build the lexical head of the exported model; what a record says of it, None where there is none.

    Raises:
        DataError: it is damaged, or does not belong to the model.
    """
    if not (onnx / LEXICAL_HEAD).is_file():
        return None
    head = read_head(onnx / LEXICAL_HEAD)
    attach(model, head)
    return head.told


def _for_openvino(recipe: Recipe, source: str, blocks: int, model: Path, samples: Samples) -> BuildRecord:
    """Put the IR in the place of a model; the record of that."""
    assert recipe.quantization is not None
    found = to_ir(model, recipe.quantization.reduce_range, samples)
    model.unlink()
    return _record(recipe, source, (blocks, {}), found, (None, (IR_WEIGHTS,)), IR)


def _source(onnx: Path) -> Path:
    """The exported model of a folder.

    Raises:
        DataError: there is none.
    """
    if not (onnx / MODEL).is_file():
        raise DataError(f"{onnx}: no {MODEL}; export the model first")
    return onnx / MODEL


def _rewrite(recipe: Recipe, model: Path, samples: Samples, done: dict[str, int]) -> dict[str, int]:
    """Passes that were not done yet, quantization, passes, in place; what all passes did."""
    before = run_passes(recipe.passes[len(done) :], model, samples)
    if recipe.quantization is not None:
        to_integers(model, recipe.quantization, samples)
    return {**done, **before, **run_passes(recipe.after, model, samples)}


def _checked(what: str, work: Callable[[], dict[str, int]]) -> dict[str, int]:
    """The outcome of passes.

    Raises:
        DataError: one of them does not know this graph.
    """
    try:
        return work()
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, IndexError, KeyError) as exc:
        raise DataError(f"{what} cannot be applied: {exc}; use the recipe fp32") from exc


def _record(
    recipe: Recipe,
    source: str,
    rewritten: tuple[int, dict[str, int]],
    quantized: dict[str, int],
    apart: tuple[WordEmbeddings | None, tuple[str, ...]],
    model: str = MODEL,
    lexical_head: dict[str, Any] | None = None,
) -> BuildRecord:
    """The record of a finished build."""
    from importlib import metadata

    blocks, done = rewritten
    table, weights = apart
    return BuildRecord(
        recipe=recipe.name,
        description=recipe.description,
        source=source,
        attention_blocks=blocks,
        passes=done,
        quantized=quantized,
        engine=recipe.engine,
        model=model,
        word_embeddings=table.model_dump(mode="json") if table else None,
        weights=weights,
        session=recipe.session.model_dump(mode="json"),
        versions={name: metadata.version(name) for name in ("onnx", "onnxruntime", *recipe.libraries)},
        lexical_head=lexical_head,
    )
