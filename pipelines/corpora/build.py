"""Builds the corpus of a workflow: read, clean, split without leakage, describe, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import ConfigError, DataClass, DataError, digest_of, dump, parse, sha256_of
from pipelines.corpora import leakage
from pipelines.corpora.card import (
    CARD_FILE,
    DataCard,
    Removed,
    SourceCard,
    SplitCard,
    count_tokens,
    describe_split,
    write_whole,
)
from pipelines.corpora.difficulty import measure_difficulty
from pipelines.corpora.files import read_records
from pipelines.corpora.query import run_query
from pipelines.corpora.rows import SPLITS, Row, parse_rows
from pipelines.corpora.spec import CorpusFiles, CorpusSpec, Split
from pipelines.corpora.split import Splits, check_counts, check_labels, divide, halves


@dataclass(frozen=True)
class _Input:
    """Everything that was read, before anything is decided."""

    rows: list[Row]
    """Of the labelled rows; `split` is set where files say it."""
    out_of_scope: list[Row]
    sources: tuple[SourceCard, ...]
    queries: dict[str, str]


def build_corpus(
    spec: CorpusSpec,
    *,
    workflow: str,
    project: Path,
    lake: Path,
    out: Path,
    seed: int,
    data_classes: frozenset[DataClass],
) -> DataCard:
    """Build the corpus of a workflow and write it to a folder, whole or not at all.

    The folder gets `train.jsonl`, `validation.jsonl`, `test.jsonl`, `data_card.json`, and
    `oos_validation.jsonl`, `oos_test.jsonl` where there are out-of-scope rows.

    Args:
        spec: the `corpus:` block of the workflow.
        workflow: its name.
        project: what paths in `spec` are relative to.
        lake: the lake's folder; not read where `spec` names files.
        out: the folder to write; what it holds is replaced.
        seed: decides what chance decides.
        data_classes: what the workflow may see of the lake.

    Raises:
        ConfigError: a file is missing, the SQL is wrong, or a column is missing or may not be seen.
        DataError: no row, a blank text, an id that appears twice, a class with one example, a label of
            validation or test that training does not have, or a part that would be empty.
        StorageError: the folder cannot be written.
    """
    read = _read_files(spec, project) if spec.files else _read_sql(spec, project, lake, data_classes)
    split = _way_to_split(spec, read.rows)
    splits, removed = _split(read.rows, split, seed)
    outside = _out_of_scope(read, splits, by_time=split.by == "time", seed=seed)
    kept = sum(len(rows) for rows in outside.values())
    everything = {**splits, **outside}
    texts = {name: "".join(map(Row.dump, rows)).encode() for name, rows in everything.items() if rows}
    cards = {name: describe_split(everything[name], raw) for name, raw in texts.items()}
    card = DataCard(
        workflow=workflow,
        digest=_digest(cards),
        split=split.describe(),
        seed=seed,
        rows_read=len(read.rows) + len(read.out_of_scope),
        rows_digest=digest_of("".join(map(Row.dump, [*read.rows, *read.out_of_scope])).encode()),
        splits=cards,
        removed=removed.model_copy(update={"out_of_scope": len(read.out_of_scope) - kept}),
        scrubbed=count_tokens(everything),
        sources=read.sources,
        queries=read.queries,
        data_classes=tuple(sorted(data_classes)) if spec.sql else (),
        licences=spec.licences,
        difficulty=measure_difficulty(*(splits[name] for name in SPLITS)),
    )
    write_whole(out, {**{f"{name}.jsonl": raw for name, raw in texts.items()}, CARD_FILE: dump(card)})
    return card


def _read_sql(spec: CorpusSpec, project: Path, lake: Path, data_classes: frozenset[DataClass]) -> _Input:
    """Run the queries of a workflow."""
    assert spec.sql is not None
    found = {
        sql: run_query(sql, project=project, lake=lake, data_classes=data_classes)
        for sql in (spec.sql, spec.out_of_scope_sql)
        if sql is not None
    }
    outside = found.get(spec.out_of_scope_sql or "")
    tables = {table.name: table for result in found.values() for table in result.tables}
    return _Input(
        rows=parse_rows(found[spec.sql].records, spec.sql, labelled=True),
        out_of_scope=parse_rows(outside.records, str(spec.out_of_scope_sql), labelled=False) if outside else [],
        sources=tuple(SourceCard(name=name, rows=t.rows, digest=t.digest) for name, t in sorted(tables.items())),
        queries={sql: result.sql_digest for sql, result in found.items()},
    )


def _read_files(spec: CorpusSpec, project: Path) -> _Input:
    """Read the files of a workflow; where they give the splits, each row knows its own."""
    assert spec.files is not None
    sources: list[SourceCard] = []
    rows: list[Row] = []
    outside: list[Row] = []
    for field, name in spec.files.named().items():
        records = read_records(name, project=project)
        sources.append(SourceCard(name=name, rows=len(records), digest=sha256_of(project / name)))
        given = field.removeprefix("out_of_scope_") if spec.files.test or field != "train" else None
        marked = [{**record, "split": given} if given else record for record in records]
        scoped = field in SPLITS
        found = parse_rows(marked, name, labelled=scoped, text=spec.text_column, label=spec.label_column)
        (rows if scoped else outside).extend(found)
    _distinct(rows + outside, spec.files)
    return _Input(rows=rows, out_of_scope=outside, sources=tuple(sources), queries={})


def _distinct(rows: Sequence[Row], files: CorpusFiles) -> None:
    """Make sure that an id names one row over all files."""
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            names = ", ".join(files.named().values())
            raise DataError(f"{names}: the id {row.id} is in two files; an id names one row")
        seen.add(row.id)


def _way_to_split(spec: CorpusSpec, rows: Sequence[Row]) -> Split:
    """How to split: as the workflow says, or as the files do.

    Raises:
        ConfigError: the data names splits, the workflow wants others.
    """
    if spec.files is not None and spec.files.test is not None:
        return Split(by="column")
    split = spec.split or Split()
    if split.by != "column" and any(row.split for row in rows):
        raise ConfigError(
            f"{spec.files.train if spec.files else spec.sql}: the rows have a column named split, the "
            f"workflow splits by {split.by}; write split: {{by: column}}, or give the column another name"
        )
    return split


def _split(rows: Sequence[Row], split: Split, seed: int) -> tuple[Splits, Removed]:
    """Divide the rows so that no text of a later split is known from an earlier one."""
    order = {"test": 0, "validation": 1}
    by_worth = sorted(rows, key=lambda row: (order.get(row.split or "", 2), row.time or "", row.id))
    distinct = leakage.first_of_each(by_worth)
    check_counts(distinct)
    splits = divide(distinct, split, seed=seed)
    twofold = leakage.contradicted(distinct)
    contradicted = 0
    for name in ("validation", "test"):
        clear = [row for row in splits[name] if row.key not in twofold]
        contradicted += len(splits[name]) - len(clear)
        splits[name] = clear
    splits, near = leakage.without_near_duplicates(splits)
    for name in SPLITS:
        if not splits[name]:
            raise DataError(f"{name}: no row is left after duplicates were removed; add rows that say something else")
    check_labels(splits)
    return splits, Removed(
        exact_duplicates=len(rows) - len(distinct),
        near_duplicates=near,
        contradicted=contradicted,
        contradicted_kept=sum(row.key in twofold for row in splits["train"]),
    )


def _out_of_scope(read: _Input, splits: Splits, *, by_time: bool, seed: int) -> Splits:
    """The rows that belong to no class, without what is in scope too, for threshold and for test."""
    known = {row.key for rows in splits.values() for row in rows}
    rows = [row for row in leakage.first_of_each(read.out_of_scope) if row.key not in known]
    if any(row.split for row in rows):
        first, second = ([row for row in rows if row.split == name] for name in ("validation", "test"))
    else:
        first, second = halves(rows, by_time=by_time, seed=seed)
    like = {index for index, _, _ in leakage.near_duplicates(first, second)}
    return {
        "oos_validation": [row for index, row in enumerate(first) if index not in like],
        "oos_test": list(second),
    }


def _digest(cards: Mapping[str, SplitCard]) -> str:
    """The digest of a corpus: over the digests of its files, by name."""
    return digest_of("".join(f"{card.digest}  {name}.jsonl\n" for name, card in sorted(cards.items())).encode())


def read_card(corpus: Path) -> DataCard:
    """The data card of a corpus folder.

    Raises:
        IntegrityError: it is not a data card.
        DataError: there is none.
    """
    path = corpus / CARD_FILE
    if not path.is_file():
        raise DataError(f"{path}: no data card; build the corpus again")
    return parse(DataCard, path.read_bytes(), where=str(path))
