from __future__ import annotations

import subprocess
import sys

import pytest

from fleet_manifests import Machine, RefusedError, parse
from runtimes.engine.host import machine as by_files
from runtimes.measure import machine as tested

pytestmark = pytest.mark.unit


def test_what_the_processor_says_is_what_the_kernel_says() -> None:
    found, files = tested.machine(), by_files()
    assert found.isa == files.isa
    assert found.onnxruntime == files.onnxruntime
    told_apart = {"avx2", "avx512f", "avx512_vnni", "asimddp", "i8mm"}
    assert told_apart & set(found.host.features) == told_apart & set(files.host.features)


def test_the_names_of_bits() -> None:
    """A Neoverse N1, as its kernel gives it in the auxiliary vector and in /proc/cpuinfo."""
    found = tested.named(0x119FFB, tested.HWCAP, 0, tested.HWCAP2)
    seen = "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
    assert " ".join(sorted(seen.split(" "))) == " ".join(found)
    assert tested.named(0, tested.HWCAP, 1 << 13, tested.HWCAP2) == ("i8mm",)
    assert len(tested.HWCAP) == 32


def test_a_processor_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(RefusedError, match="riscv64: an x86-64 or 64-bit Arm processor"):
        tested.machine()


@pytest.mark.integration
def test_the_process() -> None:
    done = subprocess.run([sys.executable, "-m", "runtimes.measure.machine"], capture_output=True, check=True)
    assert parse(Machine, done.stdout, where="answer").isa == by_files().isa
