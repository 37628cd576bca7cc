"""Write a folder whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet_manifests import StorageError, UsageError


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A fresh folder beside `out` that takes its place when the block ends without an error.

    Args:
        out: a folder that does not exist yet, or an empty one.

    Raises:
        UsageError: `out` holds files already.
        StorageError: the disk is full or not writable.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: a new or an empty folder was expected, it holds files; name another")
    stage: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        yield stage
        stage.chmod(0o755)
        stage.replace(out)
    except OSError as exc:
        raise StorageError(f"{out}: cannot be written: {exc}; check the disk's space and rights, run again") from exc
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def copy_present(names: tuple[str, ...], source: Path, target: Path) -> None:
    """Copy those of the named files that `source` has."""
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
