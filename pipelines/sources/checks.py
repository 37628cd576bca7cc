"""What is asked of the source itself before and while its rows are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fleet_manifests import DataError
from pipelines.sources.select import near
from pipelines.sources.spec import SqlSource

if TYPE_CHECKING:
    import pyarrow as pa
    import sqlalchemy as sa

Columns = dict[str, Any]
"""The columns that a table has at the source: name and SQLAlchemy type."""

_ISO_TIME = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"


def offered_columns(source: SqlSource, engine: sa.Engine) -> dict[str, Columns]:
    """What the source offers, for each table that is listed.

    Raises:
        DataError: a table does not exist.
    """
    from sqlalchemy import inspect

    inspector = inspect(engine)
    names = [*inspector.get_table_names(source.db_schema), *inspector.get_view_names(source.db_schema)]
    for name in source.tables:
        if name not in names:
            raise DataError(f"sources/{source.name}.yaml: tables: the source has no table {name}{near(name, names)}")
    return {
        name: {column["name"]: column["type"] for column in inspector.get_columns(name, source.db_schema)}
        for name in source.tables
    }


def check_keys(source: SqlSource, name: str, engine: sa.Engine) -> None:
    """Make sure that merging loses nothing: the cursor is never null, the key is never null and never twice.

    Raises:
        DataError: with the number of rows concerned.
    """
    import sqlalchemy as sa

    table = source.tables[name]
    if table.cursor is None:
        return
    where = f"source {source.name}: table {name}"
    at = sa.table(name, *map(sa.column, table.columns), schema=source.db_schema)
    with engine.connect() as connection:
        for column in (table.cursor, *table.primary_key):
            count = connection.scalar(sa.select(sa.func.count()).select_from(at).where(at.c[column].is_(None)))
            if count:
                raise DataError(
                    f"{where}: {count} rows have no {column}, which is a key or the cursor; fill it at the source, or "
                    "load the table without a cursor"
                )
        if set(sa.inspect(engine).get_pk_constraint(name, source.db_schema)["constrained_columns"]) != set(
            table.primary_key
        ):
            keys = [at.c[column] for column in table.primary_key]
            twice = connection.execute(sa.select(*keys).group_by(*keys).having(sa.func.count() > 1).limit(1)).first()
            if twice is not None:
                raise DataError(
                    f"{where}: primary_key {', '.join(table.primary_key)} does not identify a row: "
                    f"{', '.join(map(str, twice))} appears twice; name more columns"
                )


def whole_seconds(cursor: str, engine: sa.Engine) -> Callable[[sa.Table], None]:
    """A table adapter that compares a SQLite time stamp cursor in whole seconds.

    SQLite keeps time stamps as text. Asking for `>= '2026-01-01 10:00:00.000000'` would miss the rows that
    were written as `2026-01-01 10:00:00`; without the fraction the text compares as the time does.
    """

    def adapt(table: sa.Table) -> None:
        from sqlalchemy.dialects import sqlite
        from sqlalchemy.types import DateTime

        column = table.c[cursor]
        if engine.dialect.name == "sqlite" and isinstance(column.type, DateTime):
            column.type = sqlite.DATETIME(truncate_microseconds=True)  # type: ignore[no-untyped-call]

    return adapt


def ordered_cursor(source: str, name: str, cursor: str) -> Callable[[pa.Table], pa.Table]:
    """A function over arrow tables that lets text pass as a cursor only where it sorts as time does.

    It raises DataError for the first value that is no ISO 8601 date or time.
    """

    def check(table: pa.Table) -> pa.Table:
        import pyarrow.compute as pc
        from pyarrow import types

        values = table[cursor]
        if types.is_string(values.type) or types.is_large_string(values.type):
            wrong = values.filter(pc.invert(pc.match_substring_regex(values, _ISO_TIME)))
            if len(wrong):
                raise DataError(
                    f"source {source}: table {name}: cursor {cursor} is text, and {wrong[0].as_py()!r} is not an "
                    "ISO 8601 time; use a date or time stamp column, or load the table without a cursor"
                )
        return table

    return check
