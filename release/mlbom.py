"""The ML-BOM of a bundle: CycloneDX 1.6 with a model card (https://cyclonedx.org/capabilities/mlbom/).

cyclonedx-python-lib has no class for a model card, so the document is made here; a test holds it to the schema
that the library brings. How well the model does is not in it: that is evidence, measured afterwards.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from fleet_manifests import BundleConfig, Task, Wire
from fleet_manifests.bundle import bundle_name
from release.provenance import Origin, purl

_TASKS = {Task.CLASSIFY: "text-classification", Task.RETRIEVE: "text-retrieval", Task.EXTRACT: "token-classification"}
_MODEL, _BASE, _CORPUS = "model", "base", "corpus"


class Hash(Wire):
    """A digest as CycloneDX writes it."""

    alg: Literal["SHA-256"] = "SHA-256"
    content: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Component(Wire):
    """A model, a corpus or a library."""

    type: Literal["machine-learning-model", "data", "library"]
    ref: Annotated[str, Field(alias="bom-ref")]
    name: str
    version: str | None = None
    purl: str | None = None
    hashes: tuple[Hash, ...] | None = None
    licenses: tuple[dict[str, Any], ...] | None = None
    card: Annotated[dict[str, Any] | None, Field(alias="modelCard")] = None
    data: tuple[dict[str, Any], ...] | None = None


class Metadata(Wire):
    """What the document is about."""

    component: Component


class Depends(Wire):
    """What a component is made of."""

    ref: str
    on: Annotated[tuple[str, ...], Field(alias="dependsOn")]


class Bom(Wire):
    """The predicate: a CycloneDX document."""

    format: Annotated[Literal["CycloneDX"], Field(alias="bomFormat")] = "CycloneDX"
    spec: Annotated[Literal["1.6"], Field(alias="specVersion")] = "1.6"
    version: Literal[1] = 1
    metadata: Metadata
    components: tuple[Component, ...] = ()
    dependencies: tuple[Depends, ...] = ()

    def mismatch(self, config: BundleConfig) -> str | None:
        """Why this is not the ML-BOM of the bundle with that `bundle.json`; None: it may be."""
        if (found := self.metadata.component.name) != (name := bundle_name(config.workflow, config.profile)):
            return f"metadata.component is {found}, the bundle is {name}"
        bases = [one for one in self.components if one.ref == _BASE]
        if bases != ([] if (own := _base(config)) is None else [own]):
            return f"components: the base is {[one.name for one in bases]}, the bundle has another"
        corpora = [one.hashes for one in self.components if one.ref == _CORPUS]
        if corpora != [_corpus(config).hashes]:
            return "components: the corpus has another data card than the bundle"
        return None


def bom(config: BundleConfig, digest: str, origin: Origin) -> Bom:
    """The ML-BOM of a build.

    Args:
        config: its `bundle.json`.
        digest: the digest of its manifest.
        origin: what else went into it.
    """
    base = _base(config)
    model = Component(
        ref=_MODEL,
        type="machine-learning-model",
        name=bundle_name(config.workflow, config.profile),
        version=digest.removeprefix("sha256:")[:12],
        hashes=(_hash(digest),),
        card=_card(config),
    )
    libraries = [
        Component(
            ref=purl(name, version),
            type="library",
            name=name,
            version=version,
            purl=purl(name, version),
        )
        for name, version in sorted(origin.libraries.items())
    ]
    parts = ([base] if base else []) + [_corpus(config)]
    return Bom(
        metadata=Metadata(component=model),
        components=(*parts, *libraries),
        dependencies=(Depends(ref=_MODEL, on=tuple(one.ref for one in (*parts, *libraries))),),
    )


def _card(config: BundleConfig) -> dict[str, Any]:
    """The model card: what it is, what it was trained on, what it takes and gives, and when it defers."""
    output = ", ".join(config.labels) if config.labels else f"embedding of length {config.dimension}"
    parameters = {
        "approach": {"type": "supervised"},
        "task": _TASKS.get(config.task, config.task.value),
        "architectureFamily": config.kind,
        "modelArchitecture": config.base.name if config.built_on else config.kind,
        "datasets": [{"ref": _CORPUS}],
        "inputs": [{"format": f"text of at most {config.max_characters} characters"}],
        "outputs": [{"format": output}],
    }
    threshold = config.calibration.defer_threshold
    considerations = {
        "useCases": [f"workflow {config.workflow} on machines of profile {config.profile}"],
        "technicalLimitations": [
            f"reads the first {config.max_tokens} tokens of a text",
            f"defers what is less certain than {threshold}",
        ],
    }
    properties = [
        {"name": "lading:recipe", "value": config.recipe},
        {"name": "lading:isa", "value": config.isa.value},
        {"name": "lading:data-card", "value": config.data_card},
    ]
    return {"modelParameters": parameters, "considerations": considerations, "properties": properties}


def _base(config: BundleConfig) -> Component | None:
    """The pretrained model that the weights come from."""
    if config.built_on is None:
        return None
    base = config.built_on
    return Component(
        ref=_BASE,
        type="machine-learning-model",
        name=base.name,
        version=base.revision,
        hashes=(_hash(base.digest),),
        licenses=({"license": {"name": base.licence}},),
    )


def _corpus(config: BundleConfig) -> Component:
    """The corpus, by its data card."""
    return Component(
        ref=_CORPUS,
        type="data",
        name=f"corpus of {config.workflow}",
        hashes=(_hash(config.data_card),),
        data=({"type": "dataset", "name": f"corpus of {config.workflow}"},),
    )


def _hash(digest: str) -> Hash:
    return Hash(content=digest.removeprefix("sha256:"))
