"""What an update of one workflow moves, as a share of its full compressed model.

Three adapters of one corpus: the first; a warm retrain (one more epoch from the first, a tenth of its learning rates,
another seed); an independent retrain (another seed, from the base). Each is merged, exported and quantized by the
factory's code, with a lexical head where the workflow is to have one, and every blob that changed is had as a site has
it: by the cheaper of its compressed copy and its delta from the first, or derived of base and adapter. Every result is
rebuilt and compared with what was built. What a delta costs at least is told by `benchmarks.entropies`.

The derivation is repeated under emulated processors, where QEMU is installed.

    python -m benchmarks.updates --project demo
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.entropies import limits
from evals import emulation
from fleet_manifests import Descriptor, IsaClass, digest_of, dump, parse, sha256_of
from fleet_manifests.bundle import TUNED
from fleet_manifests.updates import ADAPTER_FILE, DELTA_TYPE, PATCH, SUBTRACT, WHOLE, Content, Delta
from pipelines.project.load import load_project
from pipelines.steps.models import base_of, rows
from quantize import RECIPES, apply, export_onnx
from quantize.derivable import describe
from quantize.lexical_head import Lexical
from release.deltas import packed
from runtimes.derive import Plan, derive, read_adapter
from runtimes.sync.rebuild import rebuild
from training.arguments import TuneArguments
from training.bases import ResolvedBase
from training.compact import write_base
from training.finetune import finetune
from training.lexical_head import FILE, fit_lexical_head
from training.merge import merge
from training.model import load_merged

GOALS = {"warm": 0.06, "independent": 0.25, "derived": 0.04}
FULL_LEVEL = 19
SHIPPED = ("model.onnx", "word_embeddings.bin", "frozen.bin", TUNED, "head.bin", "tokenizer.json")
PROGRAM = (
    "import sys; from pathlib import Path; from fleet_manifests import parse, sha256_of; "
    "from runtimes.derive import Plan, derive; plan, base, adapter, out, limit = sys.argv[1:]; "
    "derive(parse(Plan, Path(plan).read_bytes()), Path(base), Path(adapter), Path(out), int(limit)); "
    "print(sha256_of(Path(out)))"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path("demo"), help="a project with a corpus of the workflow")
    parser.add_argument("--workflow", default="document_intake")
    parser.add_argument("--recipe", default="int8", choices=sorted(RECIPES))
    parser.add_argument("--keep", type=Path, help="a folder for the adapters; those that it has are used again")
    given = parser.parse_args(argv)
    project = load_project(given.project)
    corpus, base = project.store.latest("corpus", given.workflow).path, base_of(project, given.workflow)
    arguments = project.workflow(given.workflow).training
    assert isinstance(arguments, TuneArguments)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        adapters = trained(corpus, base, arguments, given.keep or work / "adapters")
        texts = [row["text"] for row in rows(corpus, "validation")[:50]]
        fit = (corpus, arguments) if arguments.lexical_head else None
        builds = {name: built(path, base, texts, given.recipe, work / name, fit) for name, path in adapters.items()}
        layers = sorted(read_adapter(adapters["first"] / ADAPTER_FILE).updates)
        write_base(base.path, layers, work / "base.bin")
        report(builds, adapters, work)


def trained(corpus: Path, base: ResolvedBase, arguments: TuneArguments, out: Path) -> dict[str, Path]:
    """The three adapters."""
    folders = {name: out / name for name in ("first", "warm", "independent")}
    gentle = {"epochs": 1, "learning_rate": arguments.learning_rate / 10}
    gentle["head_learning_rate"] = arguments.head_learning_rate / 10
    told = {
        "first": arguments,
        "warm": arguments.model_copy(update={**gentle, "seed": arguments.seed + 1}),
        "independent": arguments.model_copy(update={"seed": arguments.seed + 1}),
    }
    for name, folder in folders.items():
        if not folder.is_dir():
            begun = time.monotonic()
            _tune(corpus, base, told[name], folder, folders["first"] if name == "warm" else None)
            print(f"trained {name} in {time.monotonic() - begun:.0f} s", flush=True)
    return folders


def _tune(corpus: Path, base: ResolvedBase, arguments: TuneArguments, out: Path, start: Path | None) -> None:
    """Tune, from another adapter where one is given."""
    from unittest import mock

    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    from training import finetune as module
    from training.adapters import with_lora

    make = with_lora

    def started(*given: Any, **more: Any) -> Any:
        model = make(*given, **more)
        if start is not None:
            set_peft_model_state_dict(model, load_file(start / "adapter_model.safetensors"))
        return model

    with mock.patch.object(module, "with_lora", started):
        finetune(corpus, base, arguments, out)


def built(
    adapter: Path,
    base: ResolvedBase,
    texts: Sequence[str],
    recipe: str,
    out: Path,
    fit: tuple[Path, TuneArguments] | None,
) -> Path:
    """The build of an adapter, with the best lexical head of its corpus where it is fitted one."""
    merge(adapter, base, out / "merged")
    head = fit_lexical_head(fit[0], out / "merged", fit[1]).head if fit else None
    if head is not None:
        head.save(out / FILE)
    lexical = Lexical(out / FILE, head.scores) if head else None
    export_onnx(out / "merged", out / "onnx", load=load_merged, texts=texts, lexical=lexical)
    apply(RECIPES[recipe], out / "onnx", out / "build")
    return out / "build"


def report(builds: dict[str, Path], adapters: dict[str, Path], work: Path) -> None:
    """Measure and print."""
    import zstandard

    packer = zstandard.ZstdCompressor(level=FULL_LEVEL)
    shipped = [path for name in SHIPPED if (path := builds["first"] / name).is_file()]
    full = sum(len(packer.compress(path.read_bytes())) for path in shipped)
    size = sum(path.stat().st_size for path in shipped)
    print(f"full model: {size / 1e6:.2f} MB, compressed (zstd-{FULL_LEVEL}) {full / 1e6:.2f} MB")
    base = work / "base.bin"
    print(
        f"the base as it travels: {base.stat().st_size / 1e6:.2f} MB, compressed {_whole(base) / full:.3f} of the full"
    )
    for name in ("warm", "independent"):
        moved = {path.name: _moved(path, builds["first"] / path.name, work) for path in _shipped(builds[name])}
        print(f"{name}: " + ", ".join(f"{file} {size / full:.4f}" for file, size in moved.items()) + " of the full")
        rest = sum(size for file, size in moved.items() if file != TUNED)
        _say(name, "by delta", rest + moved[TUNED], full, GOALS[name])
        plan = describe(builds[name], base, adapters[name] / ADAPTER_FILE)
        assert plan is not None, "the tuned weights are not what the rule gives"
        files = builds[name] / TUNED, builds["first"] / TUNED
        _say_limits(files, plan, base, (adapters[name], adapters["first"]), full)
        (work / "plan.json").write_bytes(dump(plan))
        seconds = _derived(builds[name] / TUNED, work, adapters[name] / ADAPTER_FILE)
        mine, first = (adapters[one] / ADAPTER_FILE for one in (name, "first"))
        adapter = min(_whole(mine), _moved(mine, first, work))
        _say(name, f"derived in {seconds:.2f} s", rest + adapter, full, GOALS["derived"])
    for isa in (IsaClass.X86_64_V3, IsaClass.ARM64_DOTPROD):
        said = _emulated(isa, builds["independent"] / TUNED, work, adapters["independent"] / ADAPTER_FILE)
        print(f"derived under {said}")


def _say(name: str, how: str, moved: int, full: int, goal: float) -> None:
    """Print a figure beside its goal."""
    said = "met" if moved / full <= goal else "missed"
    print(
        f"{name:>12} {how:<18} {moved / 1e6:6.3f} MB {moved / full:.4f} of the full; at most {goal}: {said}", flush=True
    )


def _say_limits(files: tuple[Path, Path], plan: Plan, base: Path, adapters: tuple[Path, Path], full: int) -> None:
    """Print what a delta of the tuned weights costs at least."""
    mine, first = (read_adapter(one / ADAPTER_FILE) for one in adapters)
    found = limits(*files, plan, base, (mine, first))
    for what, size in (
        ("of the difference", found.difference),
        ("of the difference, if spreads of rows and columns are known", found.spread),
        ("of what old codes and both adapters leave open (adapters not counted)", found.predicted),
    ):
        print(f"{'':>12} entropy {what}: {size / 1e6:.3f} MB, {size / full:.4f}")
    print(f"{'':>12} scales as they are: {found.scales / 1e6:.3f} MB, {found.scales / full:.4f}")


def _shipped(build: Path) -> list[Path]:
    return [path for name in SHIPPED if (path := build / name).is_file()]


def _whole(path: Path) -> int:
    """Size of a file compressed as it is published."""
    return min(path.stat().st_size, len(packed(path.read_bytes(), WHOLE)))


def _moved(path: Path, before: Path, work: Path) -> int:
    """Bytes that a site which has `before` fetches for a file; proves that they suffice."""
    target, old = path.read_bytes(), before.read_bytes()
    if target == old:
        return 0
    method = SUBTRACT if len(target) == len(old) else PATCH
    payload = packed(target, method, old)
    (work / "payload").write_bytes(payload)
    named = Descriptor(media_type=DELTA_TYPE, digest=digest_of(payload), size=len(payload))
    new, known = (Content(digest=digest_of(raw), size=len(raw)) for raw in (target, old))
    rebuild(Delta(target=new, method=method, base=known, payload=named), work / "payload", before, work / "out")
    assert sha256_of(work / "out") == new.digest
    return min(len(payload), _whole(path))


def _derived(tuned: Path, work: Path, adapter: Path) -> float:
    """Seconds of a derivation that gives what was built."""
    begun = time.monotonic()
    plan = parse(Plan, (work / "plan.json").read_bytes())
    derive(plan, work / "base.bin", adapter, work / "out", tuned.stat().st_size)
    seconds = time.monotonic() - begun
    assert sha256_of(work / "out") == sha256_of(tuned)
    return seconds


def _emulated(isa: IsaClass, tuned: Path, work: Path, adapter: Path) -> str:
    """What the same derivation gives on another processor."""
    found = emulation.find(isa)
    if isinstance(found, emulation.Missing):
        return f"{isa.value}: not measured: {found.reason}"
    files = [work / "plan.json", work / "base.bin", adapter, work / "emulated", tuned.stat().st_size]
    here = str(Path(__file__).resolve().parent.parent)
    paths = ":".join([here, *filter(None, [found.environment.get("PYTHONPATH")])])
    command = [*found.python, "-c", PROGRAM, *map(str, files)]
    begun = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": paths}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    same = said.stdout.strip() == sha256_of(tuned)
    return f"{found.model}: {'the same digest' if same else 'ANOTHER DIGEST'} ({time.monotonic() - begun:.0f} s)"


if __name__ == "__main__":
    main()
