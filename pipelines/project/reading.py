"""Reading the YAML files of a project so that an error can say where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from fleet_manifests import ConfigError

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Choice(Generic[M]):
    """Several types of file that one field tells apart."""

    field: str
    kinds: Mapping[str, type[M]]

    def of(self, tree: Mapping[str, Any], shown: str) -> type[M]:
        """The type that a file asks for.

        Raises:
            ConfigError: the field is missing or says something else.
        """
        found = str(tree.get(self.field))
        if found not in self.kinds:
            said = "missing; add it" if self.field not in tree else f"found {found!r}"
            line = line_of(tree, [self.field])
            raise ConfigError(f"{shown}:{line}: {self.field}: expected {' or '.join(self.kinds)}, {said}")
        return self.kinds[found]


def read(path: Path, kind: type[M] | Choice[M], *, project: Path, **defaults: Any) -> M:
    """Read one YAML file of a project.

    Args:
        path: the file.
        kind: what it must be, or a choice that one of its fields decides.
        project: the project's folder; errors name the file relative to it.
        defaults: fields that come from elsewhere, such as the name from the file's stem.

    Raises:
        ConfigError: missing, not YAML, a duplicate or unknown key, or a value that does not fit,
            as `file:line: field: problem`.
    """
    shown = path.relative_to(project) if path.is_relative_to(project) else path
    try:
        tree = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{shown}: missing; `lading init` writes one to start from") from exc
    except MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise ConfigError(f"{shown}:{line}: not YAML: {exc.problem}") from exc
    except (YAMLError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{shown}: not YAML in UTF-8: {exc}") from exc
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{shown}:1: expected `key: value` lines, found a {type(tree).__name__}")
    if isinstance(kind, Choice):
        kind = kind.of(tree, str(shown))
    try:
        return kind.model_validate({**defaults, **tree})
    except ValidationError as exc:
        first = min(
            exc.errors(), key=lambda error: error["type"] != "extra_forbidden"
        )  # a misspelt key explains a missing one
        field = ".".join(str(part) for part in first["loc"]) or "(document)"
        raise ConfigError(f"{shown}:{line_of(tree, first['loc'])}: {field}: {_problem(first, kind)}") from exc


def line_of(tree: Any, location: Sequence[Any]) -> int:
    """The 1-based line of a field, or of the nearest enclosing one that the file has."""
    line = 1
    node = tree
    for part in location:
        where = getattr(node, "lc", None)
        if where is None or not isinstance(node, dict | list):
            break
        try:
            line = (where.key(part) if isinstance(node, dict) else where.item(part))[0] + 1
            node = node[part]
        except (KeyError, IndexError, TypeError):
            continue
    return line


def _problem(error: Any, kind: type[BaseModel]) -> str:
    """What is wrong and what would be right, in one line."""
    if error["type"] == "extra_forbidden":
        known = _fields_at(kind, error["loc"][:-1])
        hint = f"; known here: {', '.join(sorted(known))}" if known else ""
        return f"unknown key{hint}"
    if error["type"] == "missing":
        return "missing; add it"
    found = error.get("input")
    shown = f", found {found!r}" if isinstance(found, str | int | float | bool) else ""
    return f"{error['msg'].removeprefix('Value error, ')}{shown}"


def _fields_at(kind: type[BaseModel], location: Sequence[Any]) -> set[str]:
    """The keys that are allowed at a location, where it is a plain nested model."""
    for part in location:
        field = kind.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return set()
        kind = field.annotation
    return {field.alias or name for name, field in kind.model_fields.items()}
