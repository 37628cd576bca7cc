"""Evidence about knowledge packs: what their retriever finds in them, on test questions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fleet_manifests import KnowledgeReport, Measurement, PackConfig, digest_of, dump, sha256_of, worst
from fleet_manifests.bundle import bundle_name
from fleet_manifests.evidence import now
from fleet_manifests.knowledge import library_digest, pack_name
from pipelines.project.load import Project
from pipelines.steps import retrievers
from pipelines.steps.configs import resolved_profile, retrieval_policy
from pipelines.steps.evidence import write_report
from pipelines.steps.library import passages as library_of
from pipelines.steps.packs import askable, library_at, open_made, pack, site_classes
from pipelines.steps.reports import write_page
from pipelines.store import Entry, Step


def knowledge_packs(project: Project, workflow: str, profile_name: str) -> list[tuple[Entry, Entry]]:
    """The signed pack of each class of sites that may run a profile, and its evidence."""
    return [
        (pack(project, workflow, profile_name, name), report(project, workflow, profile_name, name))
        for name in site_classes(project, profile_name)
        if library_at(project, workflow, profile_name, name)
    ]


def report(project: Project, workflow: str, profile_name: str, site_class: str) -> Entry:
    """What the retriever finds in the pack, on test questions, against the frozen base and BM25 on the same library."""
    name = pack_name(workflow, profile_name, site_class)
    made = project.store.latest("knowledge_pack", name)
    bundle = project.store.latest("bundle", bundle_name(workflow, profile_name))
    corpus = project.store.latest("corpus", workflow)
    from runtimes.engine.host import machine

    here, profile = machine(), resolved_profile(project, profile_name)
    library = library_at(project, workflow, profile_name, site_class)
    everything, _ = library_of(project, workflow)
    policy = retrieval_policy(project, workflow)
    step = Step(
        name="knowledge_report",
        inputs={"pack": made.digest, "bundle": bundle.digest, "corpus": corpus.digest,
                "everything": library_digest(everything), "machine": digest_of(dump(here))},
        parameters={"profile": profile.model_dump(mode="json"), "policy": asdict(policy)},
        code=("evals", "runtimes.engine", "runtimes.knowledge", "pipelines.steps.knowledge"),
        libraries=(*retrievers.LIBRARIES, "scipy", "ir-measures"),
    )  # fmt: skip

    def work(out: Path) -> None:
        from evals.figures import figures
        from evals.gates import on_hardware
        from evals.pages.report import Setting
        from evals.questions import read_questions, read_unanswered
        from evals.searches import search_all
        from runtimes.engine import load_embedder

        split, outside = read_questions(corpus.path, "test"), read_unanswered(corpus.path, "oos_test")
        asked, lost = askable(split.questions, library, everything=everything)
        opened = open_made(project, made, site_class)
        embedder = load_embedder(bundle.path / bundle_name(workflow, profile_name))
        searched = search_all(opened, embedder, asked)
        found = figures(
            searched,
            search_all(opened, embedder, outside) if outside else None,
            references={
                "unquantized": retrievers.rankings(opened, retrievers.unquantized(project, workflow), asked),
                "bm25": searched.lexical,
            },
            documents=retrievers.documents_of(library),
            threshold=opened.config.defer_threshold,
            policy=policy,
        )
        mismatch = profile.mismatch(here.host)
        judged = on_hardware(found.gates, mismatch)
        report = KnowledgeReport(
            workflow=workflow,
            profile=profile_name,
            bundle=sha256_of(made.path / "pack" / "manifest.json"),
            taken=now(),
            measurement=Measurement.MEASURED if mismatch is None else Measurement.ABSENT,
            machine=here,
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
        )
        write_report(project, report, out)
        write_page(out, [report], Setting(profile, opened.config.defer_threshold, _facts(opened.config)))

    return project.store.keep(name, step, work)


def _facts(config: PackConfig) -> dict[str, str]:
    """What the pack says of itself."""
    return {
        "library": f"{config.passages:,} passages, data class {config.data_class.value}, "
        f"{'encrypted' if config.encrypted else 'in the clear'}",
        "searched by": f"bundle {config.retriever[7:19]}, dense weight {config.fusion.dense_weight:g}",
        "answers": f"from a confidence of {config.defer_threshold:.3f} on, for {config.target_precision:.0%} precision",
    }
