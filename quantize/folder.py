"""The folder of a model: its files by name, what kind of model it is, and its texts as token ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fleet_manifests import DataError
from fleet_manifests.bundle import CLASSICAL, TRANSFORMER

MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
ARGUMENTS = "arguments.json"
COMPANIONS = (TOKENIZER, "labels.json", ARGUMENTS)
"""Files that travel with the graph from the merged model to the build."""
OUTPUTS = {"classify": "logits", "retrieve": "embedding"}
"""What a graph gives, by the task that `arguments.json` of the merged model names; no name: classify."""


def kind_of(folder: Path) -> str:
    """What the model of a folder is, `transformer` or `classical`: the former where `arguments.json` does not say.

    Raises:
        DataError: it names another kind.
    """
    path = folder / ARGUMENTS
    try:
        kind = json.loads(path.read_bytes()).get("kind", TRANSFORMER) if path.is_file() else TRANSFORMER
    except (ValueError, AttributeError) as exc:
        raise DataError(f"{path}: a model's arguments expected: {exc}; make the model again") from exc
    if kind not in (TRANSFORMER, CLASSICAL):
        raise DataError(f"{path}: kind: {TRANSFORMER} or {CLASSICAL} expected, found {kind!r}; make the model again")
    return str(kind)


def output_of(folder: Path) -> str:
    """The output that the graph of a model folder has.

    Raises:
        DataError: `arguments.json` names a task that cannot be exported.
    """
    path = folder / ARGUMENTS
    try:
        task = json.loads(path.read_bytes()).get("task", "classify") if path.is_file() else "classify"
        return OUTPUTS[task]
    except (ValueError, AttributeError, KeyError, TypeError) as exc:
        known = " or ".join(OUTPUTS)
        raise DataError(f"{path}: task: {known} expected, found something else; merge the adapter again") from exc


def tokenize(path: Path, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids of each text, unpadded.

    Raises:
        DataError: the file is not a tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except ValueError as exc:
        raise DataError(f"{path}: not a tokenizer: {exc}; merge the adapter again") from exc
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
