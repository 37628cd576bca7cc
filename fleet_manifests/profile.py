"""Hardware profiles, and which machine belongs to which."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from fleet_manifests.errors import RefusedError
from fleet_manifests.wire import Name, Wire

EngineName = Literal["onnxruntime", "openvino"]
"""What runs a build."""
ONNXRUNTIME: EngineName = "onnxruntime"
"""Every machine of the fleet has it."""
OPENVINO: EngineName = "openvino"
"""Those with the extra of that name have it."""


class IsaClass(StrEnum):
    """Instruction set classes between which int8 answers may differ.

    `x86-64` is for full-precision builds only, whose answers do not depend on the
    int8 kernels; `host` stands in a project file for "the machine that builds".
    """

    X86_64 = "x86-64"
    X86_64_V3 = "x86-64-v3"
    AVX512_VNNI = "avx512-vnni"
    ARM64_DOTPROD = "arm64-dotprod"
    HOST = "host"


class HostFacts(Wire):
    """What a machine says of itself."""

    architecture: str
    """`x86_64`, `aarch64`."""
    features: tuple[str, ...] = ()
    """CPU flags as Linux names them, sorted."""
    cpu_model: str = "unknown"
    cores: Annotated[int, Field(ge=1)]
    memory_mb: Annotated[int, Field(ge=1)]
    engines: tuple[Name, ...] = ()
    """What can run a bundle beside ONNX Runtime, which every site has."""

    def lacks(self, engine: str) -> str | None:
        """Why this machine cannot run a build for that engine, or None where it can."""
        if engine == ONNXRUNTIME or engine in self.engines:
            return None
        remedy = f"run: pip install 'lading[{engine}]'" if engine == OPENVINO else "update lading"
        return f"its build is for the engine {engine}, which is not here; {remedy}"

    def isa(self) -> IsaClass | None:
        """The most specific class of this machine, or None where no profile could match."""
        if self.architecture == "x86_64":
            if "avx512_vnni" in self.features:
                return IsaClass.AVX512_VNNI
            return IsaClass.X86_64_V3 if "avx2" in self.features else IsaClass.X86_64
        if self.architecture in ("aarch64", "arm64") and "asimddp" in self.features:
            return IsaClass.ARM64_DOTPROD
        return None


class LatencyObjective(Wire):
    """`p<percentile> <= <milliseconds> ms`, single stream, at a given input length."""

    percentile: Literal[50, 90, 99] = 99
    milliseconds: Annotated[float, Field(gt=0)]
    tokens: Annotated[int, Field(ge=1, le=8192)] = 128


class Objective(StrEnum):
    """What a profile wants most of a build that passes its gates."""

    LATENCY = "latency"
    SIZE = "size"
    ACCURACY = "accuracy"


class HardwareProfile(Wire):
    """A class of target machine and what is asked of a build for it."""

    name: Name
    kind: Literal["edge", "central"] = "edge"
    isa: IsaClass
    cores: Annotated[int, Field(ge=1, le=256)] = 1
    """Cores the engine may use; latency is measured on this many."""
    memory_mb: Annotated[int, Field(ge=64)] = 1024
    """Memory the engine's process may use at its peak."""
    provider: Literal["cpu"] = "cpu"
    latency: LatencyObjective
    size_budget_mb: Annotated[float, Field(gt=0)] = 100.0
    """Largest bundle, all files together."""
    recipes: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Recipes allowed, cheapest first."""
    objective: Objective = Objective.LATENCY
    """Which of those that pass is taken: the fastest, the smallest or the one that loses least."""
    preference: int = 0
    """Where several profiles match a machine, the highest is taken, then the name."""

    def mismatch(self, host: HostFacts) -> str | None:
        """Why this profile is not for that machine, or None where it is."""
        found = host.isa()
        if self.isa is IsaClass.HOST:
            return "isa 'host' is resolved when the project is built"
        fits = host.architecture == "x86_64" if self.isa is IsaClass.X86_64 else found is self.isa
        if not fits:
            return f"isa {self.isa.value} is needed, this machine is {found.value if found else host.architecture}"
        if host.cores < self.cores:
            return f"{self.cores} cores are needed, this machine has {host.cores}"
        if host.memory_mb < self.memory_mb:
            return f"{self.memory_mb} MB of memory are needed, this machine has {host.memory_mb}"
        return None

    def resolved(self, host: HostFacts) -> HardwareProfile:
        """This profile with isa `host` replaced by the class of that machine.

        Raises:
            RefusedError: the machine is of no class that Lading knows.
        """
        if self.isa is not IsaClass.HOST:
            return self
        found = host.isa()
        if found is None:
            raise RefusedError(
                f"profile {self.name}: isa 'host': {host.architecture} with the features of this machine "
                "is of no known class; name an isa in the profile"
            )
        return self.model_copy(update={"isa": found})
