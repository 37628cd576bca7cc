from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from fleet_manifests import (
    AccuracyReport,
    Assignment,
    BaseRef,
    BuildEntry,
    BundleConfig,
    BundleRef,
    Calibration,
    Comparison,
    Confusion,
    DataClass,
    Descriptor,
    Factors,
    FleetManifest,
    Flip,
    Gate,
    Guardrails,
    Halt,
    HardwareProfile,
    HostFacts,
    IsaClass,
    KnowledgeReport,
    LatencyObjective,
    LatencyReport,
    Machine,
    Measurement,
    Metric,
    OciManifest,
    Orders,
    OutOfScope,
    Override,
    PackCase,
    PackConfig,
    PackRef,
    Passage,
    Relevance,
    Revocation,
    RiskPoint,
    SessionConfig,
    SimilarityCase,
    Slice,
    SmokeCase,
    SplitRef,
    Stop,
    Task,
    Verdict,
    Wire,
    WorkflowEntry,
    place,
)
from fleet_manifests.bundle import CONFIG_TYPE, FILEPATH, MANIFEST_TYPE, SIGNATURE_TYPE, WEIGHT_TYPE
from fleet_manifests.receipt import MeasurementCases, Receipt
from fleet_manifests.updates import (
    ADAPTER_TYPE,
    BASE_TYPE,
    DELTA_TYPE,
    PLAN_TYPE,
    SUBTRACT,
    WHOLE,
    Content,
    Delta,
    Derivation,
    Updates,
)

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 2, 1, tzinfo=UTC)


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


def blob(kind: str, letter: str, size: int, path: str | None = None) -> Descriptor:
    return Descriptor(media_type=kind, digest=digest(letter), size=size, annotations={FILEPATH: path} if path else {})


@pytest.fixture
def host() -> HostFacts:
    return HostFacts(
        architecture="x86_64", features=("avx2", "avx512_vnni"), cpu_model="Test CPU", cores=4, memory_mb=8000
    )


@pytest.fixture
def profile() -> HardwareProfile:
    return HardwareProfile(
        name="edge-x86-vnni",
        isa=IsaClass.AVX512_VNNI,
        cores=1,
        memory_mb=512,
        latency=LatencyObjective(percentile=99, milliseconds=40, tokens=128),
        size_budget_mb=40,
        recipes=("int8",),
    )


@pytest.fixture
def manifest(profile: HardwareProfile) -> FleetManifest:
    base = BaseRef(name="all-MiniLM-L6-v2", revision="1110a243", digest=digest("a"), licence="Apache-2.0")
    ref = BundleRef(
        name="exception_triage--edge-x86-vnni",
        manifest=blob(MANIFEST_TYPE, "b", 900),
        signature=blob(SIGNATURE_TYPE, "c", 4000),
    )
    entry = WorkflowEntry(
        task=Task.CLASSIFY,
        title="Order-exception triage",
        owner="customer-service",
        placement=place(Factors(latency_ms=200, offline="full"), frozenset({DataClass.INTERNAL})),
        bases={"edge": base},
        builds={profile.name: BuildEntry(bundle=ref, defer_threshold=0.5, verdict=Verdict.PASS)},
        roles=("clerk",),
        actions={"credit_hold": "central-approval"},
        data_classes=(DataClass.INTERNAL,),
        guardrails=Guardrails(minimum_confidence=0.4),
    )
    return FleetManifest(
        channel="stable",
        version=3,
        issued=WHEN,
        expires=LATER,
        profiles={profile.name: profile},
        workflows={"exception_triage": entry},
        knowledge_packs=(
            PackRef(
                name="sop_assistant--edge-x86-vnni--warehouse",
                blob=blob(MANIFEST_TYPE, "d", 700),
                site_classes=("warehouse",),
                retriever=digest("8"),
                workflow="sop_assistant",
                profile="edge-x86-vnni",
                signature=blob(SIGNATURE_TYPE, "7", 4000),
                verdict=Verdict.PASS,
            ),
        ),
        context_packs=(PackRef(name="orders", blob=blob("application/x", "6", 5), site_classes=("branch",)),),
        revocations=(Revocation(bundle=digest("e"), reason="wrong labels"),),
        critical=("workflows.*.guardrails.minimum_confidence",),
    )


@pytest.fixture
def documents(manifest: FleetManifest, profile: HardwareProfile, host: HostFacts) -> dict[str, Wire]:
    base = manifest.workflows["exception_triage"].bases["edge"]
    report = {
        "workflow": "exception_triage",
        "profile": profile.name,
        "bundle": digest("b"),
        "taken": WHEN,
        "measurement": Measurement.MEASURED,
        "machine": Machine(host=host, isa="avx512-vnni"),
        "gates": (Gate(name="floor", verdict=Verdict.PASS, observed=0.9, required=0.8, reason="0.9 >= 0.8"),),
        "verdict": Verdict.PASS,
    }
    payload = Descriptor(media_type=DELTA_TYPE, digest=digest("e"), size=80)
    return {
        "accuracy_report.v1": AccuracyReport(
            **report,
            metrics=(Metric(name="macro_f1", value=0.9, n=100, low=0.85, high=0.94),),
            split=SplitRef(name="test", digest=digest("f"), n=100),
            comparisons=(
                Comparison(
                    against="unquantized",
                    metric="macro_f1",
                    ours=0.9,
                    theirs=0.91,
                    difference=-0.01,
                    low=-0.02,
                    high=0.01,
                    n=100,
                    lost=2,
                    gained=1,
                    margin=0.02,
                    power=0.7,
                    detectable=0.03,
                ),
            ),
            confusion=Confusion(labels=("a", "b"), counts=((50, 2), (3, 45))),
            out_of_scope=OutOfScope(n=40, auroc=0.9, deferred=0.8, low=0.65, high=0.9, fpr95=0.3),
            risk=(RiskPoint(coverage=0.5, precision=0.98), RiskPoint(coverage=1.0, precision=0.9)),
            slices=(Slice(name="style=typed", n=60, ours=0.9, low=0.8, high=0.95, theirs=0.91, lost=1),),
            flips=(Flip(against="unquantized", item="line 3", truth="a", ours="b", theirs="a", confidence=0.6),),
            robustness=(Slice(name="typos", n=20, ours=0.8, low=0.58, high=0.92),),
        ),
        "assignment.v1": Assignment(
            site="dc-north",
            site_class="warehouse",
            version=2,
            issued=WHEN,
            channel="stable",
            workflows=("exception_triage",),
            central="http://127.0.0.1:8710",
        ),
        "bundle.v1": BundleConfig(
            workflow="exception_triage",
            task=Task.CLASSIFY,
            profile=profile.name,
            isa=profile.isa,
            recipe="int8",
            labels=("a", "b"),
            calibration=Calibration(temperature=1.3, defer_threshold=0.6, target_precision=0.95),
            session=SessionConfig(disabled_optimizers=("SkipLayerNormFusion",)),
            base=base,
            data_card=digest("9"),
            smoke=(SmokeCase(text="short 2 cs", label="a", confidence=0.9),),
            similar=(SimilarityCase(text="short 2 cs", other="two cases missing", cosine=0.7),),
        ),
        "fleet_manifest.v1": manifest,
        "hardware_profile.v1": profile,
        "knowledge_pack.v1": PackConfig(
            workflow="sop_assistant",
            profile=profile.name,
            site_class="warehouse",
            retriever=digest("8"),
            library=digest("5"),
            passages=2,
            dimension=384,
            relevance=Relevance(intercept=-1.5, weights={"cosine": 4.0}),
            defer_threshold=0.4,
            target_precision=0.9,
            coverage=0.8,
            smoke=(PackCase(question="slot taken, where to?", passage="wh-017/occupied"),),
        ),
        "knowledge_report.v1": KnowledgeReport(
            **report,
            metrics=(Metric(name="ndcg_at_10", value=0.8, n=100, low=0.75, high=0.84),),
            site_class="warehouse",
            retriever=digest("8"),
            split=SplitRef(name="test", digest=digest("f"), n=100),
            out_of_scope=OutOfScope(n=40, auroc=0.9, deferred=0.8),
            lost=("q-17",),
        ),
        "latency_report.v1": LatencyReport(
            **report,
            metrics=(Metric(name="p99", value=12.5, n=662, unit="ms"),),
            queries=662,
            cores=1,
            samples_ms=(11.0, 12.5),
        ),
        "measurement_cases.v1": MeasurementCases(
            workflow="exception_triage",
            texts={"test": ("short 2 cs", "pallet late"), "oos_test": ("hello",)},
            latency=("seal broken",),
        ),
        "orders.v1": Orders(
            halted={"stable": Halt(reason="two sites report wrong labels", by="alice", since=WHEN)},
            revoked=(Stop(bundle="sha256:" + "2" * 64, reason="trained on wrong labels", by="bob", since=WHEN),),
        ),
        "oci_manifest.v1": OciManifest(
            config=blob(CONFIG_TYPE, "1", 10),
            layers=(blob(WEIGHT_TYPE, "2", 100, "model.onnx"), blob(WEIGHT_TYPE, "3", 20, "tokenizer.json")),
        ),
        "passage.v1": Passage(
            id="wh-017/occupied",
            document="WH-017",
            title="Putaway",
            revision="4",
            section=("When the location is occupied",),
            page=2,
            owner="Inbound supervisor",
            effective_from=date(2025, 3, 1),
            review_by=date(2029, 3, 1),
            site_classes=("warehouse",),
            text="1. Scan the location.\n2. Choose the next one.",
            disagrees_with=("wh-018/full",),
        ),
        "receipt.v1": Receipt(
            id="0f" * 16,
            site="dc-north",
            workflow="exception_triage",
            profile=profile.name,
            bundle=digest("b"),
            cases=digest("4"),
            manifest=7,
            taken=WHEN,
            machine=Machine(host=host, isa="avx512-vnni"),
            lading="0.2.0",
        ),
        "updates.v1": Updates(
            deltas=(
                Delta(target=Content(digest=digest("c"), size=900), method=WHOLE, payload=payload),
                Delta(
                    target=Content(digest=digest("c"), size=900),
                    method=SUBTRACT,
                    base=Content(digest=digest("d"), size=900),
                    payload=payload,
                ),
            ),
            derivations=(
                Derivation(
                    target=Content(digest=digest("c"), size=900),
                    plan=blob(PLAN_TYPE, "1", 60),
                    base=blob(BASE_TYPE, "2", 1800),
                    adapter=blob(ADAPTER_TYPE, "3", 70),
                ),
            ),
            recent={"exception_triage--edge-x86-vnni/tuned.bin": (Content(digest=digest("c"), size=900),)},
        ),
    }


@pytest.fixture
def placed() -> Override:
    return Override(where="edge", author="ciso", reason="pilot")
