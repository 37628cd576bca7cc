"""What a machine says of itself, from the texts that Linux gives on three kinds of CPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet_manifests import HostFacts, IsaClass
from runtimes.engine import host

pytestmark = pytest.mark.unit

HASWELL = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 60
model name\t: Intel(R) Core(TM) i7-4770 CPU @ 3.40GHz
flags\t\t: fpu vme sse sse2 ssse3 fma sse4_1 sse4_2 movbe popcnt aes xsave avx f16c bmi1 avx2 smep bmi2 erms
bugs\t\t: cpu_meltdown spectre_v1

processor\t: 1
vendor_id\t: GenuineIntel
model name\t: another
flags\t\t: fpu
"""
ZEN4 = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9354 32-Core Processor
flags\t\t: fpu sse2 avx fma avx2 avx512f avx512bw avx512vl avx512_bf16 avx512_vnni avx512_vbmi2
power management:
"""
GRAVITON3 = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimddp sve bf16 i8mm
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1
"""
CORTEX_A72 = """processor\t: 0
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU part\t: 0xd08
"""


@pytest.mark.parametrize(
    ("text", "architecture", "isa"),
    [
        (HASWELL, "x86_64", IsaClass.X86_64_V3),
        (ZEN4, "x86_64", IsaClass.AVX512_VNNI),
        (GRAVITON3, "aarch64", IsaClass.ARM64_DOTPROD),
        (CORTEX_A72, "aarch64", None),
        ("", "x86_64", IsaClass.X86_64),
        ("", "riscv64", None),
    ],
)
def test_isa_of_a_cpu(text: str, architecture: str, isa: IsaClass | None) -> None:
    features = host.features_of(host.parse_cpuinfo(text))
    assert list(features) == sorted(set(features))
    assert HostFacts(architecture=architecture, features=features, cores=1, memory_mb=1).isa() is isa


def test_first_processor_counts() -> None:
    fields = host.parse_cpuinfo(HASWELL)
    assert fields["model name"] == "Intel(R) Core(TM) i7-4770 CPU @ 3.40GHz"
    assert "avx2" in host.features_of(fields)


def test_facts_of_a_given_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(ZEN4)
    monkeypatch.setattr(host, "CPUINFO", cpuinfo)
    monkeypatch.setattr(host.platform, "machine", lambda: "x86_64")
    found = host.facts()
    assert found.cpu_model == "AMD EPYC 9354 32-Core Processor"
    assert found.isa() is IsaClass.AVX512_VNNI


def test_cpu_without_a_name_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(GRAVITON3)
    monkeypatch.setattr(host, "CPUINFO", cpuinfo)
    assert host.facts().cpu_model not in ("", "unknown")


def test_facts_of_this_machine() -> None:
    found = host.facts()
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory_mb <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    assert found == host.facts()


def test_cores_follow_the_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert host.facts().cores == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_machine_fingerprint() -> None:
    found = host.machine()
    isa = found.host.isa()
    assert found.isa == (isa.value if isa else found.host.architecture)
    assert found.onnxruntime[0].isdigit()
    assert found.kernel == os.uname().release


def test_governor_is_unknown_where_the_kernel_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "GOVERNOR", tmp_path / "absent")
    assert host.machine().governor == "unknown"
    (tmp_path / "absent").write_text("performance\n")
    assert host.machine().governor == "performance"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_memory_limits_of_version_2_groups_and_their_parents(tmp_path: Path) -> None:
    write(tmp_path / "memory.max", "max\n")
    write(tmp_path / "pod/memory.max", "1073741824\n")
    write(tmp_path / "pod/box/memory.max", "max\n")
    assert host.cgroup_limits(tmp_path, "0::/pod/box\n") == [1073741824]
    assert host.cgroup_limits(tmp_path, "0::/\n") == []


def test_memory_limits_of_version_1_groups(tmp_path: Path) -> None:
    write(tmp_path / "memory/box/memory.limit_in_bytes", "536870912\n")
    write(tmp_path / "cpu/box/memory.limit_in_bytes", "1\n")
    assert host.cgroup_limits(tmp_path, "9:cpu:/box\n4:memory:/box\n") == [536870912]


def test_memory_is_the_smaller_of_machine_and_group(tmp_path: Path) -> None:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    own = tmp_path / "own"
    write(own, "0::/box\n")
    write(tmp_path / "root/box/memory.max", "268435456")
    assert host.memory_bytes(tmp_path / "root", own) == 268435456
    write(tmp_path / "root/box/memory.max", str(2 * total))
    assert host.memory_bytes(tmp_path / "root", own) == total
    assert host.memory_bytes(tmp_path / "root", tmp_path / "absent") == total
