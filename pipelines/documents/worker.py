"""The process that reads documents: bad bytes end it, and nothing else.

It takes jobs as lines of JSON on its standard input and answers each with a line of JSON. It ends with its input.
Run it as `python -m pipelines.documents.worker`.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

from fleet_manifests import DataError, Wire, digest_of
from pipelines.documents.blocks import Document
from pipelines.documents.readers import read
from pipelines.workers import hold, serve

MEMORY = 3 * 1024**3
"""Bytes of data that the process may hold."""


class Job(Wire):
    """A file to read."""

    path: str
    kind: str
    """Its format."""
    digest: str
    """Of the bytes that are meant."""


class Reading(Wire):
    """What came of it: a document, or why there is none."""

    document: Document | None = None
    refusal: str = ""
    lasting: bool = True
    """The same bytes give the same again."""


def read_job(job: Job) -> Reading:
    """Read a file; whatever goes wrong is said in the answer."""
    try:
        raw = Path(job.path).read_bytes()
        if digest_of(raw) != job.digest:
            return Reading(refusal="changed while it was being read; take the folder in again", lasting=False)
        return Reading(document=read(raw, job.kind))
    except DataError as exc:
        return Reading(refusal=str(exc))
    except MemoryError:
        return Reading(refusal=f"needs more than {MEMORY // 1024**2} MB of memory to be read; divide it")
    except OSError as exc:
        return Reading(refusal=f"cannot be read from disk: {exc.strerror}", lasting=False)
    except RecursionError:
        return Reading(refusal="nested too deeply to be read; make it simpler")
    except Exception as exc:  # the boundary of this process: foreign readers raise anything on bad bytes
        said = str(exc).strip().split("\n")[0][:120]
        return Reading(refusal=f"its reader failed ({type(exc).__name__}: {said}); export the document again")


def main() -> None:
    """Answer jobs until the input ends."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    hold(MEMORY)
    serve(lambda line: read_job(Job.model_validate_json(line)).model_dump_json().encode())


if __name__ == "__main__":
    main()
