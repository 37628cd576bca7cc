"""Group `evidence`: what was measured of a bundle, and its page. Checks are the dashboard; `release` has the gate."""

import dagster as dg

from fleet_manifests import AccuracyReport, LatencyReport, Verdict, digest_of
from fleet_manifests.bundle import bundle_name
from pipelines.defs import show
from pipelines.defs.partitions import build_of, builds
from pipelines.project.load import Project
from pipelines.steps import emulation, receipts
from pipelines.steps import evidence as steps
from pipelines.steps import reports as pages
from pipelines.store import Entry


def build(project: Project) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The assets of this group and their checks."""
    partitions = builds(project)

    @dg.asset(group_name="evidence", partitions_def=partitions, deps=["bundle", "baselines"], kinds={"onnx"})
    def accuracy_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Macro-F1 and accuracy on the test split, against the unquantized model and the baselines."""
        entry = steps.accuracy_report(project, *build_of(context))
        return _outcome(entry, steps.read_accuracy(entry))

    @dg.asset(group_name="evidence", partitions_def=partitions, deps=["bundle"], kinds={"onnx"}, pool="measure")
    def latency_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """p50, p90, p99 and memory, single stream, in a process held to the profile's cores."""
        entry = steps.latency_report(project, *build_of(context))
        return _outcome(entry, steps.read_latency(entry))

    @dg.asset(
        group_name="evidence",
        partitions_def=partitions,
        deps=[dg.AssetDep(name, partition_mapping=_all_profiles()) for name in ("accuracy_report", "latency_report")],
        kinds={"html"},
    )
    def build_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """One page per build: verdict, gates, plots, comparisons, slices and flips, beside all other candidates."""
        name = bundle_name(*build_of(context))
        entry = pages.build_report(project, *build_of(context))
        accuracy = steps.read_accuracy(project.store.latest("accuracy_report", name))
        latency = steps.read_latency(project.store.latest("latency_report", name))
        return show.outcome(entry, **show.page((accuracy, latency), entry.path))

    @dg.asset(
        group_name="evidence",
        deps=[
            dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in ("bundle", "corpus", "baselines")
        ],
        kinds={"onnx"},
    )
    def device_receipts() -> dg.MaterializeResult[None]:
        """What devices of the fleet have measured of the builds as they are now, judged by the factory."""
        found = receipts.counted(project)
        rows = [
            (one.workflow, one.profile, one.site, one.taken.isoformat(), one.accuracy.value, one.latency.value,
             one.cpu_model, one.receipt[:19])
            for one in found
        ]  # fmt: skip
        head = ["workflow", "profile", "site", "taken", "accuracy", "latency", "machine", "receipt"]
        return dg.MaterializeResult(
            metadata={
                "receipts": show.table(head, rows),
                "reasons": show.table(
                    ["workflow", "profile", "site", "why not pass"],
                    [(one.workflow, one.profile, one.site, reason) for one in found for reason in one.reasons],
                ),
            },
            data_version=dg.DataVersion(digest_of("\n".join(sorted(one.receipt for one in found)).encode())),
        )

    @dg.asset_check(asset=accuracy_report, partitions_def=partitions)
    def accuracy_gate(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """The accuracy evidence says `pass`."""
        name = bundle_name(*build_of(context))
        return _check(steps.read_accuracy(project.store.latest("accuracy_report", name)))

    @dg.asset_check(asset=latency_report, partitions_def=partitions)
    def latency_gate(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """The latency evidence says `pass`."""
        name = bundle_name(*build_of(context))
        return _check(steps.read_latency(project.store.latest("latency_report", name)))

    @dg.asset(
        group_name="evidence",
        partitions_def=partitions,
        deps=["accuracy_report", "baselines", "bundle"],
        kinds={"onnx", "qemu"},
        pool="emulation",
    )
    def emulated_accuracy_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Accuracy on a sample of the test split, on the profile's processor emulated by QEMU. It may fail, never pass.

        Where nothing emulates that processor here it says what is missing. It takes all cores that it may use.
        """
        found = emulation.emulated_accuracy_report(project, *build_of(context))
        if not isinstance(found, Entry):
            return dg.MaterializeResult(metadata={"not_emulated": dg.MetadataValue.text(found.reason)})
        return _outcome(found, steps.read_accuracy(found))

    @dg.asset_check(asset=emulated_accuracy_report, partitions_def=partitions)
    def emulated_accuracy_gate(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """The emulated evidence about this bundle does not say `fail`; there may be none."""
        report = emulation.latest(project, *build_of(context))
        return _check(report, asked=Verdict.INCONCLUSIVE) if report else dg.AssetCheckResult(passed=True)

    return (
        [accuracy_report, latency_report, emulated_accuracy_report, build_report, device_receipts],
        [accuracy_gate, latency_gate, emulated_accuracy_gate],
    )


def _all_profiles() -> dg.PartitionMapping:
    """A page shows the build among those of all profiles of its workflow."""
    same, every = dg.IdentityPartitionMapping(), dg.AllPartitionMapping()
    return dg.MultiPartitionMapping(
        {
            "workflow": dg.DimensionPartitionMapping("workflow", same),
            "profile": dg.DimensionPartitionMapping("profile", every),
        }
    )


def _outcome(entry: Entry, report: AccuracyReport | LatencyReport) -> dg.MaterializeResult[None]:
    return show.outcome(
        entry,
        verdict=dg.MetadataValue.text(report.verdict.value),
        **show.report(report),
        machine=dg.MetadataValue.text(f"{report.machine.host.cpu_model} ({report.machine.isa})"),
        measurement=dg.MetadataValue.text(report.measurement.value),
        bundle=dg.MetadataValue.text(report.bundle),
    )


def _check(report: AccuracyReport | LatencyReport, asked: Verdict = Verdict.PASS) -> dg.AssetCheckResult:
    """Inconclusive warns where more is asked: it may stay a candidate. Fail is an error."""
    severity = dg.AssetCheckSeverity.ERROR if report.verdict is Verdict.FAIL else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=report.verdict in (Verdict.PASS, asked),
        severity=severity,
        metadata={"verdict": report.verdict.value, "gates": show.gates(report.gates)},
    )
