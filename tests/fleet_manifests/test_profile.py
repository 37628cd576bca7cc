"""Which machine belongs to which profile."""

from __future__ import annotations

import pytest

from fleet_manifests import FleetManifest, HardwareProfile, HostFacts, IsaClass, RefusedError

pytestmark = pytest.mark.unit

HASWELL = HostFacts(architecture="x86_64", features=("avx2", "fma"), cores=4, memory_mb=8000)
ZEN4 = HostFacts(architecture="x86_64", features=("avx2", "avx512_vnni"), cores=2, memory_mb=8000)
ATOM = HostFacts(architecture="x86_64", features=("sse4_2",), cores=2, memory_mb=2000)
GRAVITON = HostFacts(architecture="aarch64", features=("asimd", "asimddp"), cores=2, memory_mb=4000)
RASPBERRY3 = HostFacts(architecture="aarch64", features=("asimd",), cores=4, memory_mb=1000)


@pytest.mark.parametrize(
    ("host", "isa"),
    [
        (HASWELL, IsaClass.X86_64_V3),
        (ZEN4, IsaClass.AVX512_VNNI),
        (ATOM, IsaClass.X86_64),
        (GRAVITON, IsaClass.ARM64_DOTPROD),
        (RASPBERRY3, None),
    ],
)
def test_class_of_a_machine(host: HostFacts, isa: IsaClass | None) -> None:
    assert host.isa() is isa


@pytest.mark.parametrize(
    ("isa", "fits"),
    [
        (IsaClass.X86_64, [HASWELL, ZEN4, ATOM]),
        (IsaClass.X86_64_V3, [HASWELL]),
        (IsaClass.AVX512_VNNI, [ZEN4]),
        (IsaClass.ARM64_DOTPROD, [GRAVITON]),
    ],
)
def test_int8_is_for_its_own_class_only(profile: HardwareProfile, isa: IsaClass, fits: list[HostFacts]) -> None:
    wanted = profile.model_copy(update={"isa": isa})
    found = [host for host in (HASWELL, ZEN4, ATOM, GRAVITON, RASPBERRY3) if wanted.mismatch(host) is None]
    assert found == fits


def test_too_few_cores_or_too_little_memory(profile: HardwareProfile) -> None:
    assert "cores" in (profile.model_copy(update={"cores": 8}).mismatch(ZEN4) or "")
    assert "memory" in (profile.model_copy(update={"memory_mb": 9000}).mismatch(ZEN4) or "")


def test_host_profile_is_resolved_before_it_matches(profile: HardwareProfile) -> None:
    here = profile.model_copy(update={"isa": IsaClass.HOST})
    assert "resolved" in (here.mismatch(ZEN4) or "")
    assert here.resolved(HASWELL).isa is IsaClass.X86_64_V3
    assert profile.resolved(HASWELL) is profile
    with pytest.raises(RefusedError, match="no known class"):
        here.resolved(RASPBERRY3)


def test_manifest_resolves_the_preferred_profile(manifest: FleetManifest, profile: HardwareProfile) -> None:
    second = profile.model_copy(update={"name": "edge-this-machine", "preference": -1})
    both = manifest.model_copy(update={"profiles": {second.name: second, profile.name: profile}})
    assert both.profile_for(ZEN4, kind="edge", wanted=None) == profile
    assert both.profile_for(ZEN4, kind="edge", wanted="edge-this-machine") == second
    with pytest.raises(RefusedError, match="isa avx512-vnni is needed, this machine is x86-64-v3"):
        both.profile_for(HASWELL, kind="edge", wanted=None)
    with pytest.raises(RefusedError, match="lists none"):
        both.profile_for(ZEN4, kind="central", wanted=None)


def test_a_machine_runs_builds_of_the_engines_it_has() -> None:
    both = ZEN4.model_copy(update={"engines": ("openvino",)})
    assert ZEN4.lacks("onnxruntime") is None
    assert both.lacks("openvino") is None
    assert "engine openvino, which is not here; run: pip install 'lading[openvino]'" in (ZEN4.lacks("openvino") or "")
    assert "engine later, which is not here; update lading" in (both.lacks("later") or "")
