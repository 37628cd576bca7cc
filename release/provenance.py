"""Where a bundle comes from: SLSA provenance v1 (https://slsa.dev/spec/v1.0/provenance).

What the project asked for is `externalParameters`, what the factory chose `internalParameters`; corpus, base,
project and libraries are `resolvedDependencies` with their digests or versions. No time is in it: the same build
has the same provenance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote

from pydantic import Field

from fleet_manifests import BundleConfig, Wire

BUILD_TYPE = "urn:lading:build:v1"
CORPUS, DATA_CARD, BASE, PROJECT = "corpus", "data-card", "base", "project"


@dataclass(frozen=True)
class Origin:
    """What went into a bundle, as far as its own files do not say it."""

    builder: str
    """Who built it, as a URI."""
    version: str
    """Version of `lading`."""
    corpus: str
    """Digest of the corpus."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Version of each library that decides the outcome."""
    commit: str | None = None
    """Git commit of the project; None: it is in no repository."""
    changed: bool = False
    """Whether the project had changes besides that commit."""


class Dependency(Wire):
    """A ResourceDescriptor: something that went in."""

    name: str
    uri: str | None = None
    digest: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class BuildDefinition(Wire):
    """What was built, of what."""

    build_type: Annotated[str, Field(alias="buildType")] = BUILD_TYPE
    external: Annotated[dict[str, str], Field(alias="externalParameters")]
    internal: Annotated[dict[str, str], Field(alias="internalParameters")]
    dependencies: Annotated[tuple[Dependency, ...], Field(alias="resolvedDependencies")]


class BuilderId(Wire):
    """Who built."""

    id: str
    version: dict[str, str] = {}


class RunDetails(Wire):
    """This very run."""

    builder: BuilderId


class Provenance(Wire):
    """The predicate."""

    definition: Annotated[BuildDefinition, Field(alias="buildDefinition")]
    run: Annotated[RunDetails, Field(alias="runDetails")]

    def mismatch(self, config: BundleConfig) -> str | None:
        """Why this is not the provenance of the bundle with that `bundle.json`; None: it may be."""
        if self.definition.build_type != BUILD_TYPE:
            return f"buildType is {self.definition.build_type}, expected {BUILD_TYPE}"
        if (found := self.definition.external) != _asked(config):
            return f"externalParameters are {found}, the bundle is {_asked(config)}"
        if (chosen := self.definition.internal) != _chosen(config):
            return f"internalParameters are {chosen}, the bundle has {_chosen(config)}"
        said = [one for one in self.definition.dependencies if one.name in (BASE, DATA_CARD)]
        if said != (own := _own(config)):
            return f"resolvedDependencies say {said}, the bundle says {own}"
        return None


def provenance(config: BundleConfig, origin: Origin) -> Provenance:
    """The provenance of a build.

    Args:
        config: its `bundle.json`.
        origin: what else went into it.
    """
    dependencies = [
        Dependency(name=CORPUS, digest=_sha256(origin.corpus)),
        *_own(config),
        *(Dependency(name=name, uri=purl(name, version)) for name, version in sorted(origin.libraries.items())),
    ]
    if origin.commit is not None:
        changed = {"changed": "true"} if origin.changed else None
        dependencies.append(Dependency(name=PROJECT, digest={"gitCommit": origin.commit}, annotations=changed))
    return Provenance(
        definition=BuildDefinition(
            external=_asked(config),
            internal=_chosen(config),
            dependencies=tuple(dependencies),
        ),
        run=RunDetails(builder=BuilderId(id=origin.builder, version={"lading": origin.version})),
    )


def purl(name: str, version: str) -> str:
    """The package URL of a library."""
    return f"pkg:pypi/{name}@{quote(version)}"


def _asked(config: BundleConfig) -> dict[str, str]:
    return {"workflow": config.workflow, "profile": config.profile, "isa": config.isa.value}


def _chosen(config: BundleConfig) -> dict[str, str]:
    return {"recipe": config.recipe, "kind": config.kind}


def _own(config: BundleConfig) -> list[Dependency]:
    """What the bundle itself says that it was made of."""
    found = [Dependency(name=DATA_CARD, digest=_sha256(config.data_card))]
    if config.built_on is not None:
        base = config.built_on
        about = {"name": base.name, "revision": base.revision, "licence": base.licence}
        found.append(Dependency(name=BASE, digest=_sha256(base.digest), annotations=about))
    return found


def _sha256(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}
