"""Decides what is selected of a table: pure rules over its description and what the source offers."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_manifests import ConfigError, DataClass, DataError
from pipelines.sources.lake import LakeColumn, LakeTable
from pipelines.sources.scrub import VERSION
from pipelines.sources.spec import Column, SqlSource, Table

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine


@dataclass(frozen=True)
class Selection:
    """What leaves the source of one table, and what stays."""

    taken: dict[str, Column]
    withheld: dict[str, DataClass | None]
    """None: the source has the column, the source file does not list it."""


def choose(where: str, table: Table, offered: Collection[str], allowed: frozenset[DataClass]) -> Selection:
    """Divide the columns of a table into those that may leave the source and those that may not.

    Args:
        where: the table, for errors: `sources/erp.yaml: tables.orders`.
        table: its description.
        offered: the columns that the source has.
        allowed: data classes that some workflow may see.

    Raises:
        DataError: a column that is listed does not exist at the source.
        ConfigError: the cursor or a key is of a class that nobody may see.
    """
    if missing := [name for name in table.columns if name not in offered]:
        raise DataError(f"{where}.columns: the source has no column {missing[0]}{near(missing[0], offered)}")
    taken = {name: column for name, column in table.columns.items() if column.data_class in allowed}
    for name in (*table.primary_key, *([table.cursor] if table.cursor else [])):
        if taken and name not in taken:
            raise ConfigError(
                f"{where}: {name} is of data class {table.columns[name].data_class}, which no workflow may see, and "
                "is needed to load the table; give the table another key or cursor, or allow the class in a workflow"
            )
    stays: dict[str, DataClass | None] = {name: None for name in offered if name not in table.columns}
    stays |= {name: column.data_class for name, column in table.columns.items() if name not in taken}
    return Selection(taken=taken, withheld=dict(sorted(stays.items())))


def near(name: str, names: Iterable[str]) -> str:
    """The end of an error about a name that does not exist: the closest one that does."""
    folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {folded[close[0]]}?"
    return f"; it has: {', '.join(sorted(folded.values())) or 'nothing'}"


def describe(
    source: SqlSource, name: str, selection: Selection, offered: Mapping[str, TypeEngine[object]]
) -> LakeTable:
    """What the lake will know of a table.

    Raises:
        ConfigError: two columns would have one name in the lake, a scrubbed column is not text,
            or the cursor is of a type that cannot grow.
    """
    table, where = source.tables[name], f"sources/{source.name}.yaml: tables.{name}"
    columns = {
        column: LakeColumn(
            name=lake_name(column), type=str(offered[column]), data_class=spec.data_class, scrub=spec.scrub
        )
        for column, spec in selection.taken.items()
    }
    seen: dict[str, str] = {}
    for column, described in columns.items():
        if described.name in seen:
            raise ConfigError(f"{where}: {seen[described.name]} and {column} are both {described.name} in the lake")
        seen[described.name] = column
    _check_types(where, table, selection, offered)
    return LakeTable(
        source=source.name,
        table=lake_name(name),
        columns=columns,
        cursor=table.cursor,
        primary_key=table.primary_key,
        phone_regions=source.phone_regions,
        scrub_version=VERSION,
        offered={column: str(type_) for column, type_ in sorted(offered.items())},
    )


def _check_types(where: str, table: Table, selection: Selection, offered: Mapping[str, TypeEngine[object]]) -> None:
    """Refuse a cursor that cannot be ordered and a scrubbed column that is not text."""
    from sqlalchemy import types

    if table.cursor and selection.taken:
        kind = offered[table.cursor]
        if not isinstance(kind, (types.Integer, types.Numeric, types.Date, types.DateTime, types.String)):
            raise ConfigError(
                f"{where}.cursor: {table.cursor} is of type {kind}; a cursor is a date, a time stamp or a number that "
                "grows when a row changes"
            )
    for column, spec in selection.taken.items():
        if spec.scrub and not isinstance(offered[column], (types.String, types.NullType)):
            raise ConfigError(f"{where}.columns.{column}: scrub is for text, the column is {offered[column]}")


def lake_name(name: str) -> str:
    """The name of a table or column in the lake: snake case, as dlt writes it everywhere."""
    from dlt.common.normalizers.naming.snake_case import NamingConvention

    return str(NamingConvention().normalize_identifier(name))


def changes(before: LakeTable | None, now: LakeTable) -> tuple[str, ...]:
    """What is different at the source since the last load, for a person to read."""
    if before is None:
        return ()
    said = [f"new column {name} ({kind})" for name, kind in now.offered.items() if name not in before.offered]
    said += [f"column {name} is gone" for name in before.offered if name not in now.offered]
    said += [
        f"column {name} was {before.offered[name]}, is {kind}"
        for name, kind in now.offered.items()
        if before.offered.get(name, kind) != kind
    ]
    return tuple(said)


def why_reload(before: LakeTable | None, now: LakeTable) -> str | None:
    """Why rows loaded before cannot be kept, or None where they can."""
    if before is None or before.shape() == now.shape():
        return None
    if before.columns.keys() != now.columns.keys():
        differ = sorted(before.columns.keys() ^ now.columns.keys())
        return f"other columns are taken than before: {', '.join(differ)}"
    for name, column in now.columns.items():
        if column.type != before.columns[name].type:
            return f"column {name} was {before.columns[name].type}, is {column.type}"
        if column.scrub != before.columns[name].scrub:
            return f"column {name} is now {'scrubbed' if column.scrub else 'taken as it is'}"
    return "cursor, primary_key or the way of scrubbing changed"
