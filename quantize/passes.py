"""Graph passes: what a recipe does to the float graph before it is quantized, and to the integer graph after it.

A pass rewrites an ONNX file in place and says how many things it changed. It proves by itself that what it
rewrote computes the same, or it belongs to a recipe whose accuracy is measured. Some passes look at real inputs:
token ids of the workflow's *training* texts, so that what is measured on validation has not been seen by them.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fleet_manifests import DataError
from quantize.embeddings import halve, in_blocks, in_columns
from quantize.graphs import operators
from quantize.lean import flat_mean, open_attention, plain_positions
from quantize.outliers import split_outliers
from quantize.ranges import freeze_ranges
from quantize.smoothing import smooth
from quantize.unpad import drop_mask
from quantize.vocabulary import trim_vocabulary
from quantize.widen import keep_sensitive

Samples = Sequence[Sequence[int]]
"""Token ids of real texts, unpadded."""


@dataclass(frozen=True)
class Pass:
    """A rewrite that recipes name."""

    run: Callable[[Path, Samples], int]
    """Rewrites the file in place; how many things it changed."""
    needs_texts: bool = False
    """It looks at real inputs."""
    optional: bool = False
    """A graph in which it finds nothing to change is built without it."""
    forgets: bool = False
    """It drops what the given texts did not need."""


def fuse_attention(path: Path, _: Samples = ()) -> int:
    """Fuse every attention block of a graph in place; returns how many, all or none.

    The optimizer passes over what it does not recognize without a word, so its work is
    counted: a graph that is fused only in part is left as it was.
    """
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    blocks = operators(path)["Softmax"]
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


def free_from_mask(path: Path, _: Samples = ()) -> int:
    """Leave the attention mask out of a graph with fused attention; 1 where that was done."""
    return int(operators(path)["Attention"] > 0 and drop_mask(path))


PASSES: Mapping[str, Pass] = MappingProxyType(
    {
        "fuse-attention": Pass(fuse_attention, optional=True),
        "drop-mask": Pass(free_from_mask, optional=True),
        "open-attention": Pass(open_attention),
        "plain-positions": Pass(plain_positions, optional=True),
        "flat-mean": Pass(flat_mean, optional=True),
        "split-outliers": Pass(split_outliers, needs_texts=True, optional=True),
        "smooth": Pass(smooth, needs_texts=True, optional=True),
        "trim-vocabulary": Pass(trim_vocabulary, needs_texts=True, forgets=True),
        "embeddings-16bit": Pass(halve),
        "embeddings-columns": Pass(in_columns),
        "embeddings-8bit": Pass(lambda path, _: in_blocks(path, 8)),
        "embeddings-4bit": Pass(lambda path, _: in_blocks(path, 4)),
        "freeze-ranges": Pass(freeze_ranges, needs_texts=True),
        "keep-sensitive": Pass(keep_sensitive, needs_texts=True),
    }
)
"""Every pass that a recipe may name."""


def run_passes(names: Sequence[str], path: Path, samples: Samples) -> dict[str, int]:
    """Run passes in order; how many things each changed.

    Raises:
        DataError: a pass that the recipe is about finds nothing to change, or needs texts and there are none.
    """
    done = {}
    for name in names:
        one = PASSES[name]
        if one.needs_texts and not samples:
            raise DataError(f"pass {name}: the workflow's own texts expected, found none")
        done[name] = one.run(path, samples)
        if not done[name] and not one.optional:
            raise DataError(f"pass {name}: nothing in this model that it could change; use another recipe")
    return done
