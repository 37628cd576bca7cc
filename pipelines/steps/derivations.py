"""What lets a site compute the tuned weights of a build: the base as it travels, the adapter, the plan."""

from __future__ import annotations

import shutil
from pathlib import Path

from fleet_manifests import IntegrityError, RefusedError, dump, sha256_of
from fleet_manifests.bundle import TUNED, bundle_name
from fleet_manifests.updates import ADAPTER_FILE, BASE_FILE, PLAN_FILE
from pipelines.project.load import Project
from pipelines.steps.models import base_of
from pipelines.store import Entry, Step


def derivation(project: Project, workflow: str, profile: str) -> Path | None:
    """A folder with base, adapter and plan of a build; None where its weights cannot be derived.

    Raises:
        IntegrityError: what the plan gives is not what the build has.
    """
    try:
        build = project.store.latest("quantized_model", bundle_name(workflow, profile))
        model = project.store.latest("merged_model", workflow)
    except RefusedError:
        return None  # a kind of model that has no adapter
    if not (build.path / TUNED).is_file() or not (model.path / ADAPTER_FILE).is_file():
        return None
    base = travelling_base(project, workflow)
    step = Step(
        name="derivation",
        inputs={"build": build.digest, "model": model.digest, "base": base.digest},
        parameters={},
        code=("quantize.derivable", "runtimes.derive", "pipelines.steps.derivations"),
        libraries=("onnx", "numpy"),
    )

    def work(out: Path) -> None:
        from quantize.derivable import describe
        from runtimes.derive import derive

        adapter = model.path / ADAPTER_FILE
        plan = describe(build.path, base.path / BASE_FILE, adapter)
        if plan is None:
            (out / "none").write_text("the tuned weights of this build are not what the rule gives\n")
            return
        tuned = build.path / TUNED
        derive(plan, base.path / BASE_FILE, adapter, out / TUNED, tuned.stat().st_size)
        if sha256_of(out / TUNED) != sha256_of(tuned):
            raise IntegrityError(f"{tuned}: its plan gives other bytes; report this")
        (out / TUNED).unlink()
        (out / PLAN_FILE).write_bytes(dump(plan))
        _link(adapter, out / ADAPTER_FILE)
        _link(base.path / BASE_FILE, out / BASE_FILE)

    found = project.store.run(step, work)
    return found.path if (found.path / PLAN_FILE).is_file() else None


def travelling_base(project: Project, workflow: str) -> Entry:
    """The linear layers of a workflow's base in bfloat16, named as in the merged model."""
    base, model = base_of(project, workflow), project.store.latest("merged_model", workflow)
    from runtimes.derive import read_adapter

    layers = sorted(read_adapter(model.path / ADAPTER_FILE).updates)
    step = Step(
        name="travelling_base",
        inputs={"base": base.ref.digest},
        parameters={"layers": layers},
        code=("training.compact", "runtimes.derive", "pipelines.steps.derivations"),
        libraries=("numpy",),
    )

    def work(out: Path) -> None:
        from training.compact import write_base

        write_base(base.path, layers, out / BASE_FILE)

    return project.store.run(step, work)


def _link(source: Path, target: Path) -> None:
    """The same file once more; a copy where the disk has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
