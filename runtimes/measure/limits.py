"""Holding a measuring process to its memory: a control group where this user may make one, else a limit of its own."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path
from typing import Literal

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def hold_memory(
    memory_mb: int | None, guard_mb: int, root: Path = CGROUPS, own: Path = OWN
) -> Literal["cgroup", "rlimit"]:
    """Hold this process to its memory.

    Args:
        memory_mb: what the profile allows; held by a control group (version 2), which ends the process above it.
        guard_mb: limit of the data segment where there is no such group; far above, as it counts what is only reserved.
        root: where control groups are mounted.
        own: the text of `/proc/self/cgroup`.

    Returns:
        What holds it.
    """
    if memory_mb is not None and _grouped(memory_mb * 2**20, root, own):
        return "cgroup"
    guard = guard_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (guard, guard))
    return "rlimit"


def _grouped(limit: int, root: Path, own: Path) -> bool:
    """Move this process into a group of its own below the one that it is in; False where that is not permitted."""
    try:
        path = own.read_text(encoding="ascii").strip().removeprefix("0::")
        parent = root / path.lstrip("/")
        _sweep(parent)
        group = parent / f"lading-{os.getpid()}"
        group.mkdir()
    except OSError:
        return False
    try:
        (group / "memory.max").write_text(f"{limit}", encoding="ascii")
        (group / "cgroup.procs").write_text(f"{os.getpid()}", encoding="ascii")
    except OSError:
        group.rmdir()
        return False
    return True


def _sweep(parent: Path) -> None:
    """Remove the groups that earlier measurements left empty; the kernel keeps those that are in use."""
    for group in parent.glob("lading-*"):
        with contextlib.suppress(OSError):
            group.rmdir()
