"""Group `release`: signed bundles, and the manifest of each channel."""

from pathlib import Path
from typing import Any

import dagster as dg

from fleet_manifests import FleetManifest, OciManifest, parse
from fleet_manifests.bundle import bundle_name
from pipelines.defs import expiry, show
from pipelines.defs.partitions import CHANNELS, build_of, builds
from pipelines.project.load import Project
from pipelines.steps import approvals, cards
from pipelines.steps import builds as build_steps
from pipelines.steps import release as steps
from pipelines.steps.configs import author_of
from pipelines.steps.standing import standing


class Approval(dg.Config):
    """Who approves a promotion to `stable`."""

    managers: list[str] = []


def build(project: Project) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The assets of this group and their checks."""
    partitions = builds(project)
    evidence = ["accuracy_report", "latency_report", *(["knowledge_pack"] if project.retrievers else [])]

    @dg.asset(group_name="release", partitions_def=partitions, deps=["quantized_model"], kinds={"sigstore"})
    def bundle(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The immutable files of a build, signed by the builder."""
        entry = build_steps.bundle(project, *build_of(context))
        manifest = parse(OciManifest, (entry.path / "manifest.json").read_bytes(), where="manifest.json")
        return show.outcome(
            entry,
            bundle=dg.MetadataValue.text(manifest.digest),
            layers=show.table(
                ["file", "MB", "digest"],
                [(layer.path, f"{layer.size / 1e6:.3f}", layer.digest[:19]) for layer in manifest.layers],
            ),
        )

    @dg.asset_check(asset=bundle, partitions_def=partitions, blocking=True)
    def signature(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """The signature holds for these files and this name, checked as a site checks it."""
        from fleet_manifests.signature import verify_bundle

        workflow, profile = build_of(context)
        name = bundle_name(workflow, profile)
        entry = project.store.latest("bundle", name)
        allowed = author_of(project).trust.authors(workflow, "bundle")
        verify_bundle(entry.path / name, entry.path / "model.sig", allowed, name=name)
        return dg.AssetCheckResult(passed=True, metadata={"name": name})

    @dg.asset(
        group_name="release",
        partitions_def=CHANNELS,
        deps=[dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in evidence],
        kinds={"tuf"},
    )
    def fleet_manifest(context: dg.AssetExecutionContext, config: Approval) -> dg.MaterializeResult[None]:
        """What may run for a channel, signed. The gate verifies every candidate again and refuses."""
        if context.partition_key == "candidates":
            offered = steps.offer(project)
            said = (*offered.refused, *offered.unmeasurable)
            return _outcome(offered.manifest, said, cards.release_card(project), **_stands(project))
        done = approvals.promote(project, context.partition_key, managers=config.managers)
        if done.published is None:
            return _waits(done, **_stands(project))
        return _outcome(done.published, (), None, **_stands(project))

    @dg.asset_check(asset=fleet_manifest, partitions_def=CHANNELS)
    def pullable(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """A client pulls the channel with every check on."""
        found = steps.pulls(project, context.partition_key)
        return dg.AssetCheckResult(
            passed=all(pull.pulled for pull in found),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"pulls": show.table(["kind", "pulled", ""], [(one.kind, one.pulled, one.said) for one in found])},
        )

    @dg.asset_check(asset=fleet_manifest, name=expiry.CHECK)
    def lasting(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """No role and no manifest expires soon. The sensor `expiring_roles` asks the same by itself."""
        found = expiry.expiring(project)
        return dg.AssetCheckResult(
            passed=all(line.state == "holds" for line in found),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"expiry": expiry.table(found)},
        )

    return [bundle, fleet_manifest], [signature, pullable, lasting]


def _stands(project: Project) -> dict[str, dg.MetadataValue[Any]]:
    """Every channel with its version and who approved it, and what expires when."""
    rows = [
        (one.channel, one.version, ", ".join(one.signed), f"{one.issued:%Y-%m-%d}", f"{one.expires:%Y-%m-%d}")
        for one in standing(project).channels
    ]
    return {
        "channels": show.table(["channel", "version", "approved by", "issued", "until"], rows),
        "expiry": expiry.table(expiry.expiring(project)),
    }


def _waits(done: approvals.Done, **stands: dg.MetadataValue[Any]) -> dg.MaterializeResult[None]:
    """A version that other release managers have to approve: nothing is published yet."""
    assert done.pending is not None  # not published
    return dg.MaterializeResult(
        metadata={
            "pending": dg.MetadataValue.text(
                f"version {done.pending.version} waits for {done.pending.missing} more of "
                f"{', '.join(done.pending.waiting)}: `lading release approve {done.pending.channel} --as NAME`"
            ),
            "digest": dg.MetadataValue.text(done.pending.digest),
            "changes": show.table(
                ["", "", "what", "how"],
                [(one.section, one.kind, one.name, "; ".join(one.said)) for one in done.changes],
            ),
            **stands,
        }
    )


def _outcome(
    manifest: FleetManifest, refused: tuple[str, ...], card: Path | None = None, **stands: dg.MetadataValue[Any]
) -> dg.MaterializeResult[None]:
    rows = [
        (name, one.placement.where.value, profile, entry.verdict.value, entry.defer_threshold, entry.bundle.digest[:19])
        for name, one in manifest.workflows.items()
        for profile, entry in one.builds.items()
    ]
    return dg.MaterializeResult(
        metadata={
            **({"card": dg.MetadataValue.path(card)} if card else {}),
            "version": dg.MetadataValue.int(manifest.version),
            "expires": dg.MetadataValue.text(manifest.expires.isoformat()),
            "builds": show.table(["workflow", "runs", "profile", "verdict", "defers below", "bundle"], rows),
            "knowledge_packs": show.table(
                ["pack", "site classes", "data class", "verdict", "digest"],
                [
                    (
                        pack.name,
                        ", ".join(pack.site_classes),
                        pack.data_class.value,
                        pack.verdict.value,
                        pack.blob.digest[:19],
                    )
                    for pack in manifest.knowledge_packs
                ],
            ),
            "refused": show.table(["why not"], [(reason,) for reason in refused]),
            **stands,
        },
        data_version=dg.DataVersion(f"{manifest.channel}-{manifest.version}"),
    )
