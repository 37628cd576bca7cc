"""Registering the devices whose receipts count: `devices/SITE.yaml`."""

from __future__ import annotations

import json
from pathlib import Path

from fleet_manifests import RefusedError, StorageError, UsageError
from fleet_manifests.receipt import key_fingerprint
from pipelines.project.load import Project
from pipelines.project.spec import DeviceSpec

MAX_KEY_BYTES = 16_000


def add_device(
    project: Project, site: str, public: Path, *, cpu_model: str | None = None, replace: bool = False
) -> DeviceSpec:
    """Write down that a key is the device key of a site. The same again changes nothing.

    Args:
        project: the project.
        site: a site of the fleet.
        public: file with the public key (PEM), as `lading-site device-key` prints it.
        cpu_model: the CPU that the device has; a receipt of another one is refused.
        replace: take the place of another key of that site.

    Raises:
        UsageError: no such site, or no such key.
        RefusedError: the key is another site's, or the site has another one.
        StorageError: the file cannot be written.
    """
    if site not in (known := [one.site for one in project.fleet.sites]):
        raise UsageError(f"site {site}: not in fleet.yaml; there are: {', '.join(known) or 'none'}")
    wanted = DeviceSpec(name=site, public_key=_read(public), cpu_model=cpu_model)
    for other in project.devices.values():
        if other.name != site and other.fingerprint == wanted.fingerprint:
            raise RefusedError(f"{public}: is the device key of {other.name} already; each device has its own")
    before = project.devices.get(site)
    if before == wanted:
        return before
    if before is not None and not replace:
        raise RefusedError(
            f"devices/{site}.yaml: {site} has the key {before.fingerprint[:19]}, CPU {before.cpu_model or 'any'}; "
            "--replace takes its place, and receipts signed with it count no longer"
        )
    path = project.root / "devices" / f"{site}.yaml"
    try:
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(_yaml(wanted), encoding="utf-8")
        partial.replace(path)
    except OSError as exc:
        raise StorageError(f"{path}: cannot be written: {exc.strerror}") from exc
    return wanted


def _read(path: Path) -> str:
    """The public key in a file, PEM and nothing else.

    Raises:
        UsageError: it holds none.
    """
    from cryptography.hazmat.primitives import serialization

    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_KEY_BYTES)
    except OSError as exc:
        raise UsageError(f"{path}: the public key of a device was expected: {exc.strerror}") from exc
    try:
        key_fingerprint(raw)
    except UsageError as exc:
        raise UsageError(f"{path}: {exc}") from exc
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return serialization.load_pem_public_key(raw).public_bytes(serialization.Encoding.PEM, form).decode()


def _yaml(device: DeviceSpec) -> str:
    """A device as its file says it."""
    key = "".join(f"  {line}\n" for line in device.public_key.splitlines())
    model = "" if device.cpu_model is None else f"cpu_model: {json.dumps(device.cpu_model)}\n"
    return f"# The device of {device.name}: {device.fingerprint}\npublic_key: |\n{key}{model}"
