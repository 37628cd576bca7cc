"""Loads the tables of an SQL database into the lake, by dlt.

A table with a cursor brings only what is new since the last load and merges it on its primary key;
a table without one is replaced. A row that is deleted at the source stays in a table with a cursor:
give such a table a status column, or no cursor. What a load knows of the last one is in the lake
itself, so that a lake restored from a backup goes on from where the backup was.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import DataClass, DataError, LadingError, StorageError
from pipelines.sources import checks, select
from pipelines.sources.connect import connect_url, open_source, unreachable
from pipelines.sources.lake import LAKE_FILE, LakeTable, changing, content, read_tables, storage_errors, write_tables
from pipelines.sources.report import ExtractReport, TableReport
from pipelines.sources.scrub import scrub
from pipelines.sources.spec import SqlSource, Table

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import URL, Engine

CHUNK_ROWS = 50_000
"""Rows read from the source at a time."""

_QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL", "DLT_DISABLE_PLUGINS": "1"}


@dataclass(frozen=True)
class _Load:
    """One table on its way into the lake."""

    name: str
    table: Table
    selection: select.Selection
    described: LakeTable
    before: LakeTable | None
    tokens: Counter[str] = field(default_factory=Counter)

    @property
    def fresh(self) -> bool:
        """Whether the table starts from nothing: new to the lake, or of another shape than before."""
        return self.before is None or self.before.shape() != self.described.shape()


def extract(
    source: SqlSource,
    *,
    project: Path,
    lake: Path,
    allowed: frozenset[DataClass],
    environ: Mapping[str, str] | None = None,
) -> ExtractReport:
    """Load what is new in a source; a load that fails leaves the lake as it was.

    Args:
        source: the database and the columns that may leave it.
        project: what a relative SQLite path is relative to.
        lake: the lake's folder; made where it does not exist.
        allowed: data classes that some workflow may see. A column of another class, or one that
            is not listed, appears in no SELECT.
        environ: the variables of `${NAME}` in the URL; None: the process's environment.

    Raises:
        ConfigError: the source file is wrong: URL, variable, cursor, keys.
        UnreachableError: the database does not answer, or stopped answering.
        DataError: a table or column is missing, or values are not what the column says.
        StorageError: the lake cannot be written.
    """
    environ = os.environ if environ is None else environ
    url = connect_url(source, project=project, environ=environ)
    with open_source(source, url) as engine:
        offered = checks.offered_columns(source, engine)
        with changing(lake) as folder:
            before = _known(folder / LAKE_FILE, source.name)
            loads = [_plan(source, name, columns, allowed, before) for name, columns in offered.items()]
            taken = [load for load in loads if load.selection.taken]
            for load in taken:
                checks.check_keys(source, load.name, engine)
            with _foreign_errors(source, url):
                counts = _run(source, taken, engine, folder)
            totals = _settle(folder / LAKE_FILE, source.name, taken)
    tables = {load.name: _report(load, counts, totals) for load in loads}
    return ExtractReport(source=source.name, tables=tables)


def _known(lake: Path, source: str) -> dict[tuple[str, str], LakeTable]:
    """What the lake knows of the last load of this source."""
    import duckdb

    with duckdb.connect(lake) as connection:
        return read_tables(connection, source)


def _plan(
    source: SqlSource,
    name: str,
    columns: checks.Columns,
    allowed: frozenset[DataClass],
    before: Mapping[tuple[str, str], LakeTable],
) -> _Load:
    """Decide what to take of one table."""
    table = source.tables[name]
    selection = select.choose(f"sources/{source.name}.yaml: tables.{name}", table, columns, allowed)
    described = select.describe(source, name, selection, columns)
    return _Load(name, table, selection, described, before.get((source.name, described.table)))


def _run(source: SqlSource, loads: Sequence[_Load], engine: Engine, folder: Path) -> dict[str, int]:
    """Run dlt over the tables; rows that came, by the table's name in the lake.

    dlt's own state of the last load is read back from the lake, its working files are in `folder`.
    """
    os.environ.update(_QUIET)
    import dlt

    counts: Counter[str] = Counter()
    for fresh in (True, False):
        resources = [_resource(source, load, engine) for load in loads if load.fresh is fresh]
        if not resources:
            continue
        pipeline = dlt.pipeline(
            source.name,
            pipelines_dir=str(folder / "dlt"),
            destination=dlt.destinations.duckdb(str(folder / LAKE_FILE)),
            dataset_name=source.name,
        )
        pipeline.run(resources, refresh="drop_resources" if fresh else None)
        counts.update(pipeline.last_trace.last_normalize_info.row_counts)
    return counts


def _resource(source: SqlSource, load: _Load, engine: Engine) -> Any:
    """The dlt resource of one table: its SELECT, how it lands, and what is done to its rows on the way."""
    import dlt
    from dlt.sources.sql_database import sql_table

    cursor, columns = load.table.cursor, list(load.selection.taken)
    # All columns, not the key, tell a row at the cursor's last value that came before from one that
    # changed since within the same second.
    incremental = dlt.sources.incremental(cursor, primary_key=columns) if cursor else None
    resource = sql_table(
        credentials=engine,
        table=load.name,
        schema=source.db_schema,
        backend="pyarrow",
        chunk_size=CHUNK_ROWS,
        included_columns=columns,
        incremental=incremental,
        write_disposition="merge" if cursor else "replace",
        primary_key=list(load.table.primary_key) or None,
        table_adapter_callback=checks.whole_seconds(cursor, engine) if cursor else None,
        table_loader_class=_loader(),
    )
    if cursor:
        resource.add_map(checks.ordered_cursor(source.name, load.name, cursor))
    if scrubbed := [name for name, column in load.selection.taken.items() if column.scrub]:
        resource.add_map(_scrubber(scrubbed, source.phone_regions, load.tokens))
    return resource


def _loader() -> Any:
    """dlt's reader of a table, made to bring the columns of an empty table too, so that it exists in the lake."""
    from dlt.sources.sql_database import TableLoader
    from dlt.sources.sql_database.arrow_helpers import row_tuples_to_arrow

    class Loader(TableLoader):  # type: ignore[misc]
        def _convert_result(self, result: Any, backend_kwargs: dict[str, Any]) -> Iterator[Any]:
            names, empty = list(result.keys()), True
            for batch in super()._convert_result(result, backend_kwargs):
                empty = False
                yield batch
            if empty:
                yield row_tuples_to_arrow([], columns={name: self.columns[name] for name in names}, tz="UTC")

    return Loader


def _scrubber(columns: Sequence[str], regions: tuple[str, ...], tokens: Counter[str]) -> Any:
    """A function that takes personal data out of some columns of an arrow table, and counts it."""

    def clean(text: str | None) -> str | None:
        if text is None:
            return None
        text, found = scrub(text, regions)
        tokens.update(found)
        return text

    def apply(table: pa.Table) -> pa.Table:
        import pyarrow

        for name in columns:
            values = pyarrow.array([clean(text) for text in table[name].to_pylist()], pyarrow.string())
            table = table.set_column(table.column_names.index(name), name, values)
        return table

    return apply


def _settle(lake: Path, source: str, loads: Sequence[_Load]) -> dict[str, tuple[int, str]]:
    """Write what is known of the tables beside them; rows in total and their digest, by name in the lake."""
    import duckdb

    with duckdb.connect(lake) as connection:
        write_tables(connection, source, {load.described.table: load.described for load in loads})
        connection.execute(f'DROP SCHEMA IF EXISTS "{source}_staging" CASCADE')
        return {load.described.table: content(connection, source, load.described.table) for load in loads}


def _report(load: _Load, counts: Mapping[str, int], totals: Mapping[str, tuple[int, str]]) -> TableReport:
    """What a load did to one table."""
    name = load.described.table
    rows, digest = totals.get(name, (0, None))
    return TableReport(
        rows_loaded=counts.get(name, 0),
        rows_total=rows,
        digest=digest,
        taken=tuple(load.selection.taken),
        lake_names={key: column.name for key, column in load.described.columns.items() if column.name != key},
        withheld=load.selection.withheld,
        changes=select.changes(load.before, load.described),
        reloaded=select.why_reload(load.before, load.described),
        scrubbed=dict(sorted(load.tokens.items())),
    )


@contextmanager
def _foreign_errors(source: SqlSource, url: URL) -> Iterator[None]:
    """Turn what dlt, the database driver and arrow raise into our errors.

    dlt wraps every cause in its own; the innermost that says something is the one to tell.
    """
    from dlt.common.exceptions import DltException
    from sqlalchemy.exc import DBAPIError

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*support Decimal objects natively.*")
            yield
    except DltException as exc:
        causes = list(_causes(exc))
        ours = next((cause for cause in causes if isinstance(cause, LadingError)), None)
        if ours is not None:
            raise ours from exc
        if lost := next((cause for cause in causes if isinstance(cause, DBAPIError)), None):
            raise unreachable(source, url, lost) from exc
        if full := next((cause for cause in causes if isinstance(cause, storage_errors())), None):
            raise StorageError(f"source {source.name}: the lake cannot be written: {full}; it is as it was") from exc
        table = next((cause.pipe_name for cause in causes if hasattr(cause, "pipe_name")), "a table")
        said = str(causes[-1]).strip().partition("\n")[0]
        raise DataError(
            f"source {source.name}: {table}: its values are not what its columns say: {said}; the lake is as it was"
        ) from exc


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """An exception and what led to it, outermost first."""
    found: BaseException | None = exc
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
