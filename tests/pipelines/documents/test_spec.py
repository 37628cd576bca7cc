"""What a source file of documents may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fleet_manifests import ConfigError, DataClass
from pipelines.documents import DocumentSource
from pipelines.documents.spec import INCLUDE
from pipelines.project.reading import read

pytestmark = pytest.mark.unit
LEAST = {"name": "sops", "kind": "documents", "path": "docs"}


def test_the_defaults() -> None:
    source = DocumentSource.model_validate(LEAST)
    assert source.include == INCLUDE
    assert (source.register_file, source.data_class, source.site_classes) == (None, DataClass.INTERNAL, ())
    assert (source.max_file_mb, source.max_words) == (50, 220)


def test_everything_said() -> None:
    more = {
        "include": ["*.pdf"],
        "register": "r.csv",
        "data_class": "customer",
        "site_classes": ["branch"],
        "max_words": 300,
    }
    source = DocumentSource.model_validate(LEAST | more)
    assert source.register_file == "r.csv"
    assert source.site_classes == ("branch",)
    assert source.folder(Path("/p")) == Path("/p/docs")


def test_an_absolute_folder() -> None:
    assert DocumentSource.model_validate(LEAST | {"path": "/srv/sops"}).folder(Path("/p")) == Path("/srv/sops")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "sql"},
        {"path": ""},
        {"include": []},
        {"include": ["../*.md"]},
        {"include": ["/etc/*"]},
        {"include": [" "]},
        {"data_class": "secret"},
        {"site_classes": ["Not A Name"]},
        {"max_file_mb": 0},
        {"max_words": 10},
        {"name": "Not-a-schema"},
        {"folder": "docs"},
    ],
)
def test_what_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DocumentSource.model_validate(LEAST | wrong)


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError):
        DocumentSource.model_validate(LEAST).path = "other"  # type: ignore[misc]


def test_an_error_names_file_line_and_field(tmp_path: Path) -> None:
    (tmp_path / "sops.yaml").write_text("kind: documents\npath: docs\nregister: r.csv\nmax_words: 5\n")
    with pytest.raises(ConfigError, match=r"sops\.yaml:4: max_words"):
        read(tmp_path / "sops.yaml", DocumentSource, project=tmp_path, name="sops")
