"""What a site says of itself: the JSON of `/v1/status`, of the page and of `lading-site status`."""

from __future__ import annotations

from typing import Any

from fleet_manifests import IntegrityError, PackConfig, parse
from fleet_manifests.knowledge import PACK_FILE
from fleet_manifests.program import version
from runtimes.edge.service import Site
from runtimes.problems import UnavailableError
from runtimes.serving import threshold
from runtimes.sync.active import Active, pack_folder
from runtimes.sync.orders import why_halted


def report(site: Site) -> dict[str, Any]:
    """Active version, workflows, outbox and line. A damaged or absent version is reported, not raised."""
    said: dict[str, Any] = {
        "agent": version(),
        "outbox": site.outbox.counts(),
        "line": {"problem": site.courier.breaker.problem},
    }
    try:
        active = site.serving.active()
        workflows = _workflows(site, active)
        halted = why_halted(site.state, active.channel)
    except (UnavailableError, IntegrityError) as exc:
        return said | {"serving": False, "problem": str(exc), "workflows": {}}
    return said | {
        "serving": True,
        "problem": site.offline(active),
        "site": active.site,
        "site_class": active.site_class,
        "channel": active.channel,
        "manifest_version": active.manifest_version,
        "profile": active.profile,
        "activated": active.activated.isoformat(),
        "seen": active.seen.isoformat(),
        "max_offline_hours": active.max_offline_hours,
        "central": active.central,
        "workflows": workflows,
        "skipped": active.absent,
        "stopped": sorted(active.stopped),
        "halted": halted,
    }


def _workflows(site: Site, active: Active) -> dict[str, Any]:
    """What runs, by name."""
    loaded = site.serving.loaded()
    return {
        name: {
            "title": entry.title,
            "task": entry.task.value,
            "where": entry.where.value,
            "bundle": entry.bundle,
            "pack": entry.pack.digest if entry.pack else None,
            "threshold": _threshold(site, active, name),
            "text_export": entry.text_export,
            "roles": list(entry.roles),
            "loaded": entry.bundle in loaded,
            "returned": entry.returned.said if entry.returned else None,
        }
        for name, entry in sorted(active.workflows.items())
    }


def _threshold(site: Site, active: Active, workflow: str) -> float:
    """The confidence below which a workflow defers; that of a library is its pack's, which is not loaded for it."""
    entry = active.workflows[workflow]
    if entry.pack is None:
        return threshold(entry)
    path = pack_folder(site.serving.state, active, workflow) / PACK_FILE
    config = parse(PackConfig, path.read_bytes(), where=f"{entry.pack_folder}/{PACK_FILE}")
    return max(config.defer_threshold, entry.guardrails.minimum_confidence)
