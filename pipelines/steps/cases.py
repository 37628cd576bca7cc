"""The texts that a device runs to measure a build: which they are, and how they may travel."""

from __future__ import annotations

from pathlib import Path

from fleet_manifests import MeasurementCases, dump
from fleet_manifests.knowledge import OPEN_CLASSES
from fleet_manifests.receipt import MAX_CASES_BYTES
from pipelines.project.load import Project
from pipelines.steps.models import rows
from pipelines.steps.packs import pack_recipient, site_classes
from pipelines.store import Step

PLAIN, SEALED = "cases.json", "cases.json.age"


def cases_of(project: Project, workflow: str) -> MeasurementCases:
    """The cases of a workflow's corpus, without their labels."""
    from evals import accuracy, retrieval
    from runtimes.measure.process import sampled

    corpus = project.store.latest("corpus", workflow).path
    texts = (retrieval if workflow in project.retrievers else accuracy).cases(corpus)
    return MeasurementCases(
        workflow=workflow,
        texts={split: tuple(some) for split, some in texts.items()},
        latency=sampled([row["text"] for row in rows(corpus, "validation")]),
    )


def offered_cases(project: Project, workflow: str, profile_name: str) -> Path | None:
    """The file with the cases of a build as it may be published, or None where it may not: see `why_not`.

    Cases above data class `internal` are encrypted to the classes of sites that may have them.
    """
    if why_not(project, workflow, profile_name) is not None:
        return None
    closed = not project.workflow(workflow).data_classes <= OPEN_CLASSES
    recipients = _recipients(project, workflow, profile_name) if closed else {}
    step = Step(
        name="measurement_cases",
        inputs={"corpus": project.store.latest("corpus", workflow).digest},
        parameters={"workflow": workflow, "recipients": sorted(recipients.values())},
        code=(
            "evals.accuracy",
            "evals.disturbances",
            "evals.retrieval",
            "pipelines.steps.cases",
            "runtimes.measure.process",
        ),
        libraries=("pyrage",),
    )

    def work(out: Path) -> None:
        import pyrage

        raw = dump(cases_of(project, workflow))
        if not closed:
            (out / PLAIN).write_bytes(raw)
            return
        keys = [pyrage.x25519.Recipient.from_str(one) for one in sorted(recipients.values())]
        (out / SEALED).write_bytes(pyrage.encrypt(raw, keys))

    return project.store.run(step, work).path / (SEALED if closed else PLAIN)


def why_not(project: Project, workflow: str, profile_name: str) -> str | None:
    """Why no device can measure a build, or None where one can."""
    classes = project.workflow(workflow).data_classes
    if not classes <= OPEN_CLASSES and not _allowed(project, workflow, profile_name):
        above = ", ".join(sorted(classes - OPEN_CLASSES))
        return f"its texts are of data class {above}, which no class of sites that may run {profile_name} may have"
    if (size := len(dump(cases_of(project, workflow)))) > MAX_CASES_BYTES:
        return f"its texts have {size} bytes, a device is given at most {MAX_CASES_BYTES}"
    return None


def _allowed(project: Project, workflow: str, profile_name: str) -> list[str]:
    """The classes of sites that may have the texts of a workflow and run a profile."""
    classes = project.workflow(workflow).data_classes
    return [name for name, allowed in site_classes(project, profile_name).items() if classes <= allowed]


def _recipients(project: Project, workflow: str, profile_name: str) -> dict[str, str]:
    """The public key of each class of sites that may have the texts."""
    return {name: pack_recipient(project, name) for name in _allowed(project, workflow, profile_name)}
