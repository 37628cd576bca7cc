"""Reading and writing wire documents: canonical JSON in, frozen values out."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet_manifests.errors import IntegrityError

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""A content digest, written `sha256:<64 hex digits>`."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""A name that is also a file name, a URL segment and a Dagster partition key."""

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""No wire document is larger than this; bulk travels as blobs."""


class DataClass(StrEnum):
    """Who may see a column, from everyone to almost no one."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CUSTOMER = "customer"
    PRICING = "pricing"
    CONTRACT = "contract"
    PERSONAL = "personal"


class Task(StrEnum):
    """What kind of question a workflow answers."""

    CLASSIFY = "classify"
    RETRIEVE = "retrieve"
    EXTRACT = "extract"
    GENERATE = "generate"


class Wire(BaseModel):
    """Base of every wire type: frozen, unknown fields ignored, NaN refused."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True, ser_json_bytes="base64"
    )


W = TypeVar("W", bound=BaseModel)


def dump(value: BaseModel) -> bytes:
    """Write a value as canonical JSON (RFC 8785), without fields that are None."""
    return rfc8785.dumps(value.model_dump(mode="json", by_alias=True, exclude_none=True))


def parse(kind: type[W], raw: bytes, *, where: str = "document", limit: int = MAX_DOCUMENT_BYTES) -> W:
    """Read one wire document.

    Args:
        kind: the type expected.
        raw: the bytes, at most `limit`.
        where: what to call the document in an error.
        limit: most bytes that it may have.

    Raises:
        IntegrityError: too large, not JSON, a duplicate key, NaN, or not of the schema.
    """
    if len(raw) > limit:
        raise IntegrityError(f"{where}: {len(raw)} bytes; a document has at most {limit}")
    try:
        data = json.loads(raw, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise IntegrityError(f"{where}: not a JSON document: {exc}") from exc
    try:
        return kind.model_validate(data)
    except ValidationError as exc:
        first = exc.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(document)"
        raise IntegrityError(f"{where}: {field}: {first['msg']}") from exc


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice: two readers could see two documents."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} appears twice")
    return found


def _no_constant(text: str) -> float:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{text} is not a JSON number")


def digest_of(raw: bytes) -> str:
    """The digest of some bytes, `sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def sha256_of(path: Path) -> str:
    """The digest of a file's content, `sha256:<hex>`, read in blocks."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
