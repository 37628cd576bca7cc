"""The content-addressed store: what a step made, under the digest of all that went into it.

    PROJECT/.lading/store/<step>/<key>/{entry.json, files/...}

A key is the sha256 of the inputs' digests, the parameters, the source code of the packages
that do the work and the versions of the libraries that matter. Work is done in a folder
beside the store and renamed into place, so an entry is whole or it is not there. A process
hashes the files of every entry that it uses, again when they look changed; an entry that is
not what it was is set aside and made anew.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import rfc8785
from filelock import FileLock
from pydantic import Field

from fleet_manifests import Digest, IntegrityError, RefusedError, StorageError, Wire, digest_of, dump, parse, sha256_of
from fleet_manifests.memory import lent

log = logging.getLogger(__name__)


class NotDoneError(Exception):
    """A step was not done before, and nothing may be done now."""


@dataclass(frozen=True)
class Step:
    """What is to be done, and all that decides the outcome."""

    name: str
    inputs: Mapping[str, str]
    """Digest of each input by its role."""
    parameters: Mapping[str, Any]
    """Everything JSON-able that changes the outcome."""
    code: Sequence[str]
    """Packages or modules whose source does the work; `evals.*`: the modules of a package, without its subpackages."""
    libraries: Sequence[str] = ()
    """Distributions whose version matters."""

    @property
    def key(self) -> str:
        """The cache key, 64 hex digits."""
        document: dict[str, Any] = {
            "step": self.name,
            "inputs": dict(self.inputs),
            "parameters": dict(self.parameters),
            "code": {name: source_digest(name) for name in self.code},
            "libraries": {name: importlib.metadata.version(name) for name in self.libraries},
        }
        return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


class Record(Wire):
    """`entry.json` of a store entry."""

    step: str
    key: str
    files: dict[str, Digest]
    seconds: Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Entry:
    """One finished step."""

    path: Path
    """The folder with the step's files."""
    digest: str
    """Digest over the names and digests of the files."""
    key: str
    seconds: float
    """How long the work took when it was done."""
    reused: bool


class Store:
    """Finished steps of one project.

    Raises, from every method:
        StorageError: the disk is full or not writable.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[Path, dict[str, tuple[int, int]]] = {}
        """Entries that this process has verified, and how their files looked then."""
        self._reusing: list[str] | None = None

    def get(self, step: Step) -> Entry | None:
        """The entry of a step that was done before, verified, or None."""
        return self._read(step.name, step.key)

    def run(self, step: Step, work: Callable[[Path], None]) -> Entry:
        """The entry of a step, doing the work if it was not done before.

        Args:
            step: what is to be done.
            work: does it, writing into the empty folder it is given. If it raises, nothing is kept.
        """
        key = step.key
        with _storage(self.root):
            folder = self.root / step.name
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f"{key}.lock"):
                found = self._read(step.name, key)
                if self._reusing is None:
                    return found or self._work(step.name, key, work)
                if found is None:
                    raise NotDoneError(f"{step.name}/{key}")
                self._reusing.append(key)
                return found

    def keep(self, partition: str, step: Step, work: Callable[[Path], None]) -> Entry:
        """`run`, remembered as the latest outcome of the step for a partition."""
        entry = self.run(step, work)
        self.point(partition, step.name, entry)
        return entry

    @contextmanager
    def reusing(self) -> Iterator[list[str]]:
        """Do no work: a step that was not done before raises `NotDoneError`. Gives the keys of those that were."""
        self._reusing = []
        try:
            yield self._reusing
        finally:
            self._reusing = None

    def drop(self, step: Step) -> None:
        """Forget what a step made, so that it is done again."""
        if self._reusing is not None:
            raise NotDoneError(f"{step.name}: to be done again")
        shutil.rmtree(self.root / step.name / step.key, ignore_errors=True)

    def point(self, partition: str, step: str, entry: Entry) -> None:
        """Remember an entry as the latest outcome of a step for a partition."""
        with _storage(self.root):
            ref = self._ref(step, partition)
            ref.parent.mkdir(parents=True, exist_ok=True)
            partial = ref.with_name(f".{ref.name}.{os.getpid()}")
            partial.write_text(entry.key)
            os.replace(partial, ref)

    def latest(self, step: str, partition: str) -> Entry:
        """The latest outcome of a step for a partition, verified.

        Raises:
            RefusedError: there is none, or what there was is damaged.
        """
        ref = self._ref(step, partition)
        entry = self._read(step, ref.read_text()) if ref.is_file() else None
        if entry is None:
            raise RefusedError(f"{step} [{partition}]: not there; materialize it first, or run `lading build`")
        return entry

    def _ref(self, step: str, partition: str) -> Path:
        return self.root / ".refs" / step / partition

    def _work(self, name: str, key: str, work: Callable[[Path], None]) -> Entry:
        partial = self.root / name / f".partial-{key}"
        shutil.rmtree(partial, ignore_errors=True)
        files = partial / "files"
        files.mkdir(parents=True)
        started = time.monotonic()
        try:
            with lent():
                work(files)
            record = Record(step=name, key=key, files=digests(files), seconds=time.monotonic() - started)
            (partial / "entry.json").write_bytes(dump(record))
            os.replace(partial, self.root / name / key)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return _entry(self.root / name / key, record, reused=False)

    def _read(self, name: str, key: str) -> Entry | None:
        folder = self.root / name / key
        if not folder.exists():
            return None
        try:
            record = parse(Record, (folder / "entry.json").read_bytes(), where=f"{folder}/entry.json")
            looks = stamps(folder / "files")
            if self._seen.get(folder) != looks and digests(folder / "files") != record.files:
                raise IntegrityError("its files are not what they were")
            self._seen[folder] = looks
        except (IntegrityError, FileNotFoundError) as exc:
            damaged = self.root / ".damaged" / f"{name}-{key}-{time.time_ns()}"
            damaged.parent.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # another process was first
                os.replace(folder, damaged)
            log.warning("store entry %s/%s is damaged (%s): set aside as %s, made anew", name, key[:12], exc, damaged)
            return None
        return _entry(folder, record, reused=True)


def _entry(folder: Path, record: Record, *, reused: bool) -> Entry:
    digest = digest_of(rfc8785.dumps(dict(record.files)))
    return Entry(folder / "files", digest, record.key, record.seconds, reused)


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change, in nanoseconds, of every file below a folder."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path.relative_to(folder).as_posix(): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def digests(folder: Path) -> dict[str, str]:
    """The digest of every file below a folder, by relative POSIX path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def source_digest(name: str) -> str:
    """The digest of the Python source of a package, all of it or (`name.*`) without subpackages, or of a module."""
    package, flat = name.removesuffix(".*"), name.endswith(".*")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"{name} is not a package or module with source")
    origin = Path(spec.origin)
    files = sorted(origin.parent.glob("*.py" if flat else "**/*.py")) if spec.submodule_search_locations else [origin]
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(origin.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return "sha256:" + total.hexdigest()


@contextmanager
def _storage(root: Path) -> Iterator[None]:
    """Turn what the operating system says of a disk into a StorageError."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        reason = os.strerror(exc.errno)
        raise StorageError(f"{root}: {reason}; nothing was kept: make room or choose another disk") from exc
