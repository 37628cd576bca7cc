"""Writing an output folder so that it is either whole or absent."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import IntegrityError, StorageError, UsageError

if TYPE_CHECKING:
    import torch


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write into; it takes the name `out` when the block ends well.

    Raises:
        UsageError: `out` already holds something.
        StorageError: the folder cannot be made or moved (full disk, permissions).
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: expected no such folder or an empty one, found content; remove it or name another")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        os.replace(partial, out)
    except OSError as exc:
        raise StorageError(f"{out}: cannot be written: {exc}; free space or choose a writable folder") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whose bytes depend on the value only: sorted keys, UTF-8, final newline."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file that an earlier step wrote.

    Raises:
        IntegrityError: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise IntegrityError(f"{path}: expected a JSON file of an earlier step: {exc}; build that step again") from exc


def save_weights(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as safetensors in name order, readable by everyone who may read the folder."""
    from safetensors.torch import save_file

    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())},
        path,
        metadata={"format": "pt"},
    )
    path.chmod(0o644)
