"""Signing and verifying a bundle, against `openssl dgst -sha256` over the same bytes in the same run.

    python -m benchmarks.signing [--megabytes 500] [--rounds 7]

In turn: `openssl dgst`, the OpenSSF Model Signing signature of the folder, its verification as a site does it,
and `sign_bundle` with all that it checks before and after. The files are in the page cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fleet_manifests import BaseRef, BundleConfig, IsaClass, Task, digest_of, dump
from fleet_manifests.authors import Authors
from fleet_manifests.signature import verify_bundle
from release import Keys, assemble, sign_bundle
from release.signing import SIGNATURE_FILE, signed

GOAL = 1.3
SHARES = {"word_embeddings.bin": 0.35, "frozen.bin": 0.45, "tuned.bin": 0.19, "head.bin": 0.01}
"""Of the bytes, what each file has: as in a bundle of a large base."""
CARD = b'{"rows": 0}'


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=500, help="size of the bundle")
    parser.add_argument("--rounds", type=int, default=7, help="times that each is done, in turn")
    arguments = parser.parse_args(argv)
    if shutil.which("openssl") is None:
        print("signing: skipped, openssl is not installed")
        return
    with tempfile.TemporaryDirectory() as scratch:
        out = bundle(Path(scratch), arguments.megabytes)
        key = keys(Path(scratch))["builder"]
        (folder,) = (path for path in out.iterdir() if path.is_dir())
        signature, kept = Path(scratch, "fresh.sig"), out / SIGNATURE_FILE
        files = sorted(str(path) for path in folder.iterdir())

        def sign() -> None:
            signature.write_bytes(dump(signed(folder, key)))

        def all_of_it() -> None:
            kept.unlink(missing_ok=True)
            sign_bundle(out, key)

        steps: dict[str, Callable[[], object]] = {
            "openssl dgst": lambda: subprocess.run(
                ["openssl", "dgst", "-sha256", *files], check=True, stdout=subprocess.DEVNULL
            ),
            "sign": sign,
            "verify": lambda: verify_bundle(folder, signature, Authors(key.public_pem), name=folder.name),
            "sign_bundle": all_of_it,
        }
        times: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(arguments.rounds + 1):  # the first warms the page cache
            for name, step in steps.items():
                began = time.perf_counter()
                step()
                if number:
                    times[name].append(time.perf_counter() - began)
    report(times, arguments.megabytes)


def report(times: dict[str, list[float]], megabytes: int) -> None:
    """Medians, and ratios to openssl of the same round."""
    base = times["openssl dgst"]
    print(f"{megabytes} MB, n {len(base)}, {os.cpu_count()} cores")
    for name, found in times.items():
        ratios = [one / other for one, other in zip(found, base, strict=True)]
        said = f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        goal = f", goal {GOAL}" if name in ("sign", "verify") else ""
        print(f"{name}: {statistics.median(found):.3f} s, {said}{goal}")


def bundle(scratch: Path, megabytes: int) -> Path:
    """An assembled bundle of random bytes."""
    made = scratch / "made"
    made.mkdir()
    for name, share in SHARES.items():
        with (made / name).open("wb") as stream:
            for _ in range(max(1, round(megabytes * share))):
                stream.write(os.urandom(10**6))
    for name, content in {"model.onnx": b"graph", "tokenizer.json": b"{}", "data_card.json": CARD}.items():
        (made / name).write_bytes(content)
    config = BundleConfig(
        workflow="benchmark",
        task=Task.CLASSIFY,
        profile="edge",
        isa=IsaClass.X86_64_V3,
        recipe="int8",
        weights=tuple(SHARES),
        labels=("a", "b"),
        base=BaseRef(name="base", revision="1", digest=digest_of(b"base"), licence="Apache-2.0"),
        data_card=digest_of(CARD),
    )
    assemble({path.name: path for path in made.iterdir()}, config, scratch / "out")
    shutil.rmtree(made)
    return scratch / "out"


def keys(scratch: Path) -> Keys:
    """A key store with the builder's key."""
    found = Keys(scratch / "keys")
    found.ensure(["builder"])
    return found


if __name__ == "__main__":
    main()
