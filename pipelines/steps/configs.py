"""What several steps ask of a project: profiles, keys, and the configuration of a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import (
    BundleConfig,
    ConfigError,
    HardwareProfile,
    IsaClass,
    SessionConfig,
    WordEmbeddings,
    sha256_of,
)
from fleet_manifests.authors import BY_KEY, SignerPolicy, Trust
from fleet_manifests.bundle import CLASSICAL
from pipelines.project.load import Project
from pipelines.project.spec import RetrieveWorkflow
from pipelines.steps.models import base_of

if TYPE_CHECKING:
    from evals.accuracy import AccuracyPolicy
    from evals.searches import RetrievalPolicy
    from release.keys import Keys
    from release.signing import Author

ENGINE_LIBRARIES = ("onnxruntime", "tokenizers", "numpy")
"""Those of every build; the version of another engine is in the fingerprint of the machine."""


def versions(libraries: Iterable[str]) -> dict[str, str | None]:
    """Of each library; None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in sorted(set(libraries)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def resolved_profile(project: Project, name: str) -> HardwareProfile:
    """A profile of the project, with isa `host` replaced by that of this machine."""
    from runtimes.engine.host import facts

    fields = project.profile(name).resolved(facts()).model_dump()
    return HardwareProfile.model_validate(fields)


def draft(
    project: Project, workflow: str, folder: Path, corpus: Path, recipe: str, profile: HardwareProfile | None
) -> BundleConfig:
    """The bundle configuration of a build that is not calibrated yet; without a profile, of the unquantized model."""
    from quantize.folder import kind_of
    from quantize.recipes import session_of

    spec = project.workflow(workflow)
    retrieves = isinstance(spec, RetrieveWorkflow)
    kind = kind_of(folder)
    lengths = {"max_tokens": spec.training.max_tokens}
    if kind == CLASSICAL:  # it reads characters, and says how many
        told = json.loads((folder / "arguments.json").read_text())
        lengths = {name: told[name] for name in ("max_tokens", "tokens_per_piece")}
    return BundleConfig(
        workflow=workflow,
        task=spec.task,
        profile=profile.name if profile else "unquantized",
        isa=profile.isa if profile else IsaClass.HOST,
        recipe=recipe,
        kind=kind,
        **_run_by(folder),
        **lengths,
        max_characters=spec.guardrails.max_characters if profile else 10**6,
        labels=() if retrieves else tuple(json.loads((folder / "labels.json").read_text())),
        dimension=dimension(folder) if retrieves else None,
        word_embeddings=_word_embeddings(folder),
        weights=_recorded(folder).get("weights") or None,
        session=session_of(recipe, profile) if profile else SessionConfig(),
        base=base_of(project, workflow).ref,
        data_card=sha256_of(corpus / "data_card.json"),
        prompt_version=spec.prompt_version,
        policy_version=spec.policy_version,
    )


def _run_by(folder: Path) -> dict[str, str]:
    """The engine of a build and the file with its graph; an exported model has no record and the usual ones."""
    found = _recorded(folder)
    return {name: found[name] for name in ("engine", "model") if name in found}


def _word_embeddings(folder: Path) -> WordEmbeddings | None:
    """Where a build has its word embeddings; an exported model has no record and has them inside."""
    found = _recorded(folder).get("word_embeddings")
    return WordEmbeddings.model_validate(found) if found else None


def _recorded(folder: Path) -> dict[str, Any]:
    """What was done to make a build; nothing of an exported model."""
    record = folder / "recipe.json"
    found: dict[str, Any] = json.loads(record.read_text()) if record.is_file() else {}
    return found


def dimension(folder: Path) -> int:
    """Length of the embedding that a retriever gives."""
    import onnx

    from quantize.openvino import IR, width_of

    if (folder / IR).is_file():
        return width_of(folder / IR)
    (output,) = onnx.load(str(folder / "model.onnx"), load_external_data=False).graph.output
    return int(output.type.tensor_type.shape.dim[-1].dim_value)


def author_of(project: Project) -> Author:
    """Who signs bundles, packs and attestations, and what a site will hold that to; a missing key is made."""
    from release.keys import BUILDER
    from release.signers_keyless import SCHEME, keyless_signer
    from release.signing import Author

    keys = keys_of(project)
    keys.ensure([BUILDER])
    uri = project.settings.signers.get(BUILDER, "")
    keyless = uri.startswith(f"{SCHEME}:")
    signer = keyless_signer(BUILDER, uri, project.root) if keyless else keys[BUILDER]
    policy = signing_policy(project)
    return Author(signer, Trust(keys[BUILDER].public_pem, policy.get("authors", BY_KEY), policy.get("trusted_root")))


def keys_of(project: Project) -> Keys:
    """The key store of a project, apart from the project and from what it publishes.

    A keyless builder signs no TUF metadata: that stays with the key store's own builder key.
    """
    from release.keys import BUILDER, Keys
    from release.signers_keyless import SCHEME

    uris = dict(project.settings.signers)
    if uris.get(BUILDER, "").startswith(f"{SCHEME}:"):
        del uris[BUILDER]
    return Keys.of_project(project.settings.name, outside=[project.root], signers=uris)


def signing_policy(project: Project) -> dict[str, Any]:
    """What `lading.yaml` says of signers, as fields of `release.Policy`.

    Raises:
        ConfigError: the trusted root cannot be read.
    """
    trust = project.settings.trust
    if trust is None:
        return {}
    raw = None
    if trust.trusted_root is not None:
        try:
            raw = (project.root / trust.trusted_root).read_bytes()
        except OSError as exc:
            raise ConfigError(f"lading.yaml: trust: trusted_root: {trust.trusted_root}: {exc.strerror}") from exc
    return {"authors": SignerPolicy(authors=trust.authors, require=trust.require), "trusted_root": raw}


def retrieval_policy(project: Project, workflow: str) -> RetrievalPolicy:
    """What a `retrieve` workflow asks of what its builds find."""
    from evals.searches import RetrievalPolicy

    gates = project.retriever(workflow).gates
    return RetrievalPolicy(**gates.model_dump(exclude={"neighbour_overlap"}), seed=project.settings.seed)


def accuracy_policy(project: Project, workflow: str) -> AccuracyPolicy:
    """What a `classify` workflow asks of what its builds answer."""
    from evals.accuracy import AccuracyPolicy

    gates = project.classifier(workflow).gates
    return AccuracyPolicy(
        metric=gates.metric,
        floor=gates.floor,
        margin=gates.margin,
        confidence=gates.confidence,
        seed=project.settings.seed,
    )
