"""Recipes: how an exported model is optimized and quantized, and for which ISA that is legal.

Measured choices, one thread, against optimum's default dynamic int8 of the same model:
dynamic quantization with signed 8-bit weights per channel; attention fused before it
(same answers to the bit, less glue) and freed from its mask, since the engine never pads (3-4 %
less time); the runtime's SkipLayerNormFusion switched off, whose
CPU kernel is slower than the two nodes it replaces. Saving the optimized graph or the
ORT format gains 10-20 ms of loading and costs portability, so builds stay plain ONNX.

Instructions that multiply 8-bit numbers into 16 bits saturate (AVX2): machines without
VNNI or dot product get weights of 7 bits (`reduce_range`), whose sums cannot overflow.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fleet_manifests import (
    DataError,
    HardwareProfile,
    IsaClass,
    RefusedError,
    SessionConfig,
    UsageError,
    WordEmbeddings,
    sha256_of,
)
from fleet_manifests.bundle import CLASSICAL, TRANSFORMER
from quantize.export import COMPANIONS, MODEL
from quantize.split import split_weights, split_word_embeddings
from quantize.staging import copy_present, staged
from quantize.unpad import drop_mask

FAST_INT8 = frozenset({IsaClass.AVX512_VNNI, IsaClass.ARM64_DOTPROD})
"""Classes whose 8-bit products are summed in 32 bits."""
ANY_INT8 = FAST_INT8 | {IsaClass.X86_64_V3}
ANY = ANY_INT8 | {IsaClass.X86_64}
RECORD = "recipe.json"
NO_SKIP_LAYER_NORM = SessionConfig(disabled_optimizers=("SkipLayerNormFusion",))


@dataclass(frozen=True)
class Recipe:
    """One way to make a build from an exported model."""

    name: str
    description: str
    isa: frozenset[IsaClass]
    """Classes for which it is legal."""
    int8: bool
    """Quantize to 8 bits; otherwise the exported graph and its weights are kept as they are."""
    reduce_range: bool = False
    """7-bit weights."""
    session: SessionConfig = NO_SKIP_LAYER_NORM

    def session_for(self, profile: HardwareProfile) -> SessionConfig:
        """The session options on the cores of a profile."""
        return self.session.model_copy(update={"threads": profile.cores})


@dataclass(frozen=True)
class BuildRecord:
    """What `apply` did; `recipe.json` beside the model."""

    recipe: str
    description: str
    source: str
    """Digest of the exported model."""
    attention_blocks: int
    """Attention blocks found in the exported graph."""
    attention_fused: int
    """Of these, fused into one operator: all or none. 0 where fusion does not know this architecture."""
    unpadded: bool
    """The build reads one unpadded text at a time and has no attention mask."""
    quantized: dict[str, int]
    """Integer operators in the build, by type."""
    word_embeddings: dict[str, Any] | None
    """How `word_embeddings.bin` holds the table that was moved there (`fleet_manifests.WordEmbeddings`)."""
    weights: tuple[str, ...]
    """The other files that weights were moved into."""
    session: dict[str, Any]
    versions: dict[str, str]


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe("int8", "dynamic int8, signed weights per channel, attention fused", FAST_INT8, int8=True),
            Recipe(
                "int8-reduced-range",
                "as int8 with 7-bit weights, which cannot saturate without VNNI",
                ANY_INT8,
                int8=True,
                reduce_range=True,
            ),
            Recipe("fp32", "the exported weights as they are; the reference of every comparison", ANY, int8=False),
        )
    }
)
"""Every recipe that a profile may name, cheapest at run time first."""
AS_IS = Recipe(
    "as-is",
    "a classical model as it was exported; it has nothing to quantize",
    ANY,
    int8=False,
    session=SessionConfig(),
)
"""The one recipe of a classical model, whatever the profile allows: its arithmetic is float32 on every ISA."""


def session_of(name: str, profile: HardwareProfile) -> SessionConfig:
    """The session options of a build by the recipe of that name, on the cores of a profile."""
    return (AS_IS if name == AS_IS.name else RECIPES[name]).session_for(profile)


def recipe_named(name: str, isa: IsaClass) -> Recipe:
    """The recipe of that name for an ISA class.

    Raises:
        UsageError: there is no such recipe.
        RefusedError: the recipe is not legal for the class.
    """
    if name not in RECIPES:
        raise UsageError(f"recipe {name!r} is unknown; there are {', '.join(RECIPES)}")
    return _legal(RECIPES[name], isa)


def _legal(recipe: Recipe, isa: IsaClass) -> Recipe:
    """A recipe that is legal for an ISA class.

    Raises:
        RefusedError: it is not.
    """
    if isa not in recipe.isa:
        legal = ", ".join(other.name for other in RECIPES.values() if isa in other.isa) or "none"
        hint = "resolve the profile first" if isa is IsaClass.HOST else f"legal there: {legal}"
        raise RefusedError(f"recipe {recipe.name} is not legal for isa {isa.value}; {hint}")
    return recipe


def candidates(profile: HardwareProfile, kind: str = TRANSFORMER) -> tuple[Recipe, ...]:
    """The recipes that a profile allows, in its order (cheapest first); of a classical model the only one.

    Raises:
        UsageError: the profile names a recipe that does not exist.
        RefusedError: a recipe is not legal for the profile's ISA, or the ISA is still `host`.
    """
    try:
        if kind == CLASSICAL:
            return (_legal(AS_IS, profile.isa),)
        return tuple(recipe_named(name, profile.isa) for name in profile.recipes)
    except (UsageError, RefusedError) as exc:
        raise type(exc)(f"profile {profile.name}: recipes: {exc}") from exc


def apply(recipe: Recipe, onnx: Path, out: Path) -> BuildRecord:
    """Make a build. Equal inputs give equal bytes.

    Args:
        recipe: what to do.
        onnx: the folder that `export_onnx` wrote.
        out: a new or empty folder; gets `model.onnx`, its word embeddings, the tokenizer, labels, arguments and
            `recipe.json`.

    Raises:
        DataError: the folder has no model, or the model cannot be quantized.
        StorageError: the disk is full or not writable.
        UsageError: `out` holds files already.
    """
    source = onnx / MODEL
    if not source.is_file():
        raise DataError(f"{onnx}: no {MODEL}; export the model first")
    with staged(out) as stage:
        copy_present((MODEL, *COMPANIONS), onnx, stage)
        blocks = _count(stage / MODEL)["Softmax"]
        fused, unpadded = _to_int8(stage / MODEL, blocks, recipe.reduce_range) if recipe.int8 else (0, False)
        table = split_word_embeddings(stage / MODEL)
        weights = split_weights(stage / MODEL) if table else ()
        record = _record(recipe, sha256_of(source), (blocks, fused, unpadded), _count(stage / MODEL), table, weights)
        (stage / RECORD).write_text(json.dumps(asdict(record), indent=2, sort_keys=True) + "\n")
    return record


def _to_int8(path: Path, blocks: int, reduce_range: bool) -> tuple[int, bool]:
    """Fuse and quantize a model in place; how many attention blocks were fused, and whether the mask is gone.

    Raises:
        DataError: the graph cannot be quantized, or nothing in it was.
    """
    try:
        fused = _fuse_attention(path, blocks)
        unpadded = fused > 0 and drop_mask(path)
        _quantize(path, reduce_range)
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as exc:
        raise DataError(f"the model cannot be quantized: {exc}; use the recipe fp32") from exc
    if not _integer_operators(_count(path)):
        raise DataError("the model has no matrix product that could be quantized; use the recipe fp32")
    return fused, unpadded


def _fuse_attention(path: Path, blocks: int) -> int:
    """Fuse every attention block of a graph in place; returns how many, all or none.

    The optimizer passes over what it does not recognize without a word, so its work is
    counted: a graph that is fused only in part is left as it was.
    """
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    options = FusionOptions("bert")
    options.enable_skip_layer_norm = False
    options.enable_bias_skip_layer_norm = False
    options.enable_embed_layer_norm = False
    options.enable_bias_gelu = False
    with contextlib.redirect_stdout(io.StringIO()):  # it prints where it cannot infer shapes, which it needs not
        optimized = optimize_model(str(path), model_type="bert", opt_level=0, optimization_options=options)
    fused = int(optimized.get_fused_operator_statistics()["Attention"])
    if fused != blocks:
        return 0
    optimized.save_model_to_file(str(path))
    return fused


def _quantize(path: Path, reduce_range: bool) -> None:
    """Quantize a model in place: dynamic, signed 8-bit weights per channel."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    raw = path.with_name("float.onnx")
    path.replace(raw)
    quantize_dynamic(
        raw,
        path,
        per_channel=True,
        reduce_range=reduce_range,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )
    raw.unlink()


def _integer_operators(operators: Counter[str]) -> dict[str, int]:
    """Those of a graph's operators that compute with integers."""
    return {name: operators[name] for name in ("MatMulInteger", "QAttention") if operators[name]}


def _count(path: Path) -> Counter[str]:
    """How often each operator occurs in a model.

    Raises:
        DataError: the file is not an ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as exc:
        raise DataError(f"{path.name}: not an ONNX model: {exc}; export it again") from exc
    return Counter(node.op_type for node in model.graph.node)


def _record(
    recipe: Recipe,
    source: str,
    rewritten: tuple[int, int, bool],
    operators: Counter[str],
    table: WordEmbeddings | None,
    weights: tuple[str, ...],
) -> BuildRecord:
    """The record of a finished build."""
    from importlib import metadata

    blocks, fused, unpadded = rewritten

    return BuildRecord(
        recipe=recipe.name,
        description=recipe.description,
        source=source,
        attention_blocks=blocks,
        attention_fused=fused,
        unpadded=unpadded,
        quantized=_integer_operators(operators),
        word_embeddings=table.model_dump(mode="json") if table else None,
        weights=weights,
        session=recipe.session.model_dump(mode="json"),
        versions={name: metadata.version(name) for name in ("onnx", "onnxruntime")},
    )
