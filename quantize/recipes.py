"""Recipes: how an exported model is optimized and quantized, and for which ISA that is legal.

A recipe is a small named object: graph passes, quantization, graph passes after it, session options. To add one,
register its passes in `quantize.passes` and the recipe in `RECIPES`.

Measured choices, one thread, against optimum's default dynamic int8 of the same model:
dynamic quantization with signed 8-bit weights per channel; attention fused before it
(same answers to the bit, less glue) and freed from its mask, since the engine never pads (3-4 %
less time); the runtime's SkipLayerNormFusion switched off, whose
CPU kernel is slower than the two nodes it replaces.

The ORT format, or the graph as the runtime optimized it, is no recipe: it holds for one version of onnxruntime and
the machine that wrote it, so every update of the runtime at a site would void the bundles there, signatures
included; what it gains is 10-20 ms of loading.

OpenVINO is another engine with kernels of its own; its recipes take the exported graph as it is (`quantize.openvino`).

Instructions that multiply 8-bit numbers into 16 bits saturate (AVX2): machines without
VNNI or dot product get weights of 7 bits (`reduce_range`), whose sums cannot overflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from fleet_manifests import HardwareProfile, IsaClass, RefusedError, SessionConfig, UsageError
from fleet_manifests.bundle import CLASSICAL, TRANSFORMER
from fleet_manifests.profile import ONNXRUNTIME, OPENVINO, EngineName
from quantize.integers import Quantization
from quantize.passes import PASSES

FAST_INT8 = frozenset({IsaClass.AVX512_VNNI, IsaClass.ARM64_DOTPROD})
"""Classes whose 8-bit products are summed in 32 bits."""
ANY_INT8 = FAST_INT8 | {IsaClass.X86_64_V3}
ANY = ANY_INT8 | {IsaClass.X86_64}
NO_SKIP_LAYER_NORM = SessionConfig(disabled_optimizers=("SkipLayerNormFusion",))
UNPADDED = ("fuse-attention", "drop-mask")
"""Passes that change no answer."""
FULL, REDUCED = Quantization(), Quantization(reduce_range=True)
X86 = frozenset({IsaClass.AVX512_VNNI, IsaClass.X86_64_V3})
"""What OpenVINO's integer kernels are made for."""


@dataclass(frozen=True)
class Recipe:
    """One way to make a build from an exported model."""

    name: str
    description: str
    isa: frozenset[IsaClass]
    """Classes for which it is legal."""
    passes: tuple[str, ...] = ()
    """Rewrites of the float graph, in order: names in `quantize.passes.PASSES`."""
    quantization: Quantization | None = None
    """None: weights and products stay what the passes made of them."""
    after: tuple[str, ...] = ()
    """Rewrites of the quantized graph, in order."""
    session: SessionConfig = NO_SKIP_LAYER_NORM
    engine: EngineName = ONNXRUNTIME
    """What runs the build."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """What it is made with that is not part of every factory (`fleet_manifests.extra.EXTRAS`)."""
        return (OPENVINO, "nncf") if self.engine == OPENVINO else ()

    @property
    def needs_texts(self) -> bool:
        """Whether real inputs have a part in what is built."""
        if self.quantization is not None and self.quantization.method == "calibrated":
            return True
        return any(PASSES[name].needs_texts for name in (*self.passes, *self.after))

    @property
    def forgets(self) -> bool:
        """Whether it drops what the training texts did not need, so that disturbed texts must be tried too."""
        return any(PASSES[name].forgets for name in (*self.passes, *self.after))

    def session_for(self, profile: HardwareProfile) -> SessionConfig:
        """The session options on the cores of a profile."""
        return self.session.model_copy(update={"threads": profile.cores})


@dataclass(frozen=True)
class _Variant:
    """What makes a recipe another one than plain dynamic int8."""

    name: str
    description: str
    passes: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    session: SessionConfig = NO_SKIP_LAYER_NORM
    unpadded: tuple[str, ...] = UNPADDED


LEAN = ("open-attention", "plain-positions", "flat-mean", "split-outliers", "smooth", "embeddings-columns")
"""Rewrites of the unpadded graph, each of which leaves the float results as they are; and finer embeddings."""
VARIANTS = (
    _Variant("lean", "less glue, outliers apart, smooth activations with fixed ranges", LEAN, after=("freeze-ranges",)),
    _Variant("", "signed weights per channel, attention fused"),
    _Variant("8bit-embeddings", "embeddings of 8 bits in blocks", ("embeddings-8bit",)),
    _Variant("4bit-embeddings", "embeddings of 4 bits in blocks", ("embeddings-4bit",)),
    _Variant("trimmed", "only the embeddings that the workflow's texts need", ("trim-vocabulary",)),
    _Variant("static", "ranges of activations fixed on training texts", after=("freeze-ranges",)),
    _Variant("mixed", "the most sensitive products in 8-bit blocks", ("keep-sensitive",)),
    _Variant("mixed-8bit-embeddings", "mixed, and embeddings of 8 bits", ("keep-sensitive", "embeddings-8bit")),
    _Variant("mixed-4bit-embeddings", "mixed, and embeddings of 4 bits", ("keep-sensitive", "embeddings-4bit")),
    _Variant("skip-norm", "the runtime may fuse residual sums into norms", session=SessionConfig()),
    _Variant("unfused", "the graph as it was exported", unpadded=()),
)
"""Of dynamic int8, fastest first."""


def _int8(variant: _Variant, base: str, quantization: Quantization, isa: frozenset[IsaClass]) -> Recipe:
    name = f"{base}-{variant.name}" if variant.name else base
    bits = "7-bit weights, which cannot saturate without VNNI" if quantization.reduce_range else "8-bit weights"
    return Recipe(
        name,
        f"dynamic int8, {bits}: {variant.description}",
        isa,
        (*variant.unpadded, *variant.passes),
        quantization,
        variant.after,
        variant.session,
    )


def _openvino(base: str, quantization: Quantization, isa: frozenset[IsaClass]) -> Recipe:
    bits = "7-bit weights, which cannot saturate without VNNI" if quantization.reduce_range else "8-bit weights"
    return Recipe(
        f"openvino-{base}",
        f"OpenVINO, int8 by NNCF, {bits}, ranges of activations fixed on training texts",
        isa & X86,
        quantization=replace(quantization, method="calibrated"),
        session=SessionConfig(),
        engine=OPENVINO,
    )


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            *(_int8(variant, "int8", FULL, FAST_INT8) for variant in VARIANTS),
            *(_int8(variant, "int8-reduced-range", REDUCED, ANY_INT8) for variant in VARIANTS),
            _openvino("int8", FULL, FAST_INT8),
            _openvino("int8-reduced-range", REDUCED, ANY_INT8),
            Recipe("fp32-fused", "full precision, attention fused", ANY, UNPADDED),
            Recipe(
                "fp32-4bit-embeddings",
                "full precision, attention fused, embeddings of 4 bits in blocks",
                ANY,
                (*UNPADDED, "embeddings-4bit"),
            ),
            Recipe(
                "fp32-16bit-embeddings",
                "full precision, attention fused, embeddings of 16 bits",
                ANY,
                (*UNPADDED, "embeddings-16bit"),
            ),
            Recipe("fp32", "the exported weights as they are; the reference of every comparison", ANY),
        )
    }
)
"""Every recipe that a profile may name, cheapest at run time first."""
AS_IS = Recipe(
    "as-is",
    "a classical model as it was exported; it has nothing to quantize",
    ANY,
    session=SessionConfig(),
)
"""The one recipe of a classical model, whatever the profile allows: its arithmetic is float32 on every ISA."""


def session_of(name: str, profile: HardwareProfile) -> SessionConfig:
    """The session options of a build by the recipe of that name, on the cores of a profile."""
    return recipe_of(name).session_for(profile)


def recipe_of(name: str) -> Recipe:
    """The recipe of that name, which a build or a search has."""
    return AS_IS if name == AS_IS.name else RECIPES[name]


def recipe_named(name: str, isa: IsaClass) -> Recipe:
    """The recipe of that name for an ISA class.

    Raises:
        UsageError: there is no such recipe.
        RefusedError: the recipe is not legal for the class.
    """
    if name not in RECIPES:
        raise UsageError(f"recipe {name!r} is unknown; there are {', '.join(RECIPES)}")
    return _legal(RECIPES[name], isa)


def _legal(recipe: Recipe, isa: IsaClass) -> Recipe:
    """A recipe that is legal for an ISA class.

    Raises:
        RefusedError: it is not.
    """
    if isa not in recipe.isa:
        legal = ", ".join(other.name for other in RECIPES.values() if isa in other.isa) or "none"
        hint = "resolve the profile first" if isa is IsaClass.HOST else f"legal there: {legal}"
        raise RefusedError(f"recipe {recipe.name} is not legal for isa {isa.value}; {hint}")
    return recipe


def candidates(profile: HardwareProfile, kind: str = TRANSFORMER) -> tuple[Recipe, ...]:
    """The recipes that a profile allows, in its order (cheapest first); of a classical model the only one.

    Raises:
        UsageError: the profile names a recipe that does not exist.
        RefusedError: a recipe is not legal for the profile's ISA, or the ISA is still `host`.
    """
    try:
        if kind == CLASSICAL:
            return (_legal(AS_IS, profile.isa),)
        return tuple(recipe_named(name, profile.isa) for name in profile.recipes)
    except (UsageError, RefusedError) as exc:
        raise type(exc)(f"profile {profile.name}: recipes: {exc}") from exc
