"""Evidence about knowledge packs: what their retriever finds in them, on test questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import KnowledgeReport, Measurement, PackConfig, digest_of, dump, sha256_of, worst
from fleet_manifests.bundle import bundle_name
from fleet_manifests.evidence import now
from fleet_manifests.knowledge import library_digest, pack_name
from pipelines.project.load import Project
from pipelines.steps import retrievers
from pipelines.steps.configs import resolved_profile, retrieval_policy
from pipelines.steps.evidence import read_knowledge, write_report
from pipelines.steps.library import passages as library_of
from pipelines.steps.outdated import forget_outdated
from pipelines.steps.packs import askable, library_at, open_made, pack, site_classes
from pipelines.steps.received import Judged, counting, received
from pipelines.steps.reports import write_page
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evals.questions import Question, QuestionSplit

STEP = "knowledge_report"


def knowledge_packs(project: Project, workflow: str, profile_name: str) -> list[tuple[Entry, Entry]]:
    """The signed pack of each class of sites that may run a profile, and its evidence."""
    return [
        (pack(project, workflow, profile_name, name), report(project, workflow, profile_name, name))
        for name in site_classes(project, profile_name)
        if library_at(project, workflow, profile_name, name)
    ]


def report(project: Project, workflow: str, profile_name: str, site_class: str) -> Entry:
    """What the retriever finds in the pack, on test questions, against the frozen base and BM25 on the same library."""
    entry = _report(project, workflow, profile_name, site_class, None)
    project.store.point(pack_name(workflow, profile_name, site_class), STEP, entry)
    return entry


def evidence_of(project: Project, workflow: str, profile_name: str, site_class: str) -> Entry:
    """The report that counts for a pack: the factory's own, or that of a device where it must be.

    A device does not search packs; it says what its retriever makes of the test questions, and the factory searches
    with that.

    Raises:
        RefusedError: the pack has no report of its own.
    """
    own = project.store.latest(STEP, pack_name(workflow, profile_name, site_class))
    others = [
        _report(project, workflow, profile_name, site_class, seen) for seen in received(project, workflow, profile_name)
    ]
    place = counting(read_knowledge(own), [read_knowledge(other) for other in others])
    return own if place is None else others[place]


def _report(project: Project, workflow: str, profile_name: str, site_class: str, seen: Judged | None) -> Entry:
    """A report about a pack as this machine, or a device that was seen, embeds the questions."""
    name = pack_name(workflow, profile_name, site_class)
    made = project.store.latest("knowledge_pack", name)
    bundle = project.store.latest("bundle", bundle_name(workflow, profile_name))
    corpus = project.store.latest("corpus", workflow)
    from runtimes.engine.host import machine

    where, profile = seen.receipt.machine if seen else machine(), resolved_profile(project, profile_name)
    library = library_at(project, workflow, profile_name, site_class)
    everything, _ = library_of(project, workflow)
    policy = retrieval_policy(project, workflow)
    step = Step(
        name=STEP,
        inputs={"pack": made.digest, "bundle": bundle.digest, "corpus": corpus.digest,
                "everything": library_digest(everything), "machine": digest_of(dump(where)),
                **({"receipt": seen.digest} if seen else {})},
        parameters={"profile": profile.model_dump(mode="json"), "policy": asdict(policy)},
        code=("evals", "runtimes.engine", "runtimes.knowledge", "pipelines.steps.knowledge"),
        libraries=(*retrievers.LIBRARIES, "scipy", "ir-measures"),
    )  # fmt: skip

    def work(out: Path) -> None:
        from evals.figures import figures
        from evals.gates import on_hardware
        from evals.pages.report import Setting
        from evals.questions import read_questions, read_unanswered
        from evals.searches import search_vectors

        split, outside = read_questions(corpus.path, "test"), read_unanswered(corpus.path, "oos_test")
        asked, lost = askable(split.questions, library, everything=everything)
        opened = open_made(project, made, site_class)
        given = seen.outputs if seen else _embedded(bundle.path / bundle_name(workflow, profile_name), split, outside)
        places = {question.id: place for place, question in enumerate(split.questions)}
        searched = search_vectors(opened, given["test"][[places[question.id] for question in asked]], asked)
        found = figures(
            searched,
            search_vectors(opened, given["oos_test"], outside) if outside else None,
            references={
                "unquantized": retrievers.rankings(opened, retrievers.unquantized(project, workflow), asked),
                "bm25": searched.lexical,
            },
            documents=retrievers.documents_of(library),
            threshold=opened.config.defer_threshold,
            policy=policy,
        )
        mismatch = profile.mismatch(where.host)
        judged = on_hardware(found.gates, mismatch)
        report = KnowledgeReport(
            workflow=workflow,
            profile=profile_name,
            bundle=sha256_of(made.path / "pack" / "manifest.json"),
            taken=seen.receipt.taken if seen else now(),
            measurement=Measurement.MEASURED if mismatch is None else Measurement.ABSENT,
            machine=where,
            metrics=found.metrics,
            gates=judged,
            verdict=worst(gate.verdict for gate in judged),
            site_class=site_class,
            retriever=opened.config.retriever,
            split=split.ref.model_copy(update={"n": len(asked)}),
            comparisons=found.comparisons,
            out_of_scope=found.out_of_scope,
            reliability=found.reliability,
            risk=found.risk,
            slices=found.slices,
            lost=lost,
            site=seen.receipt.site if seen else None,
            receipt=seen.digest if seen else None,
        )
        write_report(project, report, out)
        write_page(out, [report], Setting(profile, opened.config.defer_threshold, _facts(opened.config)))

    if seen is None:
        forget_outdated(project, step, read_knowledge)
    return project.store.run(step, work)


def _embedded(bundle: Path, split: QuestionSplit, outside: Sequence[Question]) -> dict[str, NDArray[np.float32]]:
    """What a retriever makes of questions on this machine, [questions, dimension] by split, as a device's receipt."""
    from runtimes.engine import load_embedder

    embedder = load_embedder(bundle)
    asked = {"test": split.questions, **({"oos_test": outside} if outside else {})}
    return {name: embedder.embeddings([one.text for one in some]) for name, some in asked.items()}


def _facts(config: PackConfig) -> dict[str, str]:
    """What the pack says of itself."""
    return {
        "library": f"{config.passages:,} passages, data class {config.data_class.value}, "
        f"{'encrypted' if config.encrypted else 'in the clear'}",
        "searched by": f"bundle {config.retriever[7:19]}, dense weight {config.fusion.dense_weight:g}",
        "answers": f"from a confidence of {config.defer_threshold:.3f} on, for {config.target_precision:.0%} precision",
    }
