"""Group `corpora`: raw tables in the lake, and the rows of each workflow."""

import dagster as dg

from pipelines.corpora import read_card
from pipelines.defs import show
from pipelines.defs.partitions import workflows
from pipelines.project.load import Project
from pipelines.sources import lake_digest
from pipelines.steps import corpora as steps


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

    @dg.asset(group_name="corpora", partitions_def=partitions, deps=[erp_tables], kinds={"duckdb"})
    def corpus(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Training, validation and test rows of a workflow, with their data card."""
        entry = steps.corpus(project, context.partition_key)
        return show.outcome(entry, data_card=dg.MetadataValue.md(read_card(entry.path).markdown()))

    @dg.asset_check(asset=corpus, partitions_def=partitions, blocking=True)
    def leakage(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """No text of validation or test is an exact or near duplicate of one in an earlier split."""
        found = steps.leaks(project, context.partition_key)
        return dg.AssetCheckResult(
            passed=not found, metadata={"leaks": show.table(["split", "row", "like", "similarity"], found[:20])}
        )

    return [erp_tables, corpus], [leakage]


def _withheld(columns: object) -> str:
    assert isinstance(columns, dict)
    return ", ".join(f"{name} ({kind.value if kind else 'not listed'})" for name, kind in columns.items())
