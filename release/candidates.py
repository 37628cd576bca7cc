"""Builds and packs on their way into a channel: as they lie on disk, and what was found of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from fleet_manifests import BaseRef, Descriptor, Gate, HardwareProfile, Verdict, worst
from fleet_manifests.bundle import BundleRef, bundle_name
from fleet_manifests.knowledge import pack_name
from fleet_manifests.manifest import BuildEntry, PackRef
from release.checks import Blob

C = TypeVar("C")


@dataclass(frozen=True)
class Candidate:
    """A signed bundle and its evidence, as they lie on disk."""

    workflow: str
    profile: HardwareProfile
    folder: Path
    """What `assemble` and `sign_bundle` made: `<name>/`, manifest.json, config.json, model.sig."""
    evidence: tuple[Path, ...] = ()
    """DSSE envelopes, at most one of each kind."""
    attestations: tuple[Path, ...] = ()
    """Envelopes that say where the bundle comes from, and its model card; at most one of each kind."""
    cases: Path | None = None
    """The texts that a device runs to measure it, where they may travel; they go to `candidates` only.
    A file `.age` is sealed for the classes of sites that may have them."""
    derivation: Path | None = None
    """A folder with `plan.json`, `base.bin` and `adapter.bin`, of which a site can compute the tuned weights."""

    @property
    def name(self) -> str:
        """The bundle's name."""
        return bundle_name(self.workflow, self.profile.name)


@dataclass(frozen=True)
class PackCandidate:
    """A signed knowledge pack and its evidence, as they lie on disk."""

    workflow: str
    profile: HardwareProfile
    """The profile whose retriever the pack is bound to."""
    site_class: str
    folder: Path
    """What `assemble_pack` and `sign_bundle` made: `<name>/`, manifest.json, config.json, model.sig."""
    evidence: tuple[Path, ...] = ()
    """DSSE envelopes; one, of kind `knowledge`."""

    @property
    def name(self) -> str:
        """The pack's name."""
        return pack_name(self.workflow, self.profile.name, self.site_class)


@dataclass(frozen=True)
class _Found(Generic[C]):
    """The points of a check."""

    candidate: C
    gates: tuple[Gate, ...]
    """Points of the check; only those that fail say that something is wrong with the candidate."""

    @property
    def verdict(self) -> Verdict:
        """All points together."""
        return worst(gate.verdict for gate in self.gates)


@dataclass(frozen=True)
class Checked(_Found[Candidate]):
    """What was found of a candidate."""

    entry: BuildEntry | None = None
    """How a manifest names it; None where the bundle itself does not hold."""
    base: BaseRef | None = None
    blobs: tuple[Blob, ...] = field(default=(), repr=False)
    """Every blob that the entry leads to, and the file that holds it."""

    @property
    def published(self) -> tuple[BundleRef, tuple[Descriptor, ...]] | None:
        """The bundle and what is attached to it; None where it does not hold."""
        if self.entry is None:
            return None
        return self.entry.bundle, (*self.entry.evidence, *self.entry.attestations)


@dataclass(frozen=True)
class CheckedPack(_Found[PackCandidate]):
    """What was found of a pack."""

    ref: PackRef | None = None
    """How a manifest names it; None where the pack itself does not hold."""
    artifact: BundleRef | None = None
    """The same as OCI tools see it."""
    blobs: tuple[Blob, ...] = field(default=(), repr=False)
    """Every blob that the reference leads to, and the file that holds it."""

    @property
    def published(self) -> tuple[BundleRef, tuple[Descriptor, ...]] | None:
        """The pack and what is attached to it; None where it does not hold."""
        return None if self.artifact is None or self.ref is None else (self.artifact, self.ref.evidence)
