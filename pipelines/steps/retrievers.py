"""A retriever before it is a bundle: its model's vectors, the index of the frozen library, what it finds there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import (
    BundleConfig,
    Calibration,
    Comparison,
    Fusion,
    PackConfig,
    Passage,
    SimilarityCase,
    dump,
    parse,
)
from fleet_manifests.knowledge import PACK_FILE, library_digest
from pipelines.corpora.library import PASSAGES_FILE, read_passages
from pipelines.project.load import Project
from pipelines.steps.configs import dimension, draft, retrieval_policy
from pipelines.steps.pack_files import write
from pipelines.steps.vectors import Vectors
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evals.calibration import Calibrated
    from evals.questions import Question
    from runtimes.engine import Embedder
    from runtimes.knowledge import Pack
    from runtimes.knowledge.search import Rankings as Ranked

Rankings = Mapping[str, Sequence[str]]
"""Passage ids, best first, by question id."""
INDEX = "index"
RANKINGS = "rankings.json"
NEAREST = "nearest_validation"
NEIGHBOURS = 10
"""Passages around a question whose overlap with those of the unquantized model is told (r10)."""
LIBRARIES = ("onnxruntime", "tokenizers", "numpy", "pystemmer", "simsimd")
SMOKE_CASES = 3
FROZEN = "snapshot"
"""Stands for the site class in the index of the frozen library."""


def reference(project: Project, workflow: str) -> Entry:
    """The frozen library, embedded and searched by the unquantized model; what every build of the workflow is held to.

    `index/` is searched by the builds too: what they differ in is the vector of the question.
    """
    model = project.store.latest("onnx_model", workflow)
    corpus = project.store.latest("corpus", workflow)
    step = Step(
        name="unquantized",
        inputs={"onnx_model": model.digest, "corpus": corpus.digest},
        parameters={"seed": project.settings.seed},
        code=(
            "runtimes.engine",
            "runtimes.knowledge",
            "evals.*",
            "pipelines.steps.pack_files",
            "pipelines.steps.retrievers",
        ),
        libraries=(*LIBRARIES, "ir-measures"),
    )

    def work(out: Path) -> None:
        from evals.questions import read_questions
        from evals.retrieval import disturbed_questions
        from evals.robustness import DISTURBED

        passages = read_passages(corpus.path / PASSAGES_FILE, PASSAGES_FILE)
        embedder = unquantized(project, workflow)
        config = PackConfig(
            workflow=workflow,
            profile="unquantized",
            site_class=FROZEN,
            retriever=model.digest,
            library=library_digest(passages),
            passages=len(passages),
            dimension=dimension(model.path),
        )
        vectors = vectors_of(project, workflow).of([passage.content for passage in passages])
        questions = {split: read_questions(corpus.path, split).questions for split in ("validation", "test")}
        pack = write_index(out / INDEX, passages, vectors, config)
        fusion = fused(pack, embedder, questions["validation"])
        pack = configure(out / INDEX, config.model_copy(update={"fusion": fusion}))
        asked = {**questions, DISTURBED: disturbed_questions(questions["test"])}
        found: dict[str, dict[str, list[str]]] = {split: {} for split in (*asked, NEAREST)}
        for split, some in asked.items():
            for id_, ranked in searched(pack, embedder, some):
                found[split][id_] = list(ranked.fused)
                if split == "validation":
                    found[NEAREST][id_] = list(ranked.dense[:NEIGHBOURS])
        (out / RANKINGS).write_text(json.dumps(found))

    return project.store.keep(workflow, step, work)


def unquantized(project: Project, workflow: str) -> Embedder:
    """The unquantized model of a workflow, on every core that this process may use."""
    from runtimes.engine import load_embedder_parts
    from training.compute import usable_cores

    model = project.store.latest("onnx_model", workflow)
    corpus = project.store.latest("corpus", workflow)
    config = draft(project, workflow, model.path, corpus.path, "fp32", None)
    return load_embedder_parts(model.path, config, threads=usable_cores())


def vectors_of(project: Project, workflow: str) -> Vectors:
    """The vectors that the unquantized model of a workflow gives, each made once."""
    model = project.store.latest("onnx_model", workflow)
    loaded: list[Embedder] = []

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        if not loaded:
            loaded.append(unquantized(project, workflow))
        return loaded[0].embeddings(texts)

    path = project.state / "vectors" / f"{model.digest.removeprefix('sha256:')}.db"
    return Vectors(path, embed, dimension(model.path))


def write_index(folder: Path, passages: Sequence[Passage], vectors: NDArray[np.float32], config: PackConfig) -> Pack:
    """Write the searchable files of a library and open them."""
    folder.mkdir(parents=True, exist_ok=True)
    write(passages, vectors, folder)
    return configure(folder, config)


def configure(folder: Path, config: PackConfig) -> Pack:
    """Say anew how to search the files of a folder, and open them."""
    from runtimes.knowledge import open_pack

    (folder / PACK_FILE).write_bytes(dump(config))
    return open_pack(folder, retriever=config.retriever)


def open_index(folder: Path) -> Pack:
    """The index of a frozen library."""
    from runtimes.knowledge import open_pack

    return open_pack(folder, retriever=json.loads((folder / PACK_FILE).read_text())["retriever"])


def fused(pack: Pack, embedder: Embedder, questions: Sequence[Question]) -> Fusion:
    """The weight of dense and lexical scores that validation questions choose."""
    from evals.fusion import fit_fusion

    scored = [pack.scores(embedder.embed(question.text).vector, question.text) for question in questions]
    return fit_fusion(questions, scored, pack.ids)


def compared(
    project: Project,
    workflow: str,
    corpus: Path,
    ours: Rankings,
    theirs: Rankings,
    *,
    against: str,
    places: Sequence[int] | None = None,
    confidence: float | None = None,
) -> Comparison:
    """The paired difference of two models' rankings on validation, by the workflow's metric.

    Args:
        project: whose policy it is.
        workflow: of both.
        corpus: folder of the corpus.
        ours: what the one found.
        theirs: what the other found.
        against: what the other is.
        places: questions that count; None: all.
        confidence: of the interval; None: the gate's.
    """
    from evals.questions import read_questions
    from evals.ranking import compare_rankings, per_question

    policy = retrieval_policy(project, workflow)
    every = read_questions(corpus, "validation").questions
    some = every if places is None else [every[place] for place in places]
    relevant = {question.id: question.relevant for question in some}
    return compare_rankings(
        per_question(ours, relevant),
        per_question(theirs, relevant),
        metric=policy.metric,
        against=against,
        confidence=confidence or policy.confidence,
        resamples=policy.resamples,
        seed=policy.seed,
    )


def answers(project: Project, workflow: str, bundle: Path, corpus: Path) -> dict[str, dict[str, list[str]]]:
    """What a bundle finds on validation and test in the frozen library, which it embeds itself, fused anew."""
    import tempfile

    from evals.questions import read_questions
    from runtimes.engine import load_embedder

    embedder = load_embedder(bundle)
    frozen = project.store.latest("unquantized", workflow)
    passages = read_passages(corpus / PASSAGES_FILE, PASSAGES_FILE)
    config = parse(PackConfig, (frozen.path / INDEX / PACK_FILE).read_bytes(), where=PACK_FILE)
    config = config.model_copy(update={"dimension": embedder.config.dimension})
    vectors = embedder.embeddings([passage.content[: embedder.config.max_characters] for passage in passages])
    questions = {split: read_questions(corpus, split).questions for split in ("validation", "test")}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / INDEX
        pack = write_index(folder, passages, vectors, config)
        fusion = fused(pack, embedder, questions["validation"])
        pack = configure(folder, config.model_copy(update={"fusion": fusion}))
        return {split: rankings(pack, embedder, some) for split, some in questions.items()}


def searched(pack: Pack, embedder: Embedder, questions: Sequence[Question]) -> Iterator[tuple[str, Ranked]]:
    """What is found for each question, by its id."""
    for question in questions:
        yield question.id, pack.rankings(embedder.embed(question.text).vector, question.text)


def rankings(pack: Pack, embedder: Embedder, questions: Sequence[Question]) -> dict[str, list[str]]:
    """Passage ids, best first, by question id."""
    return {id_: list(ranked.fused) for id_, ranked in searched(pack, embedder, questions)}


def calibrated(_: Project, __: str, ___: Path, ____: BundleConfig, _____: Path, ______: Path) -> Calibrated:
    """Nothing of a bundle: how sure a search is depends on the library, and is chosen for each pack."""
    from evals.calibration import Calibrated

    return Calibrated(Calibration())


def with_smoke(config: BundleConfig, build: Path, corpus: Path) -> BundleConfig:
    """The configuration with a few questions and how near they are to a passage that answers and one that does not.

    They must hold on every machine of the ISA.
    """
    from evals.questions import read_questions
    from runtimes.engine import load_embedder_parts

    embedder = load_embedder_parts(build, config)
    passages = {passage.id: passage for passage in read_passages(corpus / PASSAGES_FILE, PASSAGES_FILE)}
    others = sorted(passages)
    cases = []
    for number, question in enumerate(read_questions(corpus, "validation").questions[:SMOKE_CASES]):
        for id_ in (question.relevant[0], others[number * len(others) // SMOKE_CASES]):
            other = passages[id_].content[: config.max_characters]
            cosine = float(embedder.embed(question.text).vector @ embedder.embed(other).vector)
            cases.append(SimilarityCase(text=question.text, other=other, cosine=round(min(cosine, 1.0), 6)))
    return config.model_copy(update={"similar": tuple(cases)})


def documents_of(passages: Sequence[Passage]) -> Mapping[str, str]:
    """The document of each passage."""
    return {passage.id: passage.document for passage in passages}
