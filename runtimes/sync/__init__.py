"""The client of the published tree: pull, verify, stage, activate.

    >>> from runtimes.sync import enroll, sync, status
    >>> enroll(state, root=Path("root.json"), source="https://fleet.example/public", site="store-017")
    >>> sync(state).changed
    True
    >>> status(state).active.manifest_version
    4

`enroll` pins the root of trust. `sync` refreshes the signed metadata, resolves what this
machine runs, fetches the missing blobs, verifies every byte and the signatures of bundles and
knowledge packs, runs their own smoke cases and only then swaps one symlink. Whatever fails, and
wherever the power goes, exactly one verified version stays in place.

A server needs `runtimes.sync.active` only. This package imports nothing heavy by itself:
tuf, httpx and model_signing are loaded when `sync` runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runtimes.sync.active import Active, ActivePack, ActiveWorkflow, bundle_folder, load_active, pack_folder

if TYPE_CHECKING:
    from runtimes.sync.client import Agent, SyncResult, sync
    from runtimes.sync.report import LastSync, SiteStatus, status
    from runtimes.sync.site import Enrolment, enroll

__all__ = [
    "Active",
    "ActivePack",
    "ActiveWorkflow",
    "Agent",
    "Enrolment",
    "LastSync",
    "SiteStatus",
    "SyncResult",
    "bundle_folder",
    "enroll",
    "load_active",
    "pack_folder",
    "status",
    "sync",
]

_LAZY = {
    "Agent": "client",
    "SyncResult": "client",
    "sync": "client",
    "Enrolment": "site",
    "enroll": "site",
    "LastSync": "report",
    "SiteStatus": "report",
    "status": "report",
}


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
