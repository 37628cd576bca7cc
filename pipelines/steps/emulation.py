"""Accuracy on a processor that is not here, emulated: a report of its own, which never stands for a measured one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import (
    AccuracyReport,
    IsaClass,
    RefusedError,
    Verdict,
    digest_of,
    dump,
    sha256_of,
)
from fleet_manifests.bundle import bundle_name
from fleet_manifests.evidence import now
from pipelines.project.load import Project
from pipelines.steps.configs import ENGINE_LIBRARIES, accuracy_policy, resolved_profile, retrieval_policy
from pipelines.steps.evidence import answers_of_models, frozen_library, judged, read_accuracy, write_report
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evals.emulation import Emulator, Missing

STEP = "emulated_accuracy_report"
SPLITS = {False: ("test",), True: ("validation", "oos_validation", "test", "oos_test")}
"""Splits that are answered, by whether the workflow retrieves: a retriever's threshold is chosen on validation."""


def emulator_of(project: Project, profile_name: str) -> Emulator | Missing:
    """What emulates the processor of a profile, or why it is not emulated here."""
    from evals import emulation
    from runtimes.engine.host import facts

    host, profile = facts(), resolved_profile(project, profile_name)
    if profile.isa is host.isa() or (profile.isa is IsaClass.X86_64 and host.architecture == "x86_64"):
        return emulation.Missing(f"{profile.isa.value}: this machine is of that class; `accuracy_report` measures it")
    return emulation.find(profile.isa)


def emulated_accuracy_report(project: Project, workflow: str, profile_name: str) -> Entry | Missing:
    """Accuracy of a build on the emulated processor of its profile, on a sample of the test split.

    Raises:
        RefusedError: the build or its accuracy report is not there, or the emulator does not emulate that class.
        LadingError: an emulated process failed.
    """
    from evals import emulation, sampling

    emulator = emulator_of(project, profile_name)
    if isinstance(emulator, emulation.Missing):
        return emulator
    name = bundle_name(workflow, profile_name)
    built = project.store.latest("bundle", name)
    entries = {step: project.store.latest(step, workflow) for step in ("corpus", "baselines", "unquantized")}
    corpus = entries["corpus"].path
    retrieves = workflow in project.retrievers
    policy = (retrieval_policy if retrieves else accuracy_policy)(project, workflow)
    there, profile = emulation.machine(emulator), resolved_profile(project, profile_name)
    here = read_accuracy(project.store.latest("accuracy_report", name))
    n = sampling.size(here.comparisons, policy.margin)
    step = Step(
        name=STEP,
        inputs={
            "bundle": built.digest, "machine": digest_of(dump(there)),
            **{role: entry.digest for role, entry in entries.items()},
        },
        parameters={"profile": profile.model_dump(mode="json"), "policy": vars(policy), "n": n},
        code=(
            "evals.*", "runtimes.engine", "runtimes.knowledge", "runtimes.measure", "pipelines.steps.emulation",
            "pipelines.steps.evidence",
        ),
        libraries=(*ENGINE_LIBRARIES, "scipy", "ir-measures"),
    )  # fmt: skip

    def work(out: Path) -> None:
        from evals.observed import Observed

        with tempfile.TemporaryDirectory() as folder:
            sampled = Path(folder)
            taken = sampling.sample(corpus, sampled, SPLITS[retrieves], n, policy.seed)
            texts = _cases(sampled, retrieves)
            given: dict[str, Any] = {
                "profile": profile,
                "bundle_digest": sha256_of(built.path / "manifest.json"),
                "policy": policy,
                "references": _references(entries, retrieves, taken["test"]),
                **(frozen_library(entries) if retrieves else {}),
            }
            found = emulation.outputs(emulator, built.path / name, texts)
            observed = Observed(found, there, now(), emulated=True)
            report = judged(built.path / name, sampled, observed, given, retrieves=retrieves)
        write_report(project, report, out)

    return project.store.keep(name, step, work)


def latest(project: Project, workflow: str, profile_name: str) -> AccuracyReport | None:
    """The latest emulated report, where there is one about the bundle as it is now."""
    name = bundle_name(workflow, profile_name)
    built = project.store.latest("bundle", name)
    try:
        report = read_accuracy(project.store.latest(STEP, name))
    except RefusedError:
        return None
    return report if report.bundle == sha256_of(built.path / "manifest.json") else None


def says(report: AccuracyReport) -> str:
    """One sentence: where, on how many items, and what fails."""
    failed = [gate for gate in report.gates if gate.verdict is Verdict.FAIL]
    why = "; ".join(f"{gate.name}: {gate.reason}" for gate in failed)
    against = next((one for one in report.comparisons if one.against == "unquantized"), None)
    figure = f"; {against.metric} {against.ours:.3f}, unquantized {against.theirs:.3f}" if against else ""
    return f"{report.machine.host.cpu_model}, {report.split.n} items: {why or 'nothing fails'}{figure}"


def _cases(sampled: Path, retrieves: bool) -> Mapping[str, list[str]]:
    """The texts to be answered; disturbed ones are left to machines that are there."""
    from evals import accuracy, retrieval
    from evals.robustness import DISTURBED

    found = (retrieval if retrieves else accuracy).cases(sampled)
    return {split: texts for split, texts in found.items() if split != DISTURBED}


def _references(entries: Mapping[str, Entry], retrieves: bool, places: list[int]) -> dict[str, Any]:
    """What other models answered to the sampled items."""
    fitted = answers_of_models(entries, retrieves=retrieves)
    whole = {model: found["test"] for model, found in fitted.items()}
    return whole if retrieves else {model: [found[place] for place in places] for model, found in whole.items()}
