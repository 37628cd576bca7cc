"""The contract between the factory and the two runtimes.

Everything that crosses the line between who makes a model and who runs it is a
frozen value type in this package: the fleet manifest, the assignment, the bundle,
the hardware profile, the evidence. Both sides import it and nothing else of each other.

    >>> from fleet_manifests import FleetManifest, parse, dump
    >>> manifest = parse(FleetManifest, raw_bytes, where="stable/manifest.json")
    >>> assert parse(FleetManifest, dump(manifest)) == manifest

`parse` refuses duplicate keys, NaN and values outside the schema with one clear
error; unknown fields are ignored, so that an old site survives a newer factory,
unless the document lists them as critical. `dump` writes canonical JSON (RFC 8785),
so equal values have equal digests. JSON Schemas of version 1 are in `schemas/`.
"""

from fleet_manifests.assignment import Assignment
from fleet_manifests.bundle import (
    BaseRef,
    BundleConfig,
    BundleRef,
    Calibration,
    Descriptor,
    OciManifest,
    SessionConfig,
    SimilarityCase,
    SmokeCase,
    WordEmbeddings,
)
from fleet_manifests.errors import (
    ConfigError,
    DataError,
    IntegrityError,
    LadingError,
    MissingExtraError,
    RefusedError,
    StorageError,
    UnreachableError,
    UsageError,
)
from fleet_manifests.evidence import (
    AccuracyReport,
    Comparison,
    Confusion,
    Evidence,
    Flip,
    Gate,
    KnowledgeReport,
    LatencyReport,
    Machine,
    Measurement,
    Metric,
    OutOfScope,
    ReliabilityBin,
    RiskPoint,
    Slice,
    SplitRef,
    Verdict,
    worst,
)
from fleet_manifests.knowledge import (
    Fusion,
    PackCase,
    PackConfig,
    Passage,
    Relevance,
)
from fleet_manifests.manifest import (
    BuildEntry,
    FleetManifest,
    Guardrails,
    PackRef,
    Revocation,
    WorkflowEntry,
)
from fleet_manifests.orders import Halt, Orders, Stop
from fleet_manifests.placement import Factors, Override, Placement, Where, place
from fleet_manifests.profile import HardwareProfile, HostFacts, IsaClass, LatencyObjective, Objective
from fleet_manifests.receipt import MeasurementCases, Receipt
from fleet_manifests.wire import DataClass, Digest, Name, Task, Wire, digest_of, dump, parse, sha256_of

__all__ = [
    "AccuracyReport",
    "Assignment",
    "BaseRef",
    "BuildEntry",
    "BundleConfig",
    "BundleRef",
    "Calibration",
    "Comparison",
    "ConfigError",
    "Confusion",
    "DataClass",
    "DataError",
    "Descriptor",
    "Digest",
    "Evidence",
    "Factors",
    "FleetManifest",
    "Flip",
    "Fusion",
    "Gate",
    "Guardrails",
    "Halt",
    "HardwareProfile",
    "HostFacts",
    "IntegrityError",
    "IsaClass",
    "KnowledgeReport",
    "LadingError",
    "LatencyObjective",
    "LatencyReport",
    "Machine",
    "Measurement",
    "MeasurementCases",
    "Metric",
    "MissingExtraError",
    "Name",
    "Objective",
    "OciManifest",
    "Orders",
    "OutOfScope",
    "Override",
    "PackCase",
    "PackConfig",
    "PackRef",
    "Passage",
    "Placement",
    "Receipt",
    "RefusedError",
    "Relevance",
    "ReliabilityBin",
    "Revocation",
    "RiskPoint",
    "SessionConfig",
    "SimilarityCase",
    "Slice",
    "SmokeCase",
    "SplitRef",
    "Stop",
    "StorageError",
    "Task",
    "UnreachableError",
    "UsageError",
    "Verdict",
    "Where",
    "Wire",
    "WordEmbeddings",
    "WorkflowEntry",
    "digest_of",
    "dump",
    "parse",
    "place",
    "sha256_of",
    "worst",
]
