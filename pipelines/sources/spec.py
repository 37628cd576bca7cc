"""What a file under `sources/` says: where a database is, and which columns may leave it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fleet_manifests import DataClass
from pipelines.sources.scrub import REGIONS

SchemaName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=48)]
"""The name of a source: a file stem that is also a schema of the lake."""


class Spec(BaseModel):
    """Base of what people write in YAML: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Column(Spec):
    """One column: who may see it, and whether it is free text to be scrubbed.

    In YAML a bare data class is enough: `note: internal` is `note: {class: internal}`.
    """

    data_class: DataClass = Field(alias="class")
    scrub: bool = False
    """Replace personal data (e-mail addresses, phone, card and account numbers) before it lands."""

    @model_validator(mode="before")
    @classmethod
    def _bare_class(cls, value: Any) -> Any:
        return {"class": value} if isinstance(value, str) else value


class Table(Spec):
    """One table or view. A column that is not listed never leaves the source."""

    columns: Annotated[dict[str, Column], Field(min_length=1)]
    cursor: str | None = None
    """A column that only grows when a row changes. Without one the table is replaced on each load."""
    primary_key: tuple[str, ...] = ()
    """What identifies a row; needed with a cursor, so that a changed row replaces its older self."""

    @field_validator("primary_key", mode="before")
    @classmethod
    def _one_column(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Table:
        if self.cursor is not None and not self.primary_key:
            raise ValueError("a table with a cursor needs a primary_key; name its columns, or drop the cursor")
        keys = [*self.primary_key, *([self.cursor] if self.cursor else [])]
        for name in keys:
            if name not in self.columns:
                raise ValueError(f"{name} is a key or the cursor but is not listed under columns; list it")
            if self.columns[name].scrub:
                raise ValueError(f"{name} is a key or the cursor and cannot be scrubbed; remove scrub")
        if len(set(self.primary_key)) != len(self.primary_key):
            raise ValueError("primary_key names a column twice")
        return self


class SqlSource(Spec):
    """An SQL database that SQLAlchemy can read.

    `url` may hold `${VARIABLE}`, taken from the environment when the source is read; in the
    user and password part the value is percent-encoded. A relative SQLite path is relative to the project.
    """

    name: SchemaName
    """The file's stem; also the schema of its tables in the lake."""
    kind: Literal["sql"]
    url: Annotated[str, Field(min_length=1)]
    db_schema: Annotated[str | None, Field(alias="schema")] = None
    """The database schema that holds the tables, where it is not the connection's own."""
    tables: Annotated[dict[str, Table], Field(min_length=1)]
    phone_regions: tuple[str, ...] = REGIONS
    """Regions (ISO 3166 alpha-2) whose national phone formats are scrubbed, beside the international one."""

    @field_validator("url")
    @classmethod
    def _looks_like_url(cls, value: str) -> str:
        if "://" not in value and not value.startswith("${"):
            raise ValueError("expected an SQLAlchemy URL such as sqlite:///erp.sqlite or ${ERP_URL}")
        return value

    @field_validator("phone_regions")
    @classmethod
    def _known_regions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from phonenumbers import SUPPORTED_REGIONS

        if unknown := sorted(set(value) - set(SUPPORTED_REGIONS)):
            raise ValueError(f"{unknown[0]} is not a region with phone numbers; use codes such as US, GB, DE")
        return value
