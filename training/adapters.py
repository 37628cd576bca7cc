"""LoRA beside the linear layers of an encoder, and the folder that an adapter is kept in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import dump
from fleet_manifests.updates import ADAPTER_FILE
from runtimes.derive import write_adapter
from training.arguments import ARGUMENTS, Arguments
from training.bases import ResolvedBase
from training.compact import round_adapter, round_base
from training.files import read_json, save_weights, write_json

if TYPE_CHECKING:
    import torch

LIBRARIES = ("numpy", "peft", "scikit-learn", "tokenizers", "torch", "transformers")
"""Libraries whose version may change the weights."""


def with_lora(model: torch.nn.Module, arguments: Arguments, *, whole: Sequence[str] = ()) -> torch.nn.Module:
    """LoRA on every linear layer of `model.encoder`, rounded to what sites have of the base, whose own dropout is set;
    those named by `whole` train in full."""
    from peft import LoraConfig, get_peft_model
    from torch.nn import Dropout

    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = arguments.encoder_dropout

    round_base(model)
    config = LoraConfig(
        r=arguments.rank,
        lora_alpha=arguments.alpha,
        lora_dropout=arguments.dropout,
        target_modules=linear_layers(model),
        modules_to_save=list(whole) or None,
    )
    adapted: torch.nn.Module = get_peft_model(model, config)  # type: ignore[arg-type, unused-ignore]
    return adapted


def linear_layers(model: torch.nn.Module) -> list[str]:
    """Full names of the encoder's linear layers, sorted."""
    from torch import nn

    found = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return sorted(name for name in found if name.startswith("encoder."))


def save_adapter(
    folder: Path,
    model: Any,
    base: ResolvedBase,
    arguments: Arguments,
    history: dict[str, Any],
    libraries: Sequence[str] = LIBRARIES,
) -> None:
    """Write the adapter, rounded to what travels, in PEFT's form with sorted keys, what it belongs to and what made it.

    PEFT must not know the base by name: it would ask the hub whether the vocabulary was resized.

    Args:
        folder: gets `adapter_model.safetensors`, `adapter.bin` (the same as it travels), `adapter_config.json`,
            `base.json`, `arguments.json`, `history.json` and `versions.json`.
        model: the PEFT model; its adapter is rounded.
        base: what it was trained on.
        arguments: what it was told.
        history: what happened, without times: the folder's digest must not depend on how fast the machine was.
        libraries: distributions whose version may change the weights.
    """
    from peft import get_peft_model_state_dict

    write_adapter(folder / ADAPTER_FILE, round_adapter(model))
    save_weights(get_peft_model_state_dict(model, save_embedding_layers=False), folder / "adapter_model.safetensors")
    settings = model.peft_config["default"]
    settings.base_model_name_or_path = None
    settings.inference_mode = True
    settings.save_pretrained(folder)
    path = folder / "adapter_config.json"
    write_json(path, {key: _ordered(value) for key, value in read_json(path).items()})
    (folder / "base.json").write_bytes(dump(base.ref))
    write_json(folder / ARGUMENTS, arguments.model_dump(mode="json"))
    write_json(folder / "history.json", history)
    write_json(folder / "versions.json", {name: version(name) for name in libraries})


def _ordered(value: Any) -> Any:
    """PEFT keeps names in sets, whose order differs from process to process."""
    return sorted(value) if isinstance(value, list) else value
