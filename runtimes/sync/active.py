"""What a site runs now: the record that sync writes and the server reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from fleet_manifests.bundle import BUNDLE_FILE
from fleet_manifests.errors import IntegrityError
from fleet_manifests.knowledge import PACK_FILE, PackName
from fleet_manifests.manifest import Guardrails
from fleet_manifests.placement import Where
from fleet_manifests.wire import DataClass, Digest, Name, Task, Wire, parse

ACTIVE_FILE = "active.json"
CURRENT = "current"
PREVIOUS = "previous"
VERSIONS = "versions"
BUNDLES = "bundles"
PACKS = "packs"
RETURNED = "returned"
"""In the folder of a version: builds that came back because a later one was revoked."""


class ActivePack(Wire):
    """The knowledge pack that a retriever searches here."""

    digest: Digest
    """The digest of the pack's OCI manifest."""
    name: PackName
    """`<workflow>--<profile>--<site_class>`: the pack's folder and the name that its signature is for."""
    data_class: DataClass
    """The highest class of its passages."""
    encrypted: bool = False
    """It is opened with the key of the site class."""
    blobs: tuple[Digest, ...]
    """Everything that the pack was made of: OCI manifest, signature, layers."""


class Before(Wire):
    """A build that this site ran before another one, and the manifest that approved it."""

    channel: Literal["canary", "stable"]
    manifest_version: Annotated[int, Field(ge=1)]
    manifest: Digest
    """The signed manifest, kept as a blob: what it said of the build is read there, and nowhere else."""
    bundle: Digest
    pack: Digest | None = None
    blobs: tuple[Digest, ...]
    """Everything that it needs, the manifest included."""

    @property
    def digests(self) -> tuple[str, str | None]:
        """The bundle, and the pack where there is one."""
        return self.bundle, self.pack


class Returned(Wire):
    """Why a workflow runs the build before the approved one."""

    before: Before
    instead: Digest
    """The bundle that it ran, or would run, if nothing had been revoked."""
    reason: str
    """What was revoked, and why."""

    @property
    def said(self) -> str:
        """All of it, for a person."""
        approved = f"{self.before.channel} {self.before.manifest_version}"
        return f"{self.reason}; the build before it answers, which {approved} approved"


class ActiveWorkflow(Wire):
    """One workflow that is served here: the policy of the manifest and the bundle that answers."""

    task: Task
    title: str
    owner: str
    where: Where
    """Where the workflow is placed: `edge`, `hybrid` or (at the centre only) `central`."""
    roles: tuple[str, ...] = ()
    actions: dict[str, Literal["advise", "local", "central-approval"]] = {}
    guardrails: Guardrails = Guardrails()
    text_export: Literal["never", "deferred", "always"] = "deferred"
    data_classes: tuple[DataClass, ...] = ()
    prompt_version: str | None = None
    policy_version: str | None = None
    defer_threshold: Annotated[float, Field(ge=0, le=1)]
    bundle: Digest
    """The bundle digest."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,127}$")]
    """`<workflow>--<profile>`: the bundle's folder and the name that its signature is for."""
    blobs: tuple[Digest, ...]
    """Everything that the bundle was made of: OCI manifest, signature, layers."""
    pack: ActivePack | None = None
    """What a retriever searches; None for every other task."""
    returned: Returned | None = None
    """Where this is the build before the one that the running manifest names."""

    @property
    def folder(self) -> str:
        """The bundle's folder, relative to the folder of its version."""
        return f"{self._place}{BUNDLES}/{self.name}"

    @property
    def pack_folder(self) -> str:
        """The folder of its pack, relative to the folder of its version.

        Raises:
            KeyError: it searches none.
        """
        if self.pack is None:
            raise KeyError(self.name)
        return f"{self._place}{PACKS}/{self.pack.name}"

    @property
    def _place(self) -> str:
        return "" if self.returned is None else f"{RETURNED}/{self.name}/"

    @property
    def digests(self) -> tuple[str, str | None]:
        """What runs: the bundle, and the pack where there is one."""
        return self.bundle, None if self.pack is None else self.pack.digest

    @property
    def needed(self) -> tuple[Digest, ...]:
        """The blobs of the bundle and of its pack."""
        return self.blobs if self.pack is None else (*self.blobs, *self.pack.blobs)


class Active(Wire):
    """One complete, verified version of a site.

    `seen` moves; a revoked workflow is taken out, and the build before it comes back; nothing else changes.
    """

    schema_version: Literal[1] = 1
    version: Name
    """Name of the folder under `versions/`."""
    site: Name
    site_class: Name
    kind: Literal["edge", "central"]
    channel: Literal["canary", "stable"]
    manifest_version: Annotated[int, Field(ge=1)]
    manifest_digest: Digest
    assignment_version: Annotated[int, Field(ge=1)]
    profile: Name
    activated: AwareDatetime
    seen: AwareDatetime
    """When the repository was last refreshed with every check passed."""
    max_offline_hours: Annotated[int, Field(ge=1)]
    central: str | None = None
    """Base URL of the central service that answers what this site defers."""
    workflows: dict[Name, ActiveWorkflow] = {}
    skipped: dict[str, str] = {}
    """Workflows that do not run here, each with the reason."""
    stopped: dict[Name, ActiveWorkflow] = {}
    """Those of them whose bundle or pack was revoked: a site takes what it is asked, and defers it to the centre."""
    data_classes: tuple[DataClass, ...] = ()
    """What the assignment allows here; a record of before that was noted allows nothing to come back."""
    before: dict[Name, Before] = {}
    """The build of each workflow that ran here before this one, to return to if this one is revoked."""
    refused: dict[Name, str] = {}
    """Why the build before a stopped one did not come back."""
    inputs: tuple[Digest, ...] = ()
    """Blobs that are not served: what weights are derived of, now or at the next update."""

    @property
    def returned(self) -> dict[str, Returned]:
        """The workflows that run the build before the one that is approved."""
        return {name: entry.returned for name, entry in self.workflows.items() if entry.returned is not None}

    @property
    def absent(self) -> dict[str, str]:
        """The workflows that do not run here, each with everything that is against it."""
        return {name: "; ".join(filter(None, [why, self.refused.get(name)])) for name, why in self.skipped.items()}


def load_active(state: Path) -> Active | None:
    """What the site runs, or None before the first sync.

    A cheap check: the record parses, each bundle's `bundle.json` and each pack's `pack.json`
    are in place. The bytes were verified before the version was named; who loads checks what it loads.

    Args:
        state: the site's state folder.

    Raises:
        IntegrityError: the active version is damaged; the next sync puts it right.
    """
    version = current_version(state, CURRENT)
    if version is None:
        return None
    active = load_version(state, version)
    for workflow, entry in active.workflows.items():
        if not (bundle_folder(state, active, workflow) / BUNDLE_FILE).is_file():
            raise IntegrityError(f"{version}: {entry.folder}/{BUNDLE_FILE} is missing; run `sync` again")
        if entry.pack is not None and not (pack_folder(state, active, workflow) / PACK_FILE).is_file():
            raise IntegrityError(f"{version}: {entry.pack_folder}/{PACK_FILE} is missing; run `sync` again")
    return active


def bundle_folder(state: Path, active: Active, workflow: str) -> Path:
    """The folder of the bundle that answers a workflow.

    Raises:
        KeyError: the workflow does not run here.
    """
    return state / VERSIONS / active.version / active.workflows[workflow].folder


def pack_folder(state: Path, active: Active, workflow: str) -> Path:
    """The folder of the knowledge pack that a workflow searches.

    Raises:
        KeyError: the workflow does not run here, or searches none.
    """
    return state / VERSIONS / active.version / active.workflows[workflow].pack_folder


def current_version(state: Path, link: str) -> str | None:
    """The name of the version that `current` or `previous` points to, or None.

    Raises:
        IntegrityError: something else than a link to a version is in its place.
    """
    path = state / link
    if not path.is_symlink():
        if path.exists():
            raise IntegrityError(f"{path}: a link to a version was expected; move what is there away")
        return None
    target = path.readlink()
    if target.parts[:-1] != (VERSIONS,) or target.name in (".", ".."):
        raise IntegrityError(f"{path}: points to {target}, not to a version; remove it and run `sync` again")
    return target.name


def load_version(state: Path, version: str) -> Active:
    """The record of one version.

    Raises:
        IntegrityError: it is missing, unreadable or of another version.
    """
    path = state / VERSIONS / version / ACTIVE_FILE
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise IntegrityError(f"{path}: cannot be read ({exc.strerror}); run `sync` again") from exc
    active = parse(Active, raw, where=str(path))
    if active.version != version:
        raise IntegrityError(f"{path}: is the record of version {active.version}; run `sync` again")
    return active
