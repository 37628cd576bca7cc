"""Knowledge: passages of procedures, and the pack in which they travel to a class of sites.

A pack is laid out and signed like a bundle, under the name `<workflow>--<profile>--<site_class>`.
It is bound to the retriever bundle whose queries its embeddings answer, and travels apart from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fleet_manifests.bundle import bundle_name
from fleet_manifests.wire import DataClass, Digest, Name, Wire, digest_of, dump

PACK_FILE = "pack.json"
PASSAGES = "passages.jsonl"
WORD_INDEX = ("bm25_terms.txt", "bm25_starts.npy", "bm25_rows.npy", "bm25_scores.npy")
"""Files of a pack that follow from its passages."""

PackName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,200}$")]
"""`<workflow>--<profile>--<site_class>`."""

OPEN_CLASSES = frozenset({DataClass.PUBLIC, DataClass.INTERNAL})
"""Data classes whose packs travel and rest in the clear; all others are encrypted to the site class's key."""


class Passage(Wire):
    """One section of a procedure, as short as it can be given whole, and all that a citation needs."""

    id: Annotated[str, Field(min_length=1, max_length=300)]
    """Stable while document and headings stay: `wh-017/putting-a-pallet-away`."""
    document: str
    title: str
    revision: str = ""
    section: tuple[str, ...] = ()
    """Headings that lead to it, below the title."""
    page: Annotated[int, Field(ge=1)] | None = None
    owner: str = ""
    effective_from: date | None = None
    effective_until: date | None = None
    """First day on which a newer revision holds."""
    review_by: date | None = None
    site_classes: tuple[Name, ...] = ()
    """Classes of sites that it is for; empty: every class."""
    data_class: DataClass = DataClass.INTERNAL
    text: Annotated[str, Field(min_length=1)]
    """Verbatim: paragraphs, numbered steps and tables in Markdown."""
    disagrees_with: tuple[str, ...] = ()
    """Passages of other documents that state something else about the same matter."""

    @property
    def heading(self) -> str:
        """Title and section path in one line."""
        return " > ".join((self.title, *self.section))

    @property
    def content(self) -> str:
        """What is searched and embedded: the heading, then the text."""
        return f"{self.heading}\n{self.text}"

    @property
    def digest(self) -> str:
        """Digest of what is searched and embedded; dates and owners may change without it."""
        return digest_of(self.content.encode())


class Fusion(Wire):
    """How dense and lexical scores become one: the weighted sum of their z-scores over the library."""

    dense_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the dense z-score; the lexical one has the rest."""


class Relevance(Wire):
    """How sure a search is that its first passage answers: a logistic model of what the search saw."""

    intercept: float = 0.0
    weights: dict[str, float] = {}
    """By feature; `runtimes.knowledge.search` says what each feature is."""

    def confidence(self, features: Mapping[str, float]) -> float:
        """The probability that the first passage answers.

        Raises:
            KeyError: a feature that has a weight is missing.
        """
        score = self.intercept + sum(weight * features[name] for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-max(min(score, 500.0), -500.0)))


class PackCase(Wire):
    """A question and the passage that must come first, tried by a site before a pack may serve."""

    question: str
    passage: str


class PackConfig(Wire):
    """`pack.json`: how to search the files beside it. Holds no evidence and no date of making."""

    schema_version: Literal[1] = 1
    workflow: Name
    profile: Name
    site_class: Name
    retriever: Digest
    """Digest of the retriever bundle; on any other the pack is refused."""
    library: Digest
    """Digest of the passages."""
    passages: Annotated[int, Field(ge=1)]
    dimension: Annotated[int, Field(ge=1)]
    data_class: DataClass = DataClass.INTERNAL
    """The highest class of its passages."""
    encrypted: bool = False
    """The files beside `pack.json` are age files for the site class's key."""
    fusion: Fusion = Fusion()
    relevance: Relevance = Relevance()
    defer_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    target_precision: Annotated[float, Field(ge=0, le=1)] = 0.0
    coverage: Annotated[float, Field(ge=0, le=1)] = 1.0
    smoke: tuple[PackCase, ...] = ()

    @model_validator(mode="after")
    def _closed(self) -> PackConfig:
        if self.data_class not in OPEN_CLASSES and not self.encrypted:
            raise ValueError(f"a pack of data class {self.data_class.value} must be encrypted")
        return self

    @property
    def name(self) -> str:
        """What the pack's signature must be for."""
        return pack_name(self.workflow, self.profile, self.site_class)


def pack_name(workflow: str, profile: str, site_class: str) -> str:
    """The name of a pack."""
    return f"{bundle_name(workflow, profile)}--{site_class}"


def library_digest(passages: tuple[Passage, ...]) -> str:
    """The digest of a library: over all of each passage, in the order of their ids."""
    return digest_of(b"\n".join(dump(passage) for passage in sorted(passages, key=lambda one: one.id)))


def highest_class(passages: tuple[Passage, ...]) -> DataClass:
    """The most restricted data class among passages, in the order of `DataClass`."""
    order = list(DataClass)
    return max((passage.data_class for passage in passages), key=order.index, default=DataClass.PUBLIC)
