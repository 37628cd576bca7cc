"""Folding an adapter into its base: one plain model that any exporter can read.

The linear layers are added up by the rule of `runtimes.derive`, so that a site which has the base can make the same
weights of the adapter, bit by bit.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import BaseRef, IntegrityError, parse
from fleet_manifests.updates import ADAPTER_FILE
from runtimes.derive import merged, read_adapter
from training.adapters import linear_layers
from training.arguments import ARGUMENTS, RetrieveArguments, read_arguments
from training.bases import ResolvedBase
from training.compact import round_base
from training.features import load_tokenizer
from training.files import read_json, staged
from training.model import build, build_embedder, load_encoder, load_merged, save_merged

if TYPE_CHECKING:
    import torch

LABELS = "labels.json"
TOLERANCE = 1e-3
"""Largest difference of an output, relative to the largest, between adapter and merged model in float32.
Folding changes the order of sums only: 2e-6 was seen on all-MiniLM-L6-v2."""


def merge(adapter: Path, base: ResolvedBase, out: Path) -> None:
    """Write the merged model folder of an adapter folder, of a classifier or a retriever.

    Raises:
        IntegrityError: the adapter was trained on another base, a file is missing or altered, or the
            merged model, read back from disk, does not give what the adapter gives.
        UsageError: `out` is not empty.
        StorageError: `out` cannot be written.
    """
    require_base(adapter, base)
    arguments = read_arguments(adapter)
    labels = None if isinstance(arguments, RetrieveArguments) else read_labels(adapter)
    with staged(out) as partial:
        tuned = _with_adapter(adapter, base, labels)
        ids, mask = _probe_batch(tuned.config.vocab_size, arguments.max_tokens)
        expected = _outputs(tuned, ids, mask)
        save_merged(_folded(tuned, adapter), partial, labels)
        load_tokenizer(base.path, arguments.max_tokens).save(str(partial / "tokenizer.json"))
        for name in (ARGUMENTS, ADAPTER_FILE) if labels is None else (LABELS, ARGUMENTS, ADAPTER_FILE):
            shutil.copyfile(adapter / name, partial / name)
        require_parity(expected, _outputs(load_merged(partial), ids, mask), str(adapter))


def require_base(adapter: Path, base: ResolvedBase) -> None:
    """Refuse an adapter that was trained on other weights.

    Raises:
        IntegrityError: the digests differ, or the folder does not say.
    """
    path = adapter / "base.json"
    try:
        trained_on = parse(BaseRef, path.read_bytes(), where=str(path))
    except OSError as exc:
        raise IntegrityError(f"{path}: expected the base of the adapter: {exc}; tune it again") from exc
    if trained_on.digest != base.ref.digest:
        raise IntegrityError(
            f"{adapter}: the adapter was trained on {trained_on.name} {trained_on.digest}, "
            f"found base {base.ref.name} {base.ref.digest}; use its own base or tune it again"
        )


def read_labels(folder: Path) -> tuple[str, ...]:
    """The labels of an adapter or merged model folder, in class order.

    Raises:
        IntegrityError: not a list of at least two distinct strings.
    """
    found = read_json(folder / LABELS)
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found) or len(set(found)) < 2:
        raise IntegrityError(f"{folder / LABELS}: expected a list of labels; tune it again")
    return tuple(found)


def require_parity(expected: torch.Tensor, found: torch.Tensor, where: str) -> None:
    """Refuse a merged model that does not compute what the adapter computed.

    Raises:
        IntegrityError: an output [batch, n] differs by more than `TOLERANCE` of the largest, or is not finite.
    """
    import torch

    largest = float(expected.abs().max())
    difference = float((expected - found).abs().max())
    if not bool(torch.isfinite(found).all()) or not difference <= TOLERANCE * max(largest, 1.0):
        raise IntegrityError(
            f"{where}: merged outputs differ from the adapter's by {difference:.2e} (the largest is {largest:.2e}, "
            f"tolerance {TOLERANCE:.0e} of it); the adapter is damaged or does not belong to this base"
        )


def _with_adapter(adapter: Path, base: ResolvedBase, labels: tuple[str, ...] | None) -> Any:
    """The base with the adapter beside it, in float32."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    encoder = load_encoder(base.path)
    model: Any = build_embedder(encoder) if labels is None else build(encoder, len(labels))
    round_base(model)
    try:
        tuned = PeftModel.from_pretrained(model, str(adapter)).eval()
        with safe_open(adapter / "adapter_model.safetensors", "pt") as stream:
            found = set(stream.keys())
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as exc:
        raise IntegrityError(f"{adapter}: expected a PEFT adapter for this base: {exc}; tune it again") from exc
    if wrong := sorted(found ^ set(get_peft_model_state_dict(tuned, save_embedding_layers=False))):
        raise IntegrityError(f"{adapter}: {len(wrong)} weights are missing or unknown, first {wrong[0]}; tune it again")
    return tuned


def _folded(tuned: Any, adapter: Path) -> Any:
    """The plain model of a PEFT model, its linear layers added up by the rule that sites follow.

    Raises:
        IntegrityError: the adapter as it travels is missing, or is not of this model.
    """
    import torch

    try:
        updates = read_adapter(adapter / ADAPTER_FILE).updates
    except OSError as exc:
        raise IntegrityError(f"{adapter / ADAPTER_FILE}: {exc.strerror}; tune it again") from exc
    plain = tuned.unload()
    modules = dict(plain.named_modules())
    if odd := sorted(updates.keys() ^ set(linear_layers(plain))):
        raise IntegrityError(f"{adapter / ADAPTER_FILE}: {odd[0]} is not in both adapter and model; tune it again")
    with torch.no_grad():
        for name, update in updates.items():
            weight = modules[name].weight
            weight.copy_(torch.from_numpy(merged(weight.numpy(), update)))
    return plain


def _probe_batch(vocabulary: int, max_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Seeded token ids [8, n] of several lengths, with their mask."""
    import torch

    length = min(max_tokens, 48)
    ids = torch.randint(0, vocabulary, (8, length), generator=torch.Generator().manual_seed(0))
    lengths = torch.linspace(1, length, 8).long()
    return ids, (torch.arange(length)[None, :] < lengths[:, None]).long()


def _outputs(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What a model gives [batch, n], without gradients."""
    import torch

    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=ids, attention_mask=mask)
    return found
