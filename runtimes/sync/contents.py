"""What bundles and packs say of themselves, held against what signed documents say of them."""

from __future__ import annotations

from fleet_manifests.bundle import BUNDLE_FILE, BundleConfig, OciManifest
from fleet_manifests.errors import IntegrityError
from fleet_manifests.knowledge import PACK_FILE, PackConfig
from fleet_manifests.profile import HardwareProfile
from fleet_manifests.wire import Task
from runtimes.sync.active import ActivePack


def check_layout(layout: OciManifest, name: str, config: str = BUNDLE_FILE) -> None:
    """Refuse a bundle or pack that cannot be laid out as a folder, lacks its configuration, or has that of the other.

    Args:
        layout: its OCI manifest.
        name: what to call it in an error.
        config: the file that makes it what it is: `bundle.json` or `pack.json`.

    Raises:
        IntegrityError: it is one.
    """
    what, other = ("bundle", PACK_FILE) if config == BUNDLE_FILE else ("pack", BUNDLE_FILE)
    paths = {layer.path for layer in layout.layers}
    if config not in paths:
        raise IntegrityError(f"{what} {name}: no layer is its {config}; tell the publisher")
    if other in paths:
        raise IntegrityError(f"{what} {name}: has a {other}, which a {what} never has; tell the publisher")
    folders = {parent.casefold() for path in paths for parent in _parents(path)}
    if both := sorted(path for path in paths if path.casefold() in folders):
        raise IntegrityError(f"{what} {name}: {both[0]} is a file and a folder; tell the publisher")


def check_config(config: BundleConfig, name: str, workflow: str, task: Task, profile: HardwareProfile) -> None:
    """Refuse a bundle that says of itself something else than the manifest says of it.

    Raises:
        IntegrityError: workflow, profile, task or ISA differ.
    """
    found = (config.workflow, config.profile, config.task, config.isa)
    expected = (workflow, profile.name, task, profile.isa)
    for field, said, due in zip(("workflow", "profile", "task", "isa"), found, expected, strict=True):
        if said != due:
            raise IntegrityError(f"bundle {name}: bundle.json: {field} is {said}, the manifest says {due}")


def check_pack_config(
    config: PackConfig, pack: ActivePack, bundle: BundleConfig, *, retriever: str, site_class: str
) -> None:
    """Refuse a pack that says of itself something else than manifest, assignment and bundle say of it.

    Args:
        config: its `pack.json`.
        pack: what the manifest says of it.
        bundle: `bundle.json` of its retriever, checked already.
        retriever: digest of that bundle.
        site_class: the site's.

    Raises:
        IntegrityError: workflow, profile, site class, retriever, data class or dimension differ.
    """
    expected = {
        "workflow": bundle.workflow,
        "profile": bundle.profile,
        "site_class": site_class,
        "retriever": retriever,
        "data_class": pack.data_class,
        "dimension": bundle.dimension,
    }
    for field, due in expected.items():
        if (said := getattr(config, field)) != due:
            raise IntegrityError(
                f"pack {pack.name}: {PACK_FILE}: {field} is {said}, {due} was expected; tell the publisher"
            )


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
