"""Deriving tuned weights where they are needed: the base once, then an adapter per version.

    derive(plan, base, adapter, out)       # writes the very bytes that the factory signed

The factory merges an adapter into its base and quantizes the result by a fixed rule (`rule`) whose every step is one
IEEE 754 operation per element, in a fixed order: no matrix product, no sum whose order a processor may choose. The same
inputs give the same bytes on every machine, and a site that has the base can make a model out of an adapter alone.

- the base: the linear layers of a pretrained model in bfloat16 (`weights`);
- the adapter: each layer's low-rank update as whole numbers and steps (`adapter`);
- the plan: which layer's codes and scales lie where in the file that is derived (`plan`).

Needs numpy only. Nothing here is trusted: whoever calls compares the digest of the result.
"""

from __future__ import annotations

from runtimes.derive.adapter import Adapter, Update, read_adapter, write_adapter
from runtimes.derive.plan import Piece, Plan, derive
from runtimes.derive.rule import merged, quantized
from runtimes.derive.weights import Weights, read_weights, rounded, write_weights

__all__ = [
    "Adapter",
    "Piece",
    "Plan",
    "Update",
    "Weights",
    "derive",
    "merged",
    "quantized",
    "read_adapter",
    "read_weights",
    "rounded",
    "write_adapter",
    "write_weights",
]
