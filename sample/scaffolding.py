"""Writing the sample project into a new folder."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path

from fleet_manifests.errors import LadingError, StorageError, UsageError
from sample.erp import Size, generate
from sample.procedures import write_procedures
from sample.rendering.extra import need_libraries


def scaffold(directory: Path, seed: int = 7, *, size: Size | None = None) -> None:
    """Write the sample project: its YAML and SQL files, `erp.sqlite`, procedures and questions about them.

    All is made beside its place first; a failure leaves the folder as it was.

    Raises:
        MissingExtraError: the libraries that render procedures are not installed.
        UsageError: `directory` is a file, or a folder that is not empty.
        StorageError: it cannot be written.
    """
    need_libraries("lading init")
    fresh = not directory.exists()
    if not fresh and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory}: expected a new or an empty folder, found more; choose another name")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=directory) as unfinished:
            _write(Path(unfinished) / "project", directory, seed, size)
    except (OSError, LadingError) as exc:
        _withdraw(directory, fresh)
        if isinstance(exc, (OSError, StorageError)):
            raise StorageError(f"{directory}: the sample project could not be written: {exc}") from exc
        raise


def _write(project: Path, directory: Path, seed: int, size: Size | None) -> None:
    """Make the project in one folder and move it to another; `lading.yaml` makes it a project, so it goes last."""
    with resources.as_file(resources.files("sample") / "project") as files:
        shutil.copytree(files, project, copy_function=shutil.copyfile)
    generate(project / "erp.sqlite", seed=seed, size=size)
    write_procedures(project)
    for path in sorted(project.iterdir(), key=lambda path: path.name == "lading.yaml"):
        path.replace(directory / path.name)


def _withdraw(directory: Path, fresh: bool) -> None:
    """Leave the folder as it was found: absent, or empty."""
    if fresh:
        shutil.rmtree(directory, ignore_errors=True)
        return
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
