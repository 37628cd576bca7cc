"""The procedures of the sample and the questions that floor staff ask about them, as files of a project.

The package holds them as Markdown (`sops/documents/`) and as lines of JSON by writer (`sops/questions/`); a project
gets each procedure in the format that its front matter names, and the questions by split.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from fleet_manifests.errors import DataError
from sample.rendering import KINDS, Kind, render

SPLITS = ("validation", "test")
_ANSWERED = ("id", "text", "answers", "style")
_UNANSWERED = ("id", "text", "style")


def write_procedures(project: Path) -> None:
    """Write `sops/` and `questions/` into a project folder that has neither.

    Raises:
        DataError: a procedure or a question of the package is not what it must be.
        OSError: a file cannot be written.
    """
    with resources.as_file(resources.files("sample") / "sops") as packaged:
        documents = {path.name: path.read_text("utf-8") for path in sorted((packaged / "documents").glob("*.md"))}
        questions = {path.name: path.read_text("utf-8") for path in sorted((packaged / "questions").glob("*.jsonl"))}
    for folder in ("sops", "questions"):
        (project / folder).mkdir()
    for source, markdown in documents.items():
        name, kind = file_of(markdown, source)
        (project / "sops" / name).write_bytes(render(markdown, kind))
    for name, text in merge_questions(questions).items():
        (project / "questions" / name).write_text(text, encoding="utf-8")


def file_of(markdown: str, source: str) -> tuple[str, Kind]:
    """The file name of a procedure in a project, `wh-017-r4.docx`, and its format.

    Raises:
        DataError: its front matter lacks document, revision or format, or the format is unknown.
    """
    from sample.rendering.reading import split_front

    front, _ = split_front(markdown)
    for key in ("document", "revision", "format"):
        if not front.get(key):
            raise DataError(f"{source}: front matter: {key}: expected a value, found none; add it")
    kind = next((kind for kind in KINDS if kind == front["format"]), None)
    if kind is None:
        raise DataError(f"{source}: front matter: format: expected one of {', '.join(KINDS)}, found {front['format']}")
    return f"{front['document']}-r{front['revision']}.{kind}".lower(), kind


def merge_questions(files: Mapping[str, str]) -> dict[str, str]:
    """The question files of a project from those of the writers.

    `NAME.jsonl` holds questions with their answers, `NAME_unanswered.jsonl` those that nothing answers, each with its
    split; `NAME_train.jsonl` holds questions for training; what ends in `_disagreements` is for tests only.

    Args:
        files: lines of JSON by file name.

    Returns:
        lines of JSON by file name: `sop_assistant_validation.jsonl` and so on, in the order of names and lines.

    Raises:
        DataError: a line is not a question, or an id appears twice.
    """
    names = ("train", *SPLITS, *(f"unanswered_{split}" for split in SPLITS))
    merged = {f"sop_assistant_{name}.jsonl": "" for name in names}
    seen: set[str] = set()
    for file, text in sorted(files.items()):
        if file.endswith("_disagreements.jsonl"):
            continue
        unanswered, training = file.endswith("_unanswered.jsonl"), file.endswith("_train.jsonl")
        keys = _UNANSWERED if unanswered else _ANSWERED
        for number, line in enumerate(text.splitlines(), 1):
            row = _question(line, keys, f"{file}:{number}")
            if row["id"] in seen:
                raise DataError(f"{file}:{number}: id: {row['id']} is taken by another question; choose another")
            seen.add(row["id"])
            split = "train" if training else _split(row, f"{file}:{number}")
            name = f"sop_assistant_{'unanswered_' if unanswered else ''}{split}.jsonl"
            merged[name] += json.dumps({key: row[key] for key in keys}, ensure_ascii=False) + "\n"
    return merged


def _question(line: str, keys: tuple[str, ...], where: str) -> dict[str, Any]:
    """One line as a question that has every key."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as exc:
        raise DataError(f"{where}: expected a line of JSON, found: {exc}; mend it") from exc
    missing = [key for key in keys if not isinstance(row, dict) or not row.get(key)]
    if missing:
        raise DataError(f"{where}: {missing[0]}: expected a value, found none; add it")
    return dict(row)


def _split(row: Mapping[str, Any], where: str) -> str:
    if row.get("split") not in SPLITS:
        raise DataError(f"{where}: split: expected validation or test, found {row.get('split')}")
    return str(row["split"])
