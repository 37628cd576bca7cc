"""What the files of a project may say. Every key is listed here; any other is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fleet_manifests import (
    DataClass,
    Factors,
    Guardrails,
    HardwareProfile,
    LatencyObjective,
    Name,
    Override,
    Task,
    UsageError,
)
from fleet_manifests.authors import Attestation, Author
from fleet_manifests.placement import SITE_CLASSES
from fleet_manifests.receipt import key_fingerprint
from pipelines.corpora.spec import CorpusSpec, LibraryCorpusSpec
from training.arguments import RetrieveArguments, TuneArguments
from training.bases import BaseSpec


class Spec(BaseModel):
    """Base of every project type: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrustSpec(Spec):
    """Who may sign what; without it, the builder's key signs everything."""

    authors: Annotated[tuple[Author, ...], Field(min_length=1)]
    trusted_root: str | None = None
    """Sigstore's trusted root: a JSON file of the project. Keyless identities need it."""
    require: tuple[Attestation, ...] = ()
    """Attestations without which no bundle enters a channel, and no site runs one."""


class Settings(Spec):
    """`lading.yaml`."""

    name: Name
    title: str = ""
    seed: Annotated[int, Field(ge=0)] = 7
    """Seed of every random choice."""
    allowed_at_sites: frozenset[DataClass] = SITE_CLASSES
    """Data classes that may live at a site at all."""
    signers: dict[Name, str] = {}
    """Where keys are that are not in the key store: URI by role or release manager."""
    trust: TrustSpec | None = None
    """Who may sign bundles and what is attested of them."""


class Gates(Spec):
    """What a build must show, whatever its task."""

    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Lowest value of the metric that may ship."""
    margin: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    """Largest loss against the unquantized model that is accepted (non-inferiority)."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    target_precision: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Precision that the answered requests must keep; what is less certain is deferred."""


class ClassifyGates(Gates):
    """Gates of a classifier."""

    metric: Literal["macro_f1", "accuracy"] = "macro_f1"


class RetrieveGates(Gates):
    """Gates of a retriever. A request counts as answered right when the first passage given answers it."""

    metric: Literal["ndcg_at_10", "recall_at_5", "mrr"] = "ndcg_at_10"
    target_precision: Annotated[float, Field(gt=0, le=1)] = 0.9
    neighbour_overlap: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the ten passages nearest to a validation question, the share that a recipe must have in common with the
    unquantized model."""


class GuardrailSpec(Guardrails):
    """Guardrails of a workflow."""

    model_config = ConfigDict(extra="forbid")


class PlacementSpec(Factors):
    """Placement factors of a workflow, and a person's override."""

    model_config = ConfigDict(extra="forbid")

    override: Override | None = None


class WorkflowSpec(Spec):
    """What every `workflows/NAME.yaml` may say."""

    name: Name
    title: str
    owner: str
    task: Task
    data_classes: Annotated[frozenset[DataClass], Field(min_length=1)]
    base: BaseSpec = BaseSpec()
    guardrails: GuardrailSpec = GuardrailSpec()
    placement: PlacementSpec = PlacementSpec()
    profiles: tuple[Name, ...] = ()
    """Profiles to build for; empty: all of the project."""
    roles: tuple[str, ...] = ()
    actions: dict[str, Literal["advise", "local", "central-approval"]] = {}
    text_export: Literal["never", "deferred", "always"] = "deferred"
    prompt_version: str | None = None
    policy_version: str | None = None


class ClassifyWorkflow(WorkflowSpec):
    """A workflow that puts a text into one of several classes."""

    task: Literal[Task.CLASSIFY]
    corpus: CorpusSpec
    training: TuneArguments = TuneArguments()
    gates: ClassifyGates = ClassifyGates()


class RetrieveWorkflow(WorkflowSpec):
    """A workflow that answers a question with passages of a library, verbatim and cited."""

    task: Literal[Task.RETRIEVE]
    corpus: LibraryCorpusSpec
    training: RetrieveArguments = RetrieveArguments()
    gates: RetrieveGates = RetrieveGates()


Workflow = ClassifyWorkflow | RetrieveWorkflow
TASKS: dict[str, type[ClassifyWorkflow] | type[RetrieveWorkflow]] = {
    "classify": ClassifyWorkflow,
    "retrieve": RetrieveWorkflow,
}
"""What a workflow file may say, by its `task`."""


class LatencySpec(LatencyObjective):
    """Latency objective of a profile."""

    model_config = ConfigDict(extra="forbid")


class ProfileSpec(HardwareProfile):
    """`profiles/NAME.yaml`."""

    model_config = ConfigDict(extra="forbid")

    latency: LatencySpec


class ChannelSpec(Spec):
    """Publication policy of a channel."""

    expires_days: Annotated[int, Field(ge=1, le=365)] = 30
    managers: tuple[Name, ...] = ()
    """Release managers whose keys may sign this channel; only `stable` has them."""
    threshold: Annotated[int, Field(ge=1)] = 1
    """Managers who must sign."""

    @model_validator(mode="after")
    def _reachable(self) -> ChannelSpec:
        if len(set(self.managers)) != len(self.managers):
            raise ValueError("managers: a name appears twice")
        if self.managers and self.threshold > len(self.managers):
            raise ValueError(f"threshold {self.threshold} is more than the {len(self.managers)} managers")
        return self


class SiteSpec(Spec):
    """One site of the fleet."""

    site: Name
    site_class: Name
    kind: Literal["edge", "central"] = "edge"
    channel: Literal["canary", "stable"] = "stable"
    ring: Annotated[int, Field(ge=0)] = 0
    profile: Name | None = None
    workflows: tuple[Name, ...] = ()
    data_classes: tuple[DataClass, ...] = (DataClass.PUBLIC, DataClass.INTERNAL, DataClass.CUSTOMER)


class CentralSpec(Spec):
    """Where sites reach the central service."""

    url: Annotated[str, Field(pattern=r"^https?://")]


class ChannelsSpec(Spec):
    """The channels that a project publishes."""

    candidates: ChannelSpec = ChannelSpec()
    canary: ChannelSpec = ChannelSpec()
    stable: ChannelSpec = ChannelSpec(expires_days=90)

    @model_validator(mode="after")
    def _managed(self) -> ChannelsSpec:
        if not self.stable.managers:
            raise ValueError("stable.managers: name the release managers, at least one")
        if self.candidates.managers or self.canary.managers:
            raise ValueError("managers: only stable is signed by release managers")
        return self


class ReceiptsSpec(Spec):
    """Which measurements of devices count."""

    max_age_days: Annotated[int, Field(ge=1, le=365)] = 30
    """Days after which a measurement that was not imported is too old."""


class DeviceSpec(Spec):
    """`devices/SITE.yaml`: the device of a site, whose receipts count."""

    name: Name
    """The site."""
    public_key: str
    """Its public key, EC P-256, PEM."""
    cpu_model: str | None = None
    """The CPU that it had when it was registered; None: any CPU that fits the profile."""

    @field_validator("public_key")
    @classmethod
    def _a_key(cls, text: str) -> str:
        try:
            key_fingerprint(text.encode())
        except UsageError as exc:
            raise ValueError(str(exc)) from exc
        return text

    @property
    def pem(self) -> bytes:
        """The public key."""
        return self.public_key.encode()

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public key."""
        return key_fingerprint(self.pem)


class FleetSpec(Spec):
    """`fleet.yaml`."""

    channels: ChannelsSpec
    central: CentralSpec | None = None
    max_offline_hours: Annotated[int, Field(ge=1)] = 24 * 30
    receipts: ReceiptsSpec = ReceiptsSpec()
    evidence_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Days after which evidence no longer lets a build into `canary` or `stable`."""
    licences: tuple[str, ...] = ()
    """Licences (SPDX) that a base or corpus may have; empty: any that is stated."""
    sites: tuple[SiteSpec, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> FleetSpec:
        names = [site.site for site in self.sites]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sites: {twice[0]} appears twice")
        return self
