"""What this machine is: its CPU, cores and memory, as a profile and a report need them."""

from __future__ import annotations

import functools
import os
import platform
from importlib import metadata
from pathlib import Path

from fleet_manifests import HostFacts, Machine
from fleet_manifests.profile import OPENVINO

CPUINFO = Path("/proc/cpuinfo")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def facts() -> HostFacts:
    """This machine: architecture, CPU flags, cores this process may use, memory it may use."""
    fields = parse_cpuinfo(_read(CPUINFO))
    return HostFacts(
        architecture=platform.machine(),
        features=features_of(fields),
        cpu_model=fields.get("model name") or _microarchitecture(),
        cores=len(os.sched_getaffinity(0)),
        memory_mb=max(1, memory_bytes() // 2**20),
        engines=(OPENVINO,) if openvino_version() is not None else (),
    )


def machine() -> Machine:
    """The fingerprint that goes into every report."""
    host = facts()
    isa = host.isa()
    return Machine(
        host=host,
        isa=isa.value if isa else host.architecture,
        governor=_read(GOVERNOR).strip() or "unknown",
        kernel=platform.release(),
        python=platform.python_version(),
        onnxruntime=metadata.version("onnxruntime"),
        build=onnxruntime_build(),
        openvino=openvino_version(),
    )


@functools.cache
def onnxruntime_build() -> str:
    """How onnxruntime was built: branch, commit and options, in one line."""
    import onnxruntime

    return " ".join(onnxruntime.get_build_info().split())


def openvino_version() -> str | None:
    """The version of OpenVINO here; None where it is not installed."""
    try:
        return metadata.version(OPENVINO)
    except metadata.PackageNotFoundError:
        return None


def parse_cpuinfo(text: str) -> dict[str, str]:
    """The fields of the first processor in the text of `/proc/cpuinfo`."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            if fields:
                break
            continue
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    return fields


def features_of(fields: dict[str, str]) -> tuple[str, ...]:
    """CPU flags, sorted: `flags` on x86, `Features` on ARM."""
    return tuple(sorted(set((fields.get("flags") or fields.get("Features") or "").split())))


def memory_bytes(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Memory that this process may use: the machine's, or less where a control group says so."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([total, *cgroup_limits(root, _read(own))])


def cgroup_limits(root: Path, own: str) -> list[int]:
    """The memory limits in bytes of a process's control groups and of all above them.

    Args:
        root: where the control groups are mounted.
        own: the text of `/proc/self/cgroup`, lines of `id:controllers:path`; version 2 has no controllers.
    """
    limits = []
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        mount, file = (root, "memory.max") if not controllers else (root / "memory", "memory.limit_in_bytes")
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(mount):
                break
            if (value := _read(folder / file).strip()).isdigit():
                limits.append(int(value))
    return limits


def _microarchitecture() -> str:
    """A name for a CPU that gives none (ARM), from its implementer and part numbers."""
    import archspec.cpu

    return str(archspec.cpu.host().name)


def _read(path: Path) -> str:
    """A file's text, or nothing where the kernel does not offer it."""
    try:
        return path.read_text()
    except OSError:
        return ""
