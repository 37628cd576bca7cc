"""Lading on real public data: ordinary projects, written as YAML, SQL and files, built by `lading build`.

    python -m benchmarks.real_data [--data DIR] [--work DIR] [SET ...]

`bitext_orders`, `clinc150` (with its out-of-scope rows) and `cuad_clauses` become `classify` projects,
`feedbackqa` a `retrieve` project; `scms_delivery`, a real delivery history, is loaded into PostgreSQL and
SQLite and extracted incrementally from both; `d365bc_docs`, the procedures of a real ERP, is taken in as
a library of Markdown, Word and PDF files. The data is not part of Lading; where it is absent the benchmark
says so.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.real_data import deliveries, intents, procedures, questions

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = {
    "bitext_orders": intents.bitext,
    "clinc150": intents.clinc,
    "cuad_clauses": intents.cuad,
    "feedbackqa": questions.feedbackqa,
    "d365bc_docs": procedures.d365,
    "scms_delivery": deliveries.scms,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Build and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="*", help=f"of {', '.join(SETS)}; none: all")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--work", type=Path, help="keep the projects here; built again, work is reused")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.sets) - set(SETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as scratch:
        work = (arguments.work or Path(scratch)).resolve()
        for name in arguments.sets or SETS:
            if not (arguments.data / name).is_dir():
                print(f"{name}: skipped, no such folder in {arguments.data}; give --data DIR")
                continue
            SETS[name](arguments.data / name, work / name)


if __name__ == "__main__":
    main()
