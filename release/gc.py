"""Garbage collection of a published tree: old metadata, and blobs that nobody needs any more.

    >>> collect(repository, Keep(digests=reported), dry_run=True).bytes
    73400320

What stays: what the current release names; every manifest that has not expired, and the last two of each channel, with
all that they name; what a pending release or a site's last report names; the metadata of the last snapshots, for
readers in between; every root for ever, so that a site that was away for long follows the chain.

The index is written first and files go last, so that a run that was killed leaves garbage and never a gap.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import IntegrityError, UsageError, dump
from release import layout
from release.needed import DIGEST, Keep, Needed
from release.repository import Repository
from release.tree import Tree, locked, storage, sync

NOTHING_BESIDES = Keep()


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be."""

    removed: tuple[str, ...]
    """Paths in the tree, sorted."""
    bytes: int
    kept: int
    """Files that stay."""
    dry_run: bool


def collect(repository: Repository, keep: Keep = NOTHING_BESIDES, *, dry_run: bool) -> Collected:
    """Remove what nobody needs from a published tree.

    Args:
        repository: of the tree; its keys say what is published, its clock what has expired.
        keep: what stays besides.
        dry_run: only say what would be removed.

    Raises:
        UsageError: there is no repository.
        IntegrityError: the tree is not what was signed, or lacks something; nothing is removed.
        StorageError: another publisher is at work, or a file cannot be removed.
    """
    public = repository.public
    if not repository.exists:
        raise UsageError(f"{public}: there is no repository; nothing to collect")
    with locked(public):
        needed = Needed(repository.state(), keep)
        needed.documents()
        needed.manifests(repository)
        index = needed.index()
        gone = sorted(path for path in _files(public) if path not in needed.paths)
        found = Collected(
            removed=tuple(path.relative_to(public).as_posix() for path in gone),
            bytes=sum(path.stat().st_size for path in gone),
            kept=len(needed.paths),
            dry_run=dry_run,
        )
        if not dry_run and gone:
            _remove(public, index, gone)
    return found


def named_in(folders: Iterable[Path]) -> Keep:
    """All that the files below some folders name: pending releases, what sites report (`lading-site status --json`).

    A file counts for every digest in it, and for the manifest of its `channel` and `manifest_version`.

    Raises:
        IntegrityError: a file cannot be read as text.
    """
    digests: set[str] = set()
    versions: set[tuple[str, int]] = set()
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise IntegrityError(f"{path}: what it needs cannot be read: {exc}; mend or remove it") from exc
        digests.update(DIGEST.findall(text))
        try:
            said = json.loads(text)
        except ValueError:
            continue
        if isinstance(said, dict) and isinstance(said.get("manifest_version"), int):
            versions.add((str(said.get("channel")), said["manifest_version"]))
    return Keep(frozenset(digests), frozenset(versions))


def _files(public: Path) -> Iterator[Path]:
    """Every file that garbage collection may remove."""
    for folder in ("metadata", "targets", "blobs"):
        yield from (path for path in (public / folder).rglob("*") if path.is_file() or path.is_symlink())


def _remove(public: Path, index: layout.Index, gone: Iterable[Path]) -> None:
    """Write the index of what stays, and remove the rest."""
    tree = Tree(public)
    tree.write(layout.INDEX_FILE, dump(index), shared=True)
    tree.settle()
    for path in gone:
        with storage(path):
            path.unlink()
    for folder in sorted({path.parent for path in gone}):
        sync(folder)
