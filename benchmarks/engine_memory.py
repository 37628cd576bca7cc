"""Private memory of a process that answers with one build, in bytes; of its imports alone where no build is named.

echo '["some", "texts"]' | python -m benchmarks.engine_memory [BUILD]
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import psutil

from benchmarks.engines import opened


def main() -> None:
    """Answer the texts and print the unique set size."""
    for name in ("numpy", "onnxruntime", "tokenizers"):
        importlib.import_module(name)
    texts = json.load(sys.stdin)
    if sys.argv[1:] and sys.argv[1]:
        engine = opened(Path(sys.argv[1]))
        for text in texts:
            engine.query(text)
    print(psutil.Process().memory_full_info().uss)


if __name__ == "__main__":
    main()
