"""Group `corpora`: raw tables in the lake, and the rows of each workflow."""

import dagster as dg

from fleet_manifests import digest_of
from pipelines.defs import show
from pipelines.defs.partitions import workflows
from pipelines.project.load import Project
from pipelines.sources import lake_digest
from pipelines.steps import corpora as steps
from pipelines.steps import library


def build(project: Project) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The assets of this group and their checks."""
    partitions = workflows(project)

    @dg.asset(group_name="corpora", kinds={"dlt", "duckdb"})
    def erp_tables(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Tables of every source, loaded incrementally; only columns that some workflow may see leave a source."""
        reports = steps.erp_tables(project)
        rows = [
            (
                f"{report.source}.{name}",
                table.rows_loaded,
                table.rows_total,
                ", ".join(table.taken),
                _withheld(table.withheld),
            )
            for report in reports
            for name, table in report.tables.items()
        ]
        changes = [
            (f"{report.source}.{name}", change)
            for report in reports
            for name, table in report.tables.items()
            for change in table.changes
        ]
        digest = lake_digest(project.lake)
        return dg.MaterializeResult(
            metadata={
                "rows_loaded": dg.MetadataValue.int(sum(report.rows_loaded for report in reports)),
                "tables": show.table(["table", "new rows", "rows", "taken", "withheld (data class)"], rows),
                "schema_changes": show.table(["table", "change"], changes),
                "digest": dg.MetadataValue.text(digest),
            },
            data_version=dg.DataVersion(digest.removeprefix("sha256:")),
        )

    documents, document_checks = _documents(project)

    @dg.asset(group_name="corpora", partitions_def=partitions, deps=[erp_tables, *documents], kinds={"duckdb"})
    def corpus(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Training, validation and test rows or questions of a workflow, with their data card."""
        entry = steps.corpus(project, context.partition_key)
        return show.outcome(entry, data_card=dg.MetadataValue.md(steps.data_card(entry)))

    @dg.asset_check(asset=corpus, partitions_def=partitions, blocking=True)
    def leakage(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """No text of validation or test is an exact or near duplicate of one in an earlier split."""
        found = steps.leaks(project, context.partition_key)
        return dg.AssetCheckResult(
            passed=not found, metadata={"leaks": show.table(["split", "row", "like", "similarity"], found[:20])}
        )

    return [erp_tables, *documents, corpus], [leakage, *document_checks]


def _documents(project: Project) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The library of procedures; nothing where the project has no source of documents."""
    if not project.libraries:
        return [], []

    @dg.asset(group_name="corpora", kinds={"markdown", "pdf"})
    def sop_documents(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Procedures of every source of documents, split into passages; one that cannot be read is named."""
        return _taken_in(library.sop_documents(project))

    @dg.asset_check(asset=sop_documents)
    def readable(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """Every document was taken in."""
        refused = library.refused(project)
        return dg.AssetCheckResult(
            passed=not refused,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"refused": show.table(["source", "file", "problem"], refused)},
        )

    return [sop_documents], [readable]


def _taken_in(found: list[library.Intake]) -> dg.MaterializeResult[None]:
    """What was taken in, what is different, and what could not be read."""
    documents = [
        (one.source, card.document, card.title, card.revision, card.file, card.format, card.passages, card.words)
        for one in found
        for card in one.library.documents
    ]
    changes = [
        (one.source, kind, document) for one in found for kind, some in one.changes.lists().items() for document in some
    ]
    problems = [
        (one.source, problem.file, problem.kind, problem.problem) for one in found for problem in one.library.problems
    ]
    superseded = [(one.source, older.file, older.said) for one in found for older in one.library.superseded]
    digest = digest_of("\n".join(one.entry.digest for one in found).encode())
    return dg.MaterializeResult(
        metadata={
            "documents": dg.MetadataValue.int(len(documents)),
            "passages": dg.MetadataValue.int(sum(len(one.library.passages) for one in found)),
            "library": show.table(
                ["source", "document", "title", "revision", "file", "format", "passages", "words"], documents
            ),
            "changes": show.table(["source", "what", "document"], changes),
            "problems": show.table(["source", "file", "kind", "problem"], problems),
            "superseded": show.table(["source", "file", "why it is not in force"], superseded),
            "digest": dg.MetadataValue.text(digest),
        },
        data_version=dg.DataVersion(digest.removeprefix("sha256:")),
    )


def _withheld(columns: object) -> str:
    assert isinstance(columns, dict)
    return ", ".join(f"{name} ({kind.value if kind else 'not listed'})" for name, kind in columns.items())
