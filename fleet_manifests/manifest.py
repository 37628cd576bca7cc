"""The fleet manifest: the versioned, signed statement of what may run for a channel."""

from __future__ import annotations

import typing
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, model_validator

from fleet_manifests.bundle import BaseRef, BundleRef, Descriptor
from fleet_manifests.errors import IntegrityError, RefusedError
from fleet_manifests.evidence import Verdict
from fleet_manifests.knowledge import PackName
from fleet_manifests.placement import Placement, Where
from fleet_manifests.profile import ONNXRUNTIME, HardwareProfile, HostFacts
from fleet_manifests.wire import DataClass, Digest, Name, Task, Wire

Channel = Literal["candidates", "canary", "stable"]


class Guardrails(Wire):
    """What holds for a workflow whichever build answers."""

    minimum_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Never answer below this, whatever the build's own threshold says."""
    max_characters: Annotated[int, Field(ge=1)] = 20_000
    max_knowledge_age_days: Annotated[int, Field(ge=0)] | None = None
    """Days after its `review_by` from which a passage is no longer given; None: it is given, marked as stale."""


class BuildEntry(Wire):
    """One build of a workflow: the bundle for a profile, and what its evidence said."""

    bundle: BundleRef
    defer_threshold: Annotated[float, Field(ge=0, le=1)]
    verdict: Verdict
    engine: Name = ONNXRUNTIME
    """What runs the bundle, so that a site without it does not fetch it. A name, so that a later one breaks no site."""
    evidence: tuple[Descriptor, ...] = ()
    """DSSE envelopes over the bundle digest, as blobs."""
    attestations: tuple[Descriptor, ...] = ()
    """Where the bundle comes from, and its model card: envelopes over its digest, as blobs."""
    reference: BundleRef | None = None
    """The bundle that its successors are held to besides this one, so that small losses cannot add up: the first that
    the channel had for this workflow and profile, until a release manager renews it. None: this one."""
    cases: Descriptor | None = None
    """The texts that a device runs to measure this build, as a blob; only in `candidates`, and None there where
    they may not travel."""


class WorkflowEntry(Wire):
    """One workflow of a channel."""

    task: Task
    title: str
    owner: str
    placement: Placement
    bases: dict[str, BaseRef] = {}
    """Base per placement (`edge`, `central`)."""
    builds: dict[Name, BuildEntry] = {}
    """Build per profile name."""
    prompt_version: str | None = None
    policy_version: str | None = None
    roles: tuple[str, ...] = ()
    """Roles that may ask; empty: everyone."""
    actions: dict[str, Literal["advise", "local", "central-approval"]] = {}
    data_classes: tuple[DataClass, ...] = ()
    guardrails: Guardrails = Guardrails()
    text_export: Literal["never", "deferred", "always"] = "deferred"
    """Which request texts may leave the site."""


class PackRef(Wire):
    """A knowledge or context pack and the site classes that may have it.

    A knowledge pack names the workflow and profile whose retriever it is bound to, and is signed; a site
    that finds one of these missing does not install it.
    """

    name: PackName
    blob: Descriptor
    """The pack's OCI manifest; its digest is the pack's identity."""
    site_classes: tuple[Name, ...]
    retriever: Digest | None = None
    """Bundle digest of the retriever that a knowledge pack is bound to."""
    expires: AwareDatetime | None = None
    workflow: Name | None = None
    profile: Name | None = None
    signature: Descriptor | None = None
    data_class: DataClass = DataClass.INTERNAL
    """The highest class of what is in it."""
    verdict: Verdict = Verdict.INCONCLUSIVE
    evidence: tuple[Descriptor, ...] = ()
    """DSSE envelopes over the pack's digest, as blobs."""


class Revocation(Wire):
    """A bundle or knowledge pack that must stop wherever it runs; `bundle` is the digest of either."""

    bundle: Digest
    reason: str


class FleetManifest(Wire):
    """Version 1 of the contract. Fields may be added; an old site ignores what it does not
    know, unless the field's dotted path is listed in `critical`: then it refuses the document.
    """

    schema_version: Literal[1] = 1
    channel: Channel
    version: Annotated[int, Field(ge=1)]
    issued: AwareDatetime
    expires: AwareDatetime
    max_offline_hours: Annotated[int, Field(ge=1)] = 24 * 30
    """How long a site may go on answering without having seen the repository."""
    minimum_agent: str = "0.1.0"
    """Oldest `lading` that may act on this manifest."""
    profiles: dict[Name, HardwareProfile] = {}
    workflows: dict[Name, WorkflowEntry] = {}
    knowledge_packs: tuple[PackRef, ...] = ()
    context_packs: tuple[PackRef, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    updates: Descriptor | None = None
    """The list of deltas (`fleet_manifests.updates.Updates`), as a blob; a site may do without."""
    critical: tuple[str, ...] = ()
    """Dotted paths (`workflows.*.guardrails.minimum_confidence`) a reader must understand."""

    @model_validator(mode="after")
    def _consistent(self) -> FleetManifest:
        if unknown := sorted(set(self.critical) - field_paths(type(self))):
            raise ValueError(f"critical field {unknown[0]} is not known to this version; update lading")
        for name, workflow in self.workflows.items():
            if missing := sorted(set(workflow.builds) - set(self.profiles)):
                raise ValueError(f"workflow {name} has a build for profile {missing[0]}, which is not listed")
            if self.channel != "candidates" and any(build.cases for build in workflow.builds.values()):
                raise ValueError(f"workflow {name} has measurement cases; only candidates are measured")
        return self

    def profile_for(self, host: HostFacts, *, kind: str, wanted: str | None) -> HardwareProfile:
        """The profile that a machine runs.

        Args:
            host: the machine.
            kind: `edge` or `central`.
            wanted: the profile that the assignment names, or None.

        Raises:
            RefusedError: no profile of that kind matches, with the reason for each.
        """
        candidates = [p for p in self.profiles.values() if p.kind == kind and wanted in (None, p.name)]
        reasons = {p.name: p.mismatch(host) for p in candidates}
        fitting = [p for p in candidates if reasons[p.name] is None]
        if not fitting:
            said = "; ".join(f"{name}: {why}" for name, why in sorted(reasons.items())) or "the manifest lists none"
            raise RefusedError(f"no {kind} profile of {self.channel} {self.version} fits this machine: {said}")
        return max(fitting, key=lambda p: (p.preference, p.name))

    def bundles(self) -> dict[str, BundleRef]:
        """Every bundle that this manifest names, by digest."""
        refs = [build.bundle for workflow in self.workflows.values() for build in workflow.builds.values()]
        return {ref.digest: ref for ref in refs}

    def knowledge_pack(self, workflow: str, profile: str, site_class: str) -> PackRef | None:
        """The knowledge pack of a workflow for the machines of a profile at sites of a class, or None."""
        for pack in self.knowledge_packs:
            if (pack.workflow, pack.profile) == (workflow, profile) and site_class in pack.site_classes:
                return pack
        return None

    def require_channel(self, channel: str) -> None:
        """Refuse a manifest of another channel served under this one's name.

        Raises:
            IntegrityError: the channel differs.
        """
        if self.channel != channel:
            raise IntegrityError(f"{channel}/manifest.json: says it is the manifest of channel {self.channel}")


def placed_at(workflow: WorkflowEntry, kind: str) -> bool:
    """Whether a workflow runs at that kind of runtime: the centre runs all, an edge what is placed there."""
    return kind == "central" or workflow.placement.where is not Where.CENTRAL


def field_paths(model: type[BaseModel]) -> set[str]:
    """Every dotted field path of a model; `*` stands for a key or an index."""
    paths: set[str] = set()
    for name, field in model.model_fields.items():
        paths.add(name)
        nested, wild = _nested(field.annotation)
        if nested is not None:
            prefix = f"{name}.*" if wild else name
            paths |= {f"{prefix}.{path}" for path in field_paths(nested)}
    return paths


def _nested(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model inside an annotation, and whether it is the item of a collection."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    wild = typing.get_origin(annotation) in (dict, tuple)
    for argument in typing.get_args(annotation):
        found, deeper = _nested(argument)
        if found is not None:
            return found, wild or deeper
    return None, False
