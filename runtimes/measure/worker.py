"""What every measuring process does: it reads a job from stdin and writes its answer to stdout, and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def answer(work: Callable[[bytes], bytes]) -> None:
    """Read the job, do the work, write the answer. Everything that libraries print goes to stderr."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    found = work(sys.stdin.buffer.read())
    with os.fdopen(stdout, "wb") as stream:
        stream.write(found)
