"""The process that says which machine it runs on: by what its processor answers, not by what a file says.

Under an emulator `/proc/cpuinfo` is that of the machine outside. `python -m runtimes.measure.machine` writes a
`Machine` as JSON to stdout, its flags from the CPUID instruction on x86 and from the auxiliary vector on 64-bit Arm.
"""

from __future__ import annotations

import ctypes
import platform
import sys

from fleet_manifests import Machine, RefusedError, dump
from runtimes.engine.host import machine as by_files

AT_HWCAP, AT_HWCAP2 = 16, 26
"""Entries of the auxiliary vector (getauxval(3))."""
HWCAP = (
    "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid",
    "asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512", "sve", "asimdfhm", "dit",
    "uscat", "ilrcpc", "flagm", "ssbs", "sb", "paca", "pacg",
)  # fmt: skip
HWCAP2 = (
    "dcpodp", "sve2", "sveaes", "svepmull", "svebitperm", "svesha3", "svesm4", "flagm2", "frint", "svei8mm", "svef32mm",
    "svef64mm", "svebf16", "i8mm", "bf16",
)  # fmt: skip
"""Names of the bits from the lowest on, as `/proc/cpuinfo` has them (Linux, arch/arm64: asm/hwcap.h)."""


def machine() -> Machine:
    """The fingerprint of the machine that this process sees.

    Raises:
        RefusedError: a processor that cannot be asked.
    """
    model, features = _x86() if platform.machine() == "x86_64" else _arm64()
    found = by_files()
    host = found.host.model_copy(update={"features": features, "cpu_model": model or found.host.cpu_model})
    isa = host.isa()
    return found.model_copy(update={"host": host, "isa": isa.value if isa else host.architecture})


def _x86() -> tuple[str, tuple[str, ...]]:
    """Brand and flags by CPUID."""
    from archspec.cpu.detect import CpuidInfoCollector

    found = CpuidInfoCollector()
    return (found.brand_string() or "").strip(), tuple(sorted(found.features))


def _arm64() -> tuple[str, tuple[str, ...]]:
    """Flags by the auxiliary vector; it has no name of the processor."""
    if platform.machine() not in ("aarch64", "arm64"):
        raise RefusedError(f"{platform.machine()}: an x86-64 or 64-bit Arm processor was expected")
    ask = ctypes.CDLL(None).getauxval
    ask.restype = ctypes.c_ulong
    ask.argtypes = [ctypes.c_ulong]
    return "", named(ask(AT_HWCAP), HWCAP, ask(AT_HWCAP2), HWCAP2)


def named(first: int, names: tuple[str, ...], second: int, more: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the bits that are set in two words, sorted."""
    found = {name for place, name in enumerate(names) if first >> place & 1}
    return tuple(sorted(found | {name for place, name in enumerate(more) if second >> place & 1}))


if __name__ == "__main__":
    sys.stdout.buffer.write(dump(machine()))
