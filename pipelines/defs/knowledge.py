"""Group `release`, knowledge packs: one partition per retriever and profile; a pack per class of sites."""

from typing import Any

import dagster as dg

from fleet_manifests import KnowledgeReport, PackConfig, Verdict, parse
from fleet_manifests.knowledge import PACK_FILE
from pipelines.defs import show
from pipelines.defs.partitions import build_of, packs
from pipelines.project.load import Project
from pipelines.steps import knowledge as steps
from pipelines.steps.evidence import read_knowledge
from pipelines.steps.packs import site_classes
from pipelines.store import Entry


def build(project: Project) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The asset and its check; none where no workflow retrieves."""
    if not project.retrievers:
        return [], []
    partitions = packs(project)

    @dg.asset(
        group_name="release",
        partitions_def=partitions,
        deps=[
            dg.AssetDep("bundle", partition_mapping=_same_build()),
            *(["sop_documents"] if project.libraries else []),
        ],
        kinds={"sigstore"},
    )
    def knowledge_pack(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The library as it is now, embedded for the retriever of a profile, signed, and measured, per site class."""
        made = steps.knowledge_packs(project, *build_of(context))
        return _outcome(made)

    @dg.asset_check(asset=knowledge_pack, partitions_def=partitions)
    def knowledge_gate(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """The evidence of every pack says `pass`."""
        workflow, profile = build_of(context)
        reports = [
            read_knowledge(steps.evidence_of(project, workflow, profile, name))
            for name in site_classes(project, profile)
        ]
        failed = any(report.verdict is Verdict.FAIL for report in reports)
        return dg.AssetCheckResult(
            passed=all(report.verdict is Verdict.PASS for report in reports),
            severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
            metadata={report.site_class: show.gates(report.gates) for report in reports},
        )

    return [knowledge_pack], [knowledge_gate]


def _same_build() -> dg.PartitionMapping:
    """A pack of a build needs the bundle of that build, though bundles have more partitions than packs."""
    same = dg.DimensionPartitionMapping
    return dg.MultiPartitionMapping(
        {name: same(name, dg.IdentityPartitionMapping()) for name in ("workflow", "profile")}
    )


def _outcome(made: list[tuple[Entry, Entry]]) -> dg.MaterializeResult[None]:
    rows: list[tuple[object, ...]] = []
    metadata: dict[str, dg.MetadataValue[Any]] = {}
    for pack, evidence in made:
        report, config = read_knowledge(evidence), _config(pack)
        rows.append((
            report.site_class, report.verdict.value, config.passages, config.data_class.value, config.encrypted,
            *_figures(report), config.fusion.dense_weight, config.defer_threshold, report.bundle[:19], pack.reused,
        ))  # fmt: skip
        metadata |= {
            f"{report.site_class}: {name}": value for name, value in show.page([report], evidence.path).items()
        }
    head = ["site class", "verdict", "passages", "data class", "encrypted", "nDCG@10", "recall@5", "coverage",
            "dense weight", "defers below", "pack", "reused"]  # fmt: skip
    digest = "-".join(entry.digest.removeprefix("sha256:")[:16] for pair in made for entry in pair)
    return dg.MaterializeResult(
        metadata={"packs": show.table(head, rows), **metadata}, data_version=dg.DataVersion(digest or "none")
    )


def _config(pack: Entry) -> PackConfig:
    (path,) = (pack.path / "pack").glob(f"*/{PACK_FILE}")
    return parse(PackConfig, path.read_bytes(), where=str(path))


def _figures(report: KnowledgeReport) -> tuple[float, float, float]:
    first, second, third = (report.metric(name).value for name in ("ndcg_at_10", "recall_at_5", "coverage"))
    return first, second, third
