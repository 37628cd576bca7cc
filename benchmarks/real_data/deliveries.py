"""A real delivery history, loaded into SQLite and PostgreSQL and extracted incrementally from both."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from benchmarks import postgres
from benchmarks.real_data.projects import print_table, write

SOURCE = """\
kind: sql
url: {url}
tables:
  deliveries:
    cursor: recorded
    primary_key: [id]
    columns: {{{columns}}}
"""
PERSONAL = ("vendor", "item_description")
"""Columns that no workflow may see here, so that withholding is measured too."""


def scms(data: Path, work: Path) -> None:
    """The SCMS delivery history (USAID, public domain): 10,324 order lines with hand-typed exceptions."""
    rows = history(next(data.glob("*.csv")))
    work.mkdir(parents=True, exist_ok=True)
    table = [extracted("SQLite", f"sqlite:///{work / 'scms.sqlite'}", rows, work / "sqlite")]
    if postgres.programs() is None:
        print("scms_delivery: PostgreSQL skipped, it is not installed; on Debian: apt-get install postgresql")
    else:
        with postgres.server() as url:
            table.append(extracted("PostgreSQL", url, rows, work / "postgresql"))
    print("\n## scms_delivery\n")
    print_table(["source", "first", "s", "added + changed", "s", "nothing new", "s", "withheld", "lake"], table)
    if len({row[-1] for row in table}) != 1:
        raise SystemExit("scms_delivery: the two lakes differ")


def history(path: Path) -> list[dict[str, Any]]:
    """The rows in the order in which they were recorded; names in snake case, as typed otherwise."""
    from datetime import datetime

    with path.open(encoding="utf-8-sig", newline="") as stream:
        raw = list(csv.DictReader(stream))
    rows = []
    for record in raw:
        row: dict[str, Any] = {"".join(c if c.isalnum() else "_" for c in key.lower()): v for key, v in record.items()}
        row["id"] = int(row["id"])
        typed = row["delivery_recorded_date"].replace("Sept-", "Sep-")  # both spellings occur
        row["recorded"] = datetime.strptime(typed, "%d-%b-%y").replace(hour=12)
        rows.append(row)
    return sorted(rows, key=lambda row: (row["recorded"], row["id"]))


def extracted(title: str, url: str, rows: list[dict[str, Any]], lake: Path) -> list[str]:
    """Extract 80 %, then the rest with 100 changed rows, then nothing new."""
    from datetime import timedelta

    import sqlalchemy as sa

    from fleet_manifests import DataClass
    from pipelines.project.reading import read
    from pipelines.sources import extract, lake_digest
    from pipelines.sources.spec import SqlSource

    kinds = {"id": sa.Integer, "recorded": sa.DateTime}
    columns: list[Any] = [sa.Column(name, kinds.get(name, sa.Text), primary_key=name == "id") for name in rows[0]]
    deliveries = sa.Table("deliveries", sa.MetaData(), *columns)
    engine = sa.create_engine(url)
    deliveries.metadata.drop_all(engine)
    deliveries.metadata.create_all(engine)
    classes = {name: "personal" if name in PERSONAL else "internal" for name in rows[0]}
    listed = ", ".join(f"{name}: {kind}" for name, kind in classes.items())
    write(lake / "sources" / "erp.yaml", SOURCE.format(url=url, columns=listed))
    source = read(lake / "sources" / "erp.yaml", SqlSource, project=lake, name="erp")
    cut = len(rows) * 4 // 5
    changed = [{**row, "recorded": rows[-1]["recorded"] + timedelta(days=1)} for row in rows[:100]]
    cells = [title]
    for step in range(3):
        with engine.begin() as connection:
            if step == 0:
                connection.execute(deliveries.insert(), rows[:cut])
            if step == 1:
                connection.execute(deliveries.insert(), rows[cut:])
                for row in changed:
                    connection.execute(deliveries.update().where(deliveries.c.id == row["id"]), row)
        began = time.monotonic()
        found = extract(source, project=lake, lake=lake / "lake", allowed=frozenset({DataClass.INTERNAL}))
        cells += [str(found.rows_loaded), f"{time.monotonic() - began:.1f}"]
    engine.dispose()
    withheld = [name for name, kind in found.tables["deliveries"].withheld.items() if kind is not None]
    return [*cells, ", ".join(withheld), lake_digest(lake / "lake")[7:19]]
