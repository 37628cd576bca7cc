"""A project folder, read and cross-checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from fleet_manifests import ConfigError, UsageError
from pipelines.corpora.spec import CorpusSpec
from pipelines.documents.spec import DocumentSource
from pipelines.project.reading import Choice, read
from pipelines.project.spec import (
    TASKS,
    ClassifyWorkflow,
    DeviceSpec,
    FleetSpec,
    ProfileSpec,
    RetrieveWorkflow,
    Settings,
    Workflow,
)
from pipelines.sources.spec import SqlSource
from pipelines.store import Store

PROJECT_FILE = "lading.yaml"

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


@dataclass(frozen=True)
class Project:
    """A project folder and what its files say."""

    root: Path
    settings: Settings
    sources: Mapping[str, SqlSource]
    """Databases."""
    libraries: Mapping[str, DocumentSource]
    """Folders of documents."""
    workflows: Mapping[str, Workflow]
    profiles: Mapping[str, ProfileSpec]
    fleet: FleetSpec
    devices: Mapping[str, DeviceSpec]
    """Devices whose receipts count, by site."""

    @property
    def state(self) -> Path:
        """Where everything that can be made again lives."""
        return self.root / ".lading"

    @property
    def lake(self) -> Path:
        """The folder of the embedded lake."""
        return self.state / "lake"

    @property
    def public(self) -> Path:
        """The published tree."""
        return self.root / "public"

    @property
    def receipts(self) -> Path:
        """What devices have measured: it cannot be made again, and is kept for ever."""
        return self.root / "receipts"

    @property
    def mlflow(self) -> Path:
        """The database of MLflow."""
        return self.state / "mlflow.db"

    @property
    def tracking_uri(self) -> str:
        """How MLflow names it."""
        return f"sqlite:///{self.mlflow}"

    @cached_property
    def store(self) -> Store:
        """The content-addressed store."""
        return Store(self.state / "store")

    def workflow(self, name: str) -> Workflow:
        """The workflow of that name.

        Raises:
            UsageError: there is none.
        """
        return _named(self.workflows, name, "workflow")

    def classifier(self, name: str) -> ClassifyWorkflow:
        """The workflow of that name, which must be one of task `classify`.

        Raises:
            UsageError: there is none, or it is of another task.
        """
        found = self.workflow(name)
        if not isinstance(found, ClassifyWorkflow):
            raise UsageError(f"workflow {name}: expected task classify, found {found.task.value}")
        return found

    def retriever(self, name: str) -> RetrieveWorkflow:
        """The workflow of that name, which must be one of task `retrieve`.

        Raises:
            UsageError: there is none, or it is of another task.
        """
        found = self.workflow(name)
        if not isinstance(found, RetrieveWorkflow):
            raise UsageError(f"workflow {name}: expected task retrieve, found {found.task.value}")
        return found

    @property
    def retrievers(self) -> list[str]:
        """The workflows of task `retrieve`, sorted."""
        return sorted(name for name, spec in self.workflows.items() if isinstance(spec, RetrieveWorkflow))

    def profile(self, name: str) -> ProfileSpec:
        """The hardware profile of that name.

        Raises:
            UsageError: there is none.
        """
        return _named(self.profiles, name, "profile")

    def builds(self) -> list[tuple[str, str]]:
        """Every (workflow, profile) that the project asks for, sorted."""
        wanted = [(name, spec.profiles or tuple(self.profiles)) for name, spec in self.workflows.items()]
        return sorted((workflow, profile) for workflow, profiles in wanted for profile in profiles)


def _named(found: Mapping[str, T], name: str, what: str) -> T:
    if name in found:
        return found[name]
    close = get_close_matches(name, found, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(found)) or 'none'}"
    raise UsageError(f"{what} {name}: not in this project; {hint}")


def find_project(chosen: Path | None = None) -> Path:
    """The project folder: the one given, `LADING_PROJECT`, or the nearest one above the working directory.

    Raises:
        UsageError: there is none.
    """
    named = chosen or (Path(os.environ["LADING_PROJECT"]) if os.environ.get("LADING_PROJECT") else None)
    if named is not None:
        if not (named / PROJECT_FILE).is_file():
            raise UsageError(f"{named}: no {PROJECT_FILE} there; `lading init {named}` writes a project")
        return named.resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise UsageError(f"no {PROJECT_FILE} here or above; use --project DIR, LADING_PROJECT, or `lading init DIR`")


def load_project(root: Path) -> Project:
    """Read a project folder.

    Raises:
        ConfigError: the first problem found, as `file:line: field: problem`.
    """
    root = root.resolve()
    sources = _folder(root, "sources", Choice[BaseModel]("kind", {"sql": SqlSource, "documents": DocumentSource}))
    project = Project(
        root=root,
        settings=read(root / PROJECT_FILE, Settings, project=root),
        sources={name: one for name, one in sources.items() if isinstance(one, SqlSource)},
        libraries={name: one for name, one in sources.items() if isinstance(one, DocumentSource)},
        workflows=_folder(root, "workflows", Choice[Workflow]("task", TASKS)),
        profiles=_folder(root, "profiles", ProfileSpec),
        fleet=read(root / "fleet.yaml", FleetSpec, project=root),
        devices=_folder(root, "devices", DeviceSpec),
    )
    _cross_check(project)
    return project


def _folder(root: Path, folder: str, kind: type[M] | Choice[M]) -> dict[str, M]:
    """Read every YAML file of a folder; the stem is the name."""
    found: dict[str, M] = {}
    for path in sorted([*(root / folder).glob("*.yaml"), *(root / folder).glob("*.yml")]):
        if path.stem in found:
            raise ConfigError(f"{folder}/{path.name}:1: name: {path.stem} is taken by another file; rename one")
        found[path.stem] = read(path, kind, project=root, name=path.stem)
    return found


def _cross_check(project: Project) -> None:
    """What no single file can know."""
    for what in ("workflows", "profiles"):
        if not getattr(project, what):
            raise ConfigError(f"{what}/: no YAML file there; a project has at least one")
    for name, workflow in project.workflows.items():
        for profile in workflow.profiles:
            _known(profile, project.profiles, f"workflows/{name}.yaml: profiles")
        for file in _files(workflow):
            if not (project.root / file).is_file():
                raise ConfigError(f"workflows/{name}.yaml: corpus: {file}: no such file in the project")
        if isinstance(workflow, RetrieveWorkflow) and workflow.corpus.source is not None:
            _known(workflow.corpus.source, project.libraries, f"workflows/{name}.yaml: corpus: source")
    for site in project.fleet.sites:
        where = f"fleet.yaml: sites: {site.site}"
        for workflow_name in site.workflows:
            _known(workflow_name, project.workflows, f"{where}: workflows")
        if site.profile is not None:
            _known(site.profile, project.profiles, f"{where}: profile")
            if project.profiles[site.profile].kind != site.kind:
                raise ConfigError(f"{where}: profile: {site.profile} is not for a site of kind {site.kind}")
    _cross_check_devices(project)


def _cross_check_devices(project: Project) -> None:
    """A device is of a site of the fleet, and one key is one device."""
    sites = {site.site: site for site in project.fleet.sites}
    owners: dict[str, str] = {}
    for name, device in project.devices.items():
        _known(name, sites, f"devices/{name}.yaml: name")
        if (owner := owners.setdefault(device.fingerprint, name)) != name:
            raise ConfigError(
                f"devices/{name}.yaml: public_key: is the key of {owner} too; each device has its own, "
                "`lading-site device-key` prints it"
            )


def _files(workflow: Workflow) -> list[str]:
    """The files of the project that a workflow's corpus needs."""
    corpus = workflow.corpus
    if isinstance(corpus, CorpusSpec):
        named = [corpus.sql, corpus.out_of_scope_sql, *(corpus.files.named().values() if corpus.files else ())]
    else:
        named = [corpus.passages, *corpus.questions.named().values()]
    return [file for file in named if file is not None]


def _known(name: str, found: Mapping[str, object], where: str) -> None:
    if name not in found:
        raise ConfigError(f"{where}: {name} is not in this project; there are: {', '.join(sorted(found))}")
