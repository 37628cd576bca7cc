"""The process that answers measurement cases: a bundle and texts in, what its graph gives for each text out.

`python -m runtimes.measure.outputs` reads a `Job` as JSON from stdin and writes one `.npz` to stdout with an
array for each split, float32 [texts, width]: logits of a classifier, embeddings of a retriever. It needs what
a site has and no more, so that the same process runs in the factory, on a device and under an emulator. What
the answers are worth is for others to say.
"""

from __future__ import annotations

import io
import os
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import IntegrityError, Wire, dump, parse
from runtimes.measure.worker import answer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Outputs = dict[str, NDArray[np.float32]]

Texts = Mapping[str, Sequence[str]]
"""The texts of each split."""
MAX_JOB_BYTES = 64 * 1024 * 1024


class Job(Wire):
    """What to run over which texts."""

    bundle: str
    texts: dict[str, tuple[str, ...]]
    threads: int | None = None
    """Threads of the engine; None: as the bundle says."""
    cpus: tuple[int, ...] = ()
    """Cpus that the process holds itself to; none: as it was started."""
    memory_guard_mb: int | None = None
    """Data segment limit, a guard against a runaway model; None: as it was started."""


def outputs(bundle: Path, texts: Texts, threads: int | None = None) -> Outputs:
    """What a bundle's graph gives for each text, through the engine that sites run: float32 [texts, width].

    Raises:
        DataError: a text is empty, too long or not valid Unicode.
        IntegrityError: the bundle does not load, or gives something else than it says or than finite numbers.
    """
    from runtimes import engine

    loaded = engine.load_any(bundle, threads=threads)
    return {split: loaded.outputs(some) for split, some in texts.items()}


def pack(found: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The arrays as one `.npz`; the same arrays give the same bytes."""
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **{name: found[name] for name in sorted(found)})
    return stream.getvalue()


def unpack(raw: bytes, expected: Mapping[str, int], *, where: str) -> Outputs:
    """Read what `pack` wrote.

    Args:
        raw: the bytes.
        expected: how many texts each split has.
        where: what the bytes are, for the message.

    Raises:
        IntegrityError: other splits, another number of texts, another type, several widths, or a number that is
            not finite.
    """
    import zipfile

    import numpy as np

    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            if sum(one.file_size for one in archive.infolist()) > len(raw):
                raise IntegrityError(f"{where}: expected arrays of outputs as they are, found compressed ones")
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as exc:
        raise IntegrityError(f"{where}: expected arrays of outputs, found something else: {exc}") from exc
    if set(found) != set(expected):
        raise IntegrityError(f"{where}: expected the splits {sorted(expected)}, found {sorted(found)}")
    for name, values in found.items():
        if values.dtype != np.float32 or values.ndim != 2 or len(values) != expected[name]:
            raise IntegrityError(
                f"{where}: {name}: expected float32 of shape ({expected[name]}, width), found {values.dtype} of shape "
                f"{values.shape}"
            )
        if not np.isfinite(values).all():
            raise IntegrityError(f"{where}: {name}: an output is not a finite number; do not serve this bundle")
    if len(widths := {values.shape[1] for values in found.values()}) > 1:
        raise IntegrityError(f"{where}: expected outputs of one width, found {sorted(widths)}")
    return found


def job(
    bundle: Path,
    texts: Texts,
    threads: int | None = None,
    *,
    cpus: Sequence[int] = (),
    memory_guard_mb: int | None = None,
) -> bytes:
    """What the process reads."""
    named = {name: tuple(some) for name, some in texts.items()}
    return dump(
        Job(bundle=str(bundle), texts=named, threads=threads, cpus=tuple(cpus), memory_guard_mb=memory_guard_mb)
    )


def main() -> None:
    """Run what the job on stdin says."""
    answer(_answered)


def _answered(raw: bytes) -> bytes:
    """The outputs for a job, held to its cpus and memory."""
    wanted = parse(Job, raw, where="job", limit=MAX_JOB_BYTES)
    if wanted.cpus:
        os.sched_setaffinity(0, wanted.cpus)
    if wanted.memory_guard_mb is not None:
        guard = wanted.memory_guard_mb * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (guard, guard))
    return pack(outputs(Path(wanted.bundle), wanted.texts, wanted.threads))


if __name__ == "__main__":
    main()
