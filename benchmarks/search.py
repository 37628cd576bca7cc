"""How long the search over every legal recipe takes for one workflow and profile, and how much memory.

A project that is built (`make demo` leaves one) is copied, and what its own searches made is removed from the copy:
builds, evaluations, times. So the search begins with the exported model and what the unquantized one answers.
OpenVINO's recipes are in it where OpenVINO and NNCF can be imported.

    python -m benchmarks.search --project demo --workflow exception_triage sop_assistant
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.children import Measured, measured
from fleet_manifests.bundle import bundle_name
from pipelines.project.load import load_project
from pipelines.steps.builds import quantized_model
from pipelines.steps.configs import resolved_profile
from quantize.recipes import RECIPES

SECONDS, MEMORY_GIB = 240, 1.5
"""Goals, on 2 idle cores."""
SEARCHED = (
    "quantized_model", "recipe_build", "recipe_evaluation", "recipe_timing", "prepared_graph", "unquantized_disturbed",
)  # fmt: skip
"""Steps that a search does."""
WORKFLOWS, PROFILE = ("exception_triage", "document_intake", "sop_assistant"), "edge-x86-vnni"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path("demo"), help="a project that is built")
    parser.add_argument("--workflow", nargs="+", default=list(WORKFLOWS))
    parser.add_argument("--profile", default=PROFILE)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.work:
        quantized_model(load_project(given.project), given.workflow[0], given.profile)
        return
    for workflow in given.workflow:
        with tempfile.TemporaryDirectory(dir=given.project.resolve().parent) as folder:
            copy = copied(given.project, Path(folder) / "project", given.profile)
            named = ["--project", str(copy), "--workflow", workflow, "--profile", given.profile]
            found = measured([sys.executable, "-m", "benchmarks.search", *named, "--work"], dict(os.environ))
            store = load_project(copy).store
            build = store.latest("quantized_model", bundle_name(workflow, given.profile))
            trials = json.loads((build.path / "search.json").read_text())
            spent = {step: seconds(store.root / step) for step in SEARCHED}
        say(workflow, given.profile, trials, spent, found)


def say(
    workflow: str,
    profile: str,
    trials: Sequence[Mapping[str, Any]],
    spent: Mapping[str, Sequence[float]],
    found: Measured,
) -> None:
    """Print what a search took, phase by phase, and what became of the recipes."""
    outcomes = Counter(trial["outcome"] for trial in trials)
    chosen = next(trial["recipe"] for trial in trials if trial["outcome"] == "chosen")
    print(f"{workflow} on {profile}: {len(trials)} recipes, {chosen} chosen")
    print(f"{'':>4}{', '.join(f'{count} {name}' for name, count in sorted(outcomes.items()))}")
    for trial in trials:
        if trial["outcome"] in ("failed", "pruned"):
            print(f"{'':>4}{trial['outcome']} {trial['recipe']}: {trial['reason']}")
    for step, some in spent.items():
        if some:
            print(f"{'':>8}{step:<24}{len(some):>4} in {sum(some):6.1f} s, the longest {max(some):5.1f} s")
    parts = sum(sum(spent[step]) for step in ("recipe_build", "recipe_evaluation", "recipe_timing"))
    rest = sum(spent["quantized_model"]) - parts
    print(f"{'':>8}{'choosing, calibrating':<24}{'':>4} in {rest:6.1f} s")
    print(
        f"{'':>4}{found.seconds:.0f} s (goal {SECONDS} s), all processes {found.together / 2**30:.2f} GiB "
        f"(goal {MEMORY_GIB} GiB), the largest {found.largest / 2**30:.2f} GiB",
        flush=True,
    )


def seconds(step: Path) -> list[float]:
    """How long each entry of a step took; what another one asked for is in that one's time too."""
    return [json.loads(path.read_text())["seconds"] for path in step.glob("*/entry.json")]


def copied(project: Path, out: Path, profile: str) -> Path:
    """A copy of a project without what its searches made, whose profile allows every recipe of its ISA."""
    state = Path(".lading")
    out.mkdir()
    for path in project.iterdir():
        if path.is_dir() and path.name not in (state.name, "public"):
            shutil.copytree(path, out / path.name)
        elif path.is_file():
            shutil.copyfile(path, out / path.name)
    shutil.copytree(
        project / state / "store",
        out / state / "store",
        ignore=shutil.ignore_patterns(*SEARCHED),
        copy_function=os.link,
    )
    isa = resolved_profile(load_project(out), profile).isa
    legal = ", ".join(recipe.name for recipe in RECIPES.values() if isa in recipe.isa)
    path = out / "profiles" / f"{profile}.yaml"
    kept = [line for line in path.read_text().splitlines() if not line.startswith("recipes:")]
    path.write_text("\n".join([*kept, f"recipes: [{legal}]"]) + "\n")
    return out


if __name__ == "__main__":
    main()
