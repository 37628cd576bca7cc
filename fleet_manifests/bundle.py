"""The bundle: the immutable files of a build, identified by their OCI manifest."""

from __future__ import annotations

import itertools
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fleet_manifests.errors import IntegrityError
from fleet_manifests.profile import ONNXRUNTIME, EngineName, IsaClass
from fleet_manifests.wire import Digest, Name, Task, Wire, digest_of, dump

ManifestType = Literal["application/vnd.oci.image.manifest.v1+json"]
ArtifactType = Literal["application/vnd.cncf.model.manifest.v1+json"]
MANIFEST_TYPE: ManifestType = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE: ArtifactType = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
WEIGHT_TYPE = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG_TYPE = "application/vnd.cncf.model.weight.config.v1.raw"
DOC_TYPE = "application/vnd.cncf.model.doc.v1.raw"
SIGNATURE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
FILEPATH = "org.cncf.model.filepath"
"""Annotation that holds a layer's path inside the bundle (CNCF ModelPack)."""

BUNDLE_FILE = "bundle.json"
NEIGHBOURS = "neighbours.npy"
WORD_EMBEDDINGS = "word_embeddings.bin"
FROZEN = "frozen.bin"
"""What tuning leaves as the base has it, without the word embeddings."""
TUNED = "tuned.bin"
"""What tuning changes."""
HEAD = "head.bin"
"""The weights of the classes."""
TRANSFORMER = "transformer"
CLASSICAL = "classical"


def is_bundle_path(path: str) -> bool:
    """Whether a relative POSIX path may be inside a bundle: printable ASCII, nothing hidden, no way out."""
    safe = path.isascii() and path.isprintable() and "\\" not in path and ":" not in path
    hidden = any(part in ("", ".", "..") or part.startswith(".") for part in path.split("/"))
    return safe and not hidden and not PurePosixPath(path).is_absolute()


class Descriptor(Wire):
    """An OCI content descriptor: how to ask for a blob, and how to know it."""

    media_type: Annotated[str, Field(alias="mediaType")]
    digest: Digest
    size: Annotated[int, Field(ge=0)]
    annotations: dict[str, str] = {}

    @property
    def path(self) -> str:
        """The file's relative POSIX path inside the bundle.

        Raises:
            IntegrityError: no path, or one that could leave the bundle's folder.
        """
        path = self.annotations.get(FILEPATH, "")
        if not is_bundle_path(path):
            raise IntegrityError(f"blob {self.digest}: {path!r} is not a path inside a bundle")
        return path


class OciManifest(Wire):
    """The OCI image manifest of a bundle, in the ModelPack form. Its digest is the bundle's identity."""

    schema_version: Annotated[Literal[2], Field(alias="schemaVersion")] = 2
    media_type: Annotated[ManifestType, Field(alias="mediaType")] = MANIFEST_TYPE
    artifact_type: Annotated[ArtifactType, Field(alias="artifactType")] = ARTIFACT_TYPE
    config: Descriptor
    layers: Annotated[tuple[Descriptor, ...], Field(min_length=1)]
    annotations: dict[str, str] = {}

    @model_validator(mode="after")
    def _distinct_paths(self) -> OciManifest:
        paths = [layer.path.casefold() for layer in self.layers]
        if len(set(paths)) != len(paths):
            raise ValueError("two layers have the same path")
        return self

    @property
    def digest(self) -> str:
        """The bundle digest: sha256 of the canonical JSON of this manifest."""
        return digest_of(dump(self))

    @property
    def size(self) -> int:
        """Bytes of all the bundle's files together."""
        return sum(layer.size for layer in self.layers)


class BaseRef(Wire):
    """A pinned pretrained model."""

    name: str
    revision: str
    digest: Digest
    licence: str


class SessionConfig(Wire):
    """Session options that a recipe chose; they are part of the build. OpenVINO reads `threads` alone."""

    threads: Annotated[int, Field(ge=1)] = 1
    allow_spinning: bool = False
    graph_optimization: Literal["all", "extended", "basic", "disabled"] = "all"
    disabled_optimizers: tuple[str, ...] = ()


class WordEmbeddings(Wire):
    """The table that turns token ids into vectors, as external data of the model: rows in turn, little-endian.

    Builds of one base by one recipe have the same file, so that sites fetch it once and engines share it in memory.
    """

    file: str = WORD_EMBEDDINGS
    initializer: str
    """Its name in the model."""
    dtype: Literal["float32", "int8", "uint8"]
    shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2, max_length=2)]
    """[tokens, dimension]"""


class Calibration(Wire):
    """How scores become confidence, and the confidence below which the edge defers."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Softmax temperature fitted on validation data (Guo et al. 2017)."""
    score: Literal["probability", "energy", "neighbours"] = "probability"
    """What confidence is made of: see `runtimes.engine.confidence`."""
    curve: Annotated[tuple[tuple[float, Annotated[float, Field(ge=0, le=1)]], ...], Field(max_length=256)] = ()
    """Confidence at some scores, linear between them; empty: the probability itself."""
    nearest: Annotated[int, Field(ge=1, le=256)] = 10
    """Neighbours that count."""
    defer_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Lowest confidence that keeps `target_precision` on validation data."""
    target_precision: Annotated[float, Field(ge=0, le=1)] = 0.0
    coverage: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of validation rows at or above the threshold."""

    @model_validator(mode="after")
    def _rising(self) -> Calibration:
        if self.score != "probability" and not self.curve:
            raise ValueError(f"score {self.score} needs a curve")
        for (score, chance), (next_score, next_chance) in itertools.pairwise(self.curve):
            if not (score < next_score and chance <= next_chance):
                raise ValueError(f"curve: scores and confidences must rise, found {next_score} after {score}")
        return self


class SmokeCase(Wire):
    """One input and its known answer, run by a site before a bundle may serve."""

    text: str
    label: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    tolerance: Annotated[float, Field(gt=0, le=1)] = 0.05


class SimilarityCase(Wire):
    """Two texts and how alike a retriever finds them, run by a site before a bundle may serve."""

    text: str
    other: str
    cosine: Annotated[float, Field(ge=-1, le=1)]
    tolerance: Annotated[float, Field(gt=0, le=1)] = 0.05


class BundleConfig(Wire):
    """`bundle.json`: how to run the files beside it. Holds no evidence and no date."""

    schema_version: Literal[1] = 1
    workflow: Name
    task: Task
    profile: Name
    isa: IsaClass
    recipe: Name
    kind: Name = TRANSFORMER
    """What the model is: `transformer`, or `classical` (TF-IDF and a linear model). For people and for the factory: a
    site runs every kind alike, so a later kind breaks no older site."""
    engine: EngineName = ONNXRUNTIME
    """What runs the graph. A site of before this field takes it for ONNX, cannot open it, and keeps what it runs."""
    model: str = "model.onnx"
    """The graph: ONNX, or OpenVINO IR (`model.xml`, whose weights are in `model.bin`)."""
    tokenizer: str = "tokenizer.json"
    word_embeddings: WordEmbeddings | None = None
    """None: they are inside the model."""
    weights: tuple[str, ...] | None = None
    """More files that the model refers to, such as ONNX external data. The runtime finds them beside the model."""
    neighbours: str | None = None
    """File of logits, float16 [rows, classes] of length 1, that the score `neighbours` compares with."""
    max_tokens: Annotated[int, Field(ge=8, le=8192)] = 256
    """Tokens of this model that are read of a text; those of a classical model are characters."""
    tokens_per_piece: Annotated[int, Field(ge=1, le=64)] = 1
    """Tokens of this model for one word piece. Latency objectives are in word pieces, so that a model that reads
    characters is measured on as long a text as one that reads word pieces."""
    max_characters: Annotated[int, Field(ge=1)] = 20_000
    labels: tuple[str, ...] = ()
    """Classes of a classifier, in the order of its scores."""
    dimension: Annotated[int, Field(ge=1)] | None = None
    """Length of a retriever's embedding; None for every other task."""
    calibration: Calibration = Calibration()
    session: SessionConfig = SessionConfig()
    base: BaseRef
    """The workflow's pinned base. A classical model has nothing of it (`kind` says so); the field stays because
    sites of the first release require it."""
    data_card: Digest
    """Digest of the data card of the corpus that the model was trained on."""
    data_card_file: str = "data_card.json"
    prompt_version: str | None = None
    policy_version: str | None = None
    smoke: tuple[SmokeCase, ...] = ()
    similar: tuple[SimilarityCase, ...] = ()
    """Smoke cases of a retriever."""

    @property
    def built_on(self) -> BaseRef | None:
        """The base that the weights come from; None: they come from the corpus alone."""
        return None if self.kind == CLASSICAL else self.base

    def length_of(self, pieces: int) -> int:
        """Tokens that this model reads of a text of that many word pieces."""
        return min(pieces * self.tokens_per_piece, self.max_tokens)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the build that this names."""
        more = (self.word_embeddings.file if self.word_embeddings else None, self.neighbours)
        return (self.model, self.tokenizer, *(self.weights or ()), *(name for name in more if name is not None))

    @model_validator(mode="after")
    def _has_neighbours(self) -> BundleConfig:
        if (self.calibration.score == "neighbours") != (self.neighbours is not None):
            raise ValueError("neighbours: a file and the score `neighbours` come together")
        return self

    @model_validator(mode="after")
    def _one_table(self) -> BundleConfig:
        if self.engine != ONNXRUNTIME and self.word_embeddings is not None:
            raise ValueError(f"word_embeddings: engine {self.engine} has them inside the model")
        return self

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError("a label appears twice")
        return labels


class BundleRef(Wire):
    """Where a manifest points: the bundle's OCI manifest and its signature, both blobs."""

    name: str
    """What the signature must be for: `<workflow>--<profile>`."""
    manifest: Descriptor
    signature: Descriptor

    @property
    def digest(self) -> str:
        """The bundle digest."""
        return self.manifest.digest


def bundle_name(workflow: str, profile: str) -> str:
    """The name that a bundle's signature is bound to."""
    return f"{workflow}--{profile}"
