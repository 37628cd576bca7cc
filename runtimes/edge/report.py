"""What a site says of itself: the JSON of `/v1/status`, of the page and of `lading-site status`."""

from __future__ import annotations

from typing import Any

from fleet_manifests import IntegrityError
from fleet_manifests.program import version
from runtimes.edge.service import Site
from runtimes.problems import UnavailableError
from runtimes.serving import threshold
from runtimes.sync.active import Active


def report(site: Site) -> dict[str, Any]:
    """Active version, workflows, outbox and line. A damaged or absent version is reported, not raised."""
    said: dict[str, Any] = {
        "agent": version(),
        "outbox": site.outbox.counts(),
        "line": {"problem": site.courier.breaker.problem},
    }
    try:
        active = site.serving.active()
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
        "workflows": _workflows(site, active),
        "skipped": active.skipped,
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
            "threshold": threshold(entry),
            "text_export": entry.text_export,
            "roles": list(entry.roles),
            "loaded": entry.bundle in loaded,
        }
        for name, entry in sorted(active.workflows.items())
    }
