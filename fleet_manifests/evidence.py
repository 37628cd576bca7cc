"""Evidence: what was measured of a bundle, on which machine, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from fleet_manifests.bundle import bundle_name
from fleet_manifests.knowledge import pack_name
from fleet_manifests.profile import HostFacts
from fleet_manifests.wire import Digest, Name, Wire


class Verdict(StrEnum):
    """What evidence says. Only `pass` may enter `canary` or `stable`."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict for several: any fail fails; nothing at all is inconclusive."""
    found = set(verdicts)
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return Verdict.PASS if found == {Verdict.PASS} else Verdict.INCONCLUSIVE


class Measurement(StrEnum):
    """How a figure came about. Only `measured` can give `pass`."""

    MEASURED = "measured"
    EMULATED = "emulated"
    ABSENT = "absent"


class Machine(Wire):
    """Fingerprint of the machine that measured."""

    host: HostFacts
    isa: str
    governor: str = "unknown"
    kernel: str = "unknown"
    python: str = "unknown"
    onnxruntime: str = "unknown"


class Metric(Wire):
    """One figure, with how many items it rests on and its interval where there is one."""

    name: str
    value: float
    n: Annotated[int, Field(ge=0)]
    low: float | None = None
    high: float | None = None
    unit: str = ""


class Gate(Wire):
    """One requirement, what was found, and the sentence a person reads."""

    name: str
    verdict: Verdict
    observed: float | None = None
    required: float | None = None
    reason: str


class Comparison(Wire):
    """A paired difference against another model on the same items."""

    against: str
    metric: str
    ours: float
    theirs: float
    difference: float
    """Ours minus theirs; negative is a loss."""
    low: float
    high: float
    confidence: float = 0.95
    n: int
    lost: int
    """Items the other got right and ours got wrong."""
    gained: int


class Confusion(Wire):
    """Rows are true labels, columns predicted ones, both in the order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class SplitRef(Wire):
    """The rows that something was measured on."""

    name: str
    digest: Digest
    n: int


class ReliabilityBin(Wire):
    """How often a model is right where its confidence lies between `low` and `high`."""

    low: float
    high: float
    n: int
    confidence: float
    """Mean confidence of the rows in the bin."""
    accuracy: float


class OutOfScope(Wire):
    """How well confidence tells rows that belong to no class from those that do."""

    n: int
    auroc: float
    deferred: float
    """Share of out-of-scope rows that fall below the defer threshold."""


class Report(Wire):
    """What both kinds of report have."""

    schema_version: Literal[1] = 1
    workflow: Name
    profile: Name
    bundle: Digest
    """What it is about: the digest of a bundle, or of a knowledge pack."""
    taken: AwareDatetime
    measurement: Measurement
    machine: Machine
    metrics: tuple[Metric, ...]
    gates: tuple[Gate, ...]
    verdict: Verdict
    site: Name | None = None
    """The site whose device measured; None: the factory did."""
    receipt: Digest | None = None
    """The receipt that the device signed, and of which this report was made."""

    @property
    def subject(self) -> str:
        """The name of what it is about."""
        return bundle_name(self.workflow, self.profile)

    def metric(self, name: str) -> Metric:
        """The metric of that name.

        Raises:
            KeyError: the report has none.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)


class AccuracyReport(Report):
    """Accuracy of a bundle on its workflow's test split; of a retriever on the frozen snapshot of its library."""

    kind: Literal["accuracy"] = "accuracy"
    split: SplitRef
    comparisons: tuple[Comparison, ...] = ()
    confusion: Confusion | None = None
    out_of_scope: OutOfScope | None = None
    reliability: tuple[ReliabilityBin, ...] = ()


class LatencyReport(Report):
    """Latency and memory of a bundle, single stream, through the engine that sites run."""

    kind: Literal["latency"] = "latency"
    queries: int
    cores: int
    samples_ms: tuple[float, ...] = ()
    """Latencies of the measured queries in milliseconds, in order, for the plot."""


class KnowledgeReport(Report):
    """What a retriever finds in one knowledge pack: the library as it is now, at one class of sites."""

    kind: Literal["knowledge"] = "knowledge"
    site_class: Name
    retriever: Digest
    """Bundle digest of the retriever that asked."""
    split: SplitRef
    comparisons: tuple[Comparison, ...] = ()
    out_of_scope: OutOfScope | None = None
    """Questions that the library does not answer."""
    reliability: tuple[ReliabilityBin, ...] = ()
    lost: tuple[str, ...] = ()
    """Questions whose passages are no longer in the library; they are not asked."""

    @property
    def subject(self) -> str:
        """The name of the pack."""
        return pack_name(self.workflow, self.profile, self.site_class)


Evidence = AccuracyReport | LatencyReport | KnowledgeReport
"""Any report about a bundle or a pack."""


def now() -> datetime:
    """The present moment, UTC, without microseconds."""
    from datetime import UTC

    return datetime.now(UTC).replace(microsecond=0)
