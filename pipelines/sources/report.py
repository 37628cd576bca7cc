"""What a load of a source did."""

from __future__ import annotations

from fleet_manifests import DataClass, Digest, Wire


class TableReport(Wire):
    """One table of a load."""

    rows_loaded: int
    """Rows that came this time."""
    rows_total: int
    """Rows that the lake holds now."""
    digest: Digest | None = None
    """Digest of the rows, whatever their order; None where no column may be taken."""
    taken: tuple[str, ...]
    """Columns that were selected, by their name at the source."""
    lake_names: dict[str, str] = {}
    """Their names in the lake, for those that differ: `Freight Cost (USD)` is `freight_cost_usdx`."""
    withheld: dict[str, DataClass | None]
    """Columns that were never selected, with their data class; None: not listed in the source file."""
    changes: tuple[str, ...] = ()
    """What is different at the source since the last load."""
    reloaded: str | None = None
    """Why rows loaded before were thrown away, or None where they were kept."""
    scrubbed: dict[str, int] = {}
    """How many of each token replaced personal data this time."""


class ExtractReport(Wire):
    """One load of one source; tables by their name at the source."""

    source: str
    tables: dict[str, TableReport]

    @property
    def rows_loaded(self) -> int:
        """Rows that came this time, all tables together."""
        return sum(table.rows_loaded for table in self.tables.values())
