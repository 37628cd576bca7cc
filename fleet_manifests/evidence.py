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
    build: str = "unknown"
    """How that onnxruntime was built: its source and options."""
    openvino: str | None = None
    """Version of the other engine; None: it is not there."""


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
    margin: float | None = None
    """Largest loss that does not matter; None where the other is a baseline."""
    power: float | None = None
    """Probability that a model that loses nothing would pass on as many items with as many differences."""
    detectable: float | None = None
    """Smallest true loss that would show, the interval below zero, in four of five such measurements."""


class Flip(Wire):
    """An item on which two models differ in being right. Its text stays where the split is."""

    against: str
    item: str
    """Line of the split or id of the question."""
    truth: str
    ours: str
    theirs: str
    confidence: float
    """Ours."""


class Slice(Wire):
    """The figure on some of the items, beside that of the unquantized model on the same ones."""

    name: str
    """What they have in common: `label=short_shipment`, `style=typed`, `length=long`, `typos`."""
    n: int
    ours: float
    low: float | None = None
    high: float | None = None
    theirs: float | None = None
    lost: int = 0
    gained: int = 0


class RiskPoint(Wire):
    """What answering only the surest items would give."""

    coverage: float
    """Share of the items that is answered."""
    precision: float
    """Share of the answered ones that is right."""


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
    low: float | None = None
    """Interval of `deferred`."""
    high: float | None = None
    fpr95: float | None = None
    """Share of them that is taken for in-scope at the confidence that keeps 95 % of the rows in scope."""


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


class Answered(Report):
    """What reports about answers have: of a bundle or of a knowledge pack."""

    split: SplitRef
    comparisons: tuple[Comparison, ...] = ()
    out_of_scope: OutOfScope | None = None
    """Rows or questions that should not be answered."""
    reliability: tuple[ReliabilityBin, ...] = ()
    risk: tuple[RiskPoint, ...] = ()
    """The coverage-precision curve, least coverage first."""
    slices: tuple[Slice, ...] = ()

    @property
    def floor_metric(self) -> str | None:
        """Name of the metric that the floor is about."""
        floors = (gate.name.removeprefix("floor/") for gate in self.gates if gate.name.startswith("floor/"))
        return next(floors, None)

    @property
    def target_precision(self) -> float | None:
        """The precision that is promised for what is answered."""
        return next((gate.required for gate in self.gates if gate.name == "deferral"), None)


class AccuracyReport(Answered):
    """Accuracy of a bundle on its workflow's test split; of a retriever on the frozen snapshot of its library."""

    kind: Literal["accuracy"] = "accuracy"
    confusion: Confusion | None = None
    flips: tuple[Flip, ...] = ()
    """Examples of where this build and the unquantized model differ in being right, lost ones first."""
    robustness: tuple[Slice, ...] = ()
    """The figure on disturbed texts, by kind of disturbance."""


class LatencyReport(Report):
    """Latency and memory of a bundle, single stream, through the engine that sites run."""

    kind: Literal["latency"] = "latency"
    queries: int
    cores: int
    samples_ms: tuple[float, ...] = ()
    """Latencies of the measured queries in milliseconds, in order, for the plot."""
    loadgen: str | None = None
    """Version of the MLPerf LoadGen that issued the queries."""
    memory_held: Literal["cgroup", "rlimit"] | None = None
    """What held the measuring process to its memory."""


class KnowledgeReport(Answered):
    """What a retriever finds in one knowledge pack: the library as it is now, at one class of sites."""

    kind: Literal["knowledge"] = "knowledge"
    site_class: Name
    retriever: Digest
    """Bundle digest of the retriever that asked."""
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
