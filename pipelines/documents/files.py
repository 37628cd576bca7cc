"""The files of a source: those that match, in order, and none that lies outside its folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fleet_manifests import ConfigError
from pipelines.documents.library import Problem
from pipelines.documents.spec import DocumentSource


@dataclass(frozen=True)
class Found:
    """What is in a folder of documents."""

    files: dict[str, Path] = field(default_factory=dict)
    """Files by their path below the folder, sorted."""
    problems: tuple[Problem, ...] = ()


def files_of(source: DocumentSource, *, project: Path) -> dict[str, Path]:
    """The files of a source by their POSIX path below its folder, sorted.

    Raises:
        ConfigError: the folder is not there.
    """
    return find(source, project=project).files


def find(source: DocumentSource, *, project: Path) -> Found:
    """The files of a source and the links in its folder that are not followed.

    Hidden files and the lock files of Word (`~$name.docx`) are left out.

    Raises:
        ConfigError: the folder is not there.
    """
    folder = source.folder(project)
    if not folder.is_dir():
        raise ConfigError(f"sources/{source.name}.yaml: path: {source.path} is no folder; make it, or correct the path")
    root = folder.resolve()
    files: dict[str, Path] = {}
    problems: dict[str, Problem] = {}
    for path in _matching(folder, source.include):
        name = path.relative_to(folder).as_posix()
        if (shown := _printable(name)) != name:
            problems[shown] = Problem(file=shown, problem="a file name that is not UTF-8; rename it")
            continue
        if any(part.startswith((".", "~$")) for part in name.split("/")) or not path.is_file():
            continue
        if path.resolve().is_relative_to(root):
            files[name] = path
        else:
            problems[name] = Problem(file=name, problem="a link that leaves the folder; put the file itself there")
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.is_file():
            name = _printable(path.relative_to(folder).as_posix())
            said = "a link to a folder, which is not followed" if path.is_dir() else "a link to nothing"
            problems[name] = Problem(file=name, problem=f"{said}; put the files themselves there")
    return Found(dict(sorted(files.items())), tuple(problems[name] for name in sorted(problems)))


def _matching(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """The paths that match a pattern in any letter case."""
    for pattern in patterns:
        yield from folder.glob(re.sub(r"[A-Za-z]", lambda found: f"[{found[0].lower()}{found[0].upper()}]", pattern))


def _printable(name: str) -> str:
    """A path as text that can be written."""
    return os.fsencode(name).decode("utf-8", errors="replace")
