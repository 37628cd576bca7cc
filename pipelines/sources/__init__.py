"""From a source into the lake: only the columns that someone may see, and only what is new.

    >>> report = extract(source, project=project, lake=lake, allowed=frozenset({DataClass.INTERNAL}))
    >>> report.tables["order_exceptions"].rows_loaded
    6600

`spec` is what people write, `connect` opens the database for reading, `select` decides what leaves it,
`checks` asks it what must hold, `extract` loads, `scrub` cleans free text on the way, `lake` keeps the result.
"""

from pipelines.sources.connect import connect_url
from pipelines.sources.extract import extract
from pipelines.sources.lake import LAKE_FILE, LakeColumn, LakeTable, lake_digest, read_tables
from pipelines.sources.report import ExtractReport, TableReport
from pipelines.sources.scrub import scrub
from pipelines.sources.spec import Column, SqlSource, Table

__all__ = [
    "LAKE_FILE",
    "Column",
    "ExtractReport",
    "LakeColumn",
    "LakeTable",
    "SqlSource",
    "Table",
    "TableReport",
    "connect_url",
    "extract",
    "lake_digest",
    "read_tables",
    "scrub",
]
