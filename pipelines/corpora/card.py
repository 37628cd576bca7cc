"""The data card: what a corpus is, told in figures; it travels with the model."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fleet_manifests import DataClass, Digest, Name, StorageError, Wire, digest_of
from pipelines.corpora.difficulty import Difficulty
from pipelines.corpora.rows import Row
from pipelines.sources.scrub import TOKENS

CARD_FILE = "data_card.json"


class Words(Wire):
    """Lengths of texts in words, by white space; a tokenizer makes more tokens, of part numbers many more."""

    median: int
    p90: int
    p99: int
    longest: int

    def __str__(self) -> str:
        """As in the table of the card."""
        return f"{self.median} / {self.p90} / {self.p99} / {self.longest}"


class SplitCard(Wire):
    """One file of a corpus."""

    digest: Digest
    rows: int
    labels: dict[str, int] = {}
    """Rows by label; empty out of scope."""
    first: str | None = None
    """Time of the oldest row, where rows have one."""
    last: str | None = None
    words: Words


class SourceCard(Wire):
    """Where rows came from: a table of the lake, or a file of the project."""

    name: str
    rows: int
    digest: Digest


class Removed(Wire):
    """Rows that were read and are in no split."""

    exact_duplicates: int = 0
    """Same text, same label; the first stayed."""
    near_duplicates: dict[str, int] = {}
    """Rows taken out of an earlier split because a later one has nearly the same text, by split."""
    contradicted: int = 0
    """Rows of validation and test whose text also carries another label: no answer would be right."""
    contradicted_kept: int = 0
    """Rows of train whose text also carries another label: kept, noise that training must bear."""
    out_of_scope: int = 0
    """Out-of-scope rows that appear twice, or whose text is also in scope."""


class DataCard(Wire):
    """What a corpus is. `digest` covers the rows of every split, and nothing else."""

    schema_version: Literal[1] = 1
    workflow: Name
    digest: Digest
    split: str
    seed: int
    rows_read: Annotated[int, Field(ge=0)]
    rows_digest: Digest
    """Digest of the rows as read, before anything was removed."""
    splits: dict[str, SplitCard]
    """By name: train, validation, test, and oos_validation, oos_test where there are any."""
    removed: Removed
    scrubbed: dict[str, int] = {}
    """Tokens in the texts that stand for personal data."""
    sources: tuple[SourceCard, ...]
    queries: dict[str, Digest] = {}
    """SQL files and their digests."""
    data_classes: tuple[DataClass, ...] = ()
    licences: tuple[str, ...] = ()
    difficulty: Difficulty

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order that every model of the workflow uses."""
        return tuple(sorted(self.splits["train"].labels))

    def markdown(self) -> str:
        """The card for a person to read."""
        difficulty, removed = self.difficulty, self.removed
        near = ", ".join(f"{n} from {name}" for name, n in removed.near_duplicates.items()) or "none"
        facts = {
            "digest": f"`{self.digest}`",
            "split": f"{self.split}, seed {self.seed}",
            "rows read": f"{self.rows_read}",
            "exact duplicates removed": f"{removed.exact_duplicates}",
            "near duplicates removed": near,
            "contradicting labels": f"{removed.contradicted} removed from validation and test, "
            f"{removed.contradicted_kept} kept in train",
            "out-of-scope rows removed": f"{removed.out_of_scope}",
            "personal data replaced": ", ".join(f"{n} `{token}`" for token, n in self.scrubbed.items()) or "none",
            "data classes": ", ".join(self.data_classes) or "not stated",
            "licences": ", ".join(self.licences) or "the distributor's own data",
            "classical model": f"macro-F1 {difficulty.validation_macro_f1:.4f} on validation, "
            f"**{difficulty.test_macro_f1:.4f}** on test ({difficulty.method})",
        }
        parts = [f"# Data card: {self.workflow}", table(("fact", "value"), list(facts.items()))]
        parts += ["## Splits", table(("split", "rows", "from", "to", "words p50 / p90 / p99 / max", "digest"), [
            (name, str(card.rows), (card.first or "")[:10], (card.last or "")[:10],
             str(card.words), f"`{card.digest[:19]}`")
            for name, card in self.splits.items()
        ])]  # fmt: skip
        scoped = {name: card for name, card in self.splits.items() if card.labels}
        parts += ["## Labels", table(("label", *scoped), [
            (label, *(str(card.labels.get(label, 0)) for card in scoped.values())) for label in self.labels
        ])]  # fmt: skip
        origins = [(source.name, str(source.rows), f"`{source.digest[:19]}`") for source in self.sources]
        origins += [(name, "", f"`{digest[:19]}`") for name, digest in self.queries.items()]
        parts += ["## Sources", table(("source", "rows", "digest"), origins)]
        return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def describe_split(rows: Sequence[Row], raw: bytes) -> SplitCard:
    """The figures of one split.

    Args:
        rows: at least one.
        raw: the bytes of its file.
    """
    times = sorted(row.time for row in rows if row.time)
    return SplitCard(
        digest=digest_of(raw),
        rows=len(rows),
        labels=dict(sorted(Counter(row.label for row in rows if row.label is not None).items())),
        first=times[0] if times else None,
        last=times[-1] if times else None,
        words=words(row.text for row in rows),
    )


def words(texts: Iterable[str]) -> Words:
    """How long some texts are; at least one."""
    lengths = sorted(len(text.split()) for text in texts)
    at = {name: lengths[min(len(lengths) - 1, int(len(lengths) * part))] for name, part in _QUANTILES.items()}
    return Words(longest=lengths[-1], **at)


def write_whole(out: Path, files: Mapping[str, bytes]) -> None:
    """Write a corpus folder under another name beside it, then put it in its place.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            folder = Path(scratch) / "corpus"
            folder.mkdir()
            for name, raw in files.items():
                (folder / name).write_bytes(raw)
            if out.exists():
                out.rename(Path(scratch) / "before")
            folder.rename(out)
    except OSError as exc:
        raise StorageError(f"corpus folder {out}: cannot be written: {exc}") from exc


_QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99}


def count_tokens(splits: Mapping[str, Sequence[Row]]) -> dict[str, int]:
    """How often each scrub token is in the texts."""
    found = {token: sum(row.text.count(token) for rows in splits.values() for row in rows) for token in TOKENS}
    return {token: n for token, n in found.items() if n}
