"""Tables as a program drew them, made into tables as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.documents.blocks import Block, Depth, Page, Paragraph, TableBlock


def tidy(rows: Sequence[Sequence[str]], *, depth: Depth = 0, page: Page = None) -> Iterator[Block]:
    """A table without empty rows and columns, its header given once.

    A first row of one merged cell stands above the table as a paragraph.

    What has one column is no table but a frame: its cells are given as paragraphs.
    """
    width = max(map(len, rows), default=0)
    full = [[*row, *[""] * (width - len(row))] for row in rows if any(row)]
    kept = [column for column in range(width) if any(row[column] for row in full)]
    table = [tuple(row[column] for column in kept) for row in full]
    while len(table) > 2 and len(kept) > 1 and sum(map(bool, table[0])) == 1 and table[0][0]:
        yield Paragraph(text=table.pop(0)[0], depth=depth, page=page)
    if len(kept) > 1:
        rows_below = (row for row in table[1:] if row != table[0])
        yield TableBlock(rows=(table[0], *rows_below), depth=depth, page=page)
    else:
        yield from (Paragraph(text=row[0], depth=depth, page=page) for row in table)
