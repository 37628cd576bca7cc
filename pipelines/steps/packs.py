"""Knowledge packs: the library as it is now, bound to a retriever, for each class of sites."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import (
    DataClass,
    PackCase,
    PackConfig,
    Passage,
    StorageError,
    UsageError,
    parse,
    sha256_of,
)
from fleet_manifests.bundle import bundle_name
from fleet_manifests.knowledge import OPEN_CLASSES, PACK_FILE, highest_class, library_digest, pack_name
from pipelines.project.load import Project
from pipelines.steps import retrievers
from pipelines.steps.configs import author_of, dimension, keys_of, retrieval_policy
from pipelines.steps.library import passages as library_of
from pipelines.steps.models import base_of
from pipelines.steps.vectors import frozen_vectors
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from evals.questions import Question
    from evals.searches import Searched
    from runtimes.knowledge import Pack

SMOKE_CASES = 5


def site_classes(project: Project, profile_name: str) -> dict[str, frozenset[DataClass]]:
    """The classes of sites that may run a profile, and the data classes that every site of the class may hold."""
    kind = project.profile(profile_name).kind
    found: dict[str, frozenset[DataClass]] = {}
    for site in project.fleet.sites:
        if site.kind == kind and site.profile in (None, profile_name):
            allowed = frozenset(site.data_classes) & project.settings.allowed_at_sites
            found[site.site_class] = found.get(site.site_class, allowed) & allowed
    return dict(sorted(found.items()))


def in_scope(
    passages: Sequence[Passage], site_class: str, allowed: frozenset[DataClass], *, everywhere: bool
) -> tuple[Passage, ...]:
    """The passages that sites of a class may have; the centre, which answers for all, has those of every class."""
    return tuple(
        passage
        for passage in passages
        if passage.data_class in allowed and (everywhere or site_class in (passage.site_classes or (site_class,)))
    )


def library_at(project: Project, workflow: str, profile_name: str, site_class: str) -> tuple[Passage, ...]:
    """The library of a workflow as it is now, as far as sites of a class may have it."""
    allowed = site_classes(project, profile_name)[site_class]
    everywhere = project.profile(profile_name).kind == "central"
    found, _ = library_of(project, workflow)
    return in_scope(found, site_class, allowed, everywhere=everywhere)


def pack(project: Project, workflow: str, profile_name: str, site_class: str) -> Entry:
    """One pack: `<name>/` with `pack.json` and the searchable files, laid out and signed like a bundle."""
    name = pack_name(workflow, profile_name, site_class)
    bundle = project.store.latest("bundle", bundle_name(workflow, profile_name))
    model = project.store.latest("onnx_model", workflow)
    corpus = project.store.latest("corpus", workflow)
    library = library_at(project, workflow, profile_name, site_class)
    closed = highest_class(library) not in OPEN_CLASSES
    author, gates = author_of(project), project.retriever(workflow).gates
    recipient = pack_recipient(project, site_class) if closed else None
    step = Step(
        name="knowledge_pack",
        inputs={"bundle": bundle.digest, "onnx_model": model.digest, "corpus": corpus.digest,
                "library": library_digest(library)},
        parameters={"name": name, "gates": gates.model_dump(mode="json"), "author": author.described,
                    "recipient": recipient, "smoke": SMOKE_CASES, "seed": project.settings.seed},
        code=("runtimes.knowledge", "runtimes.engine", "release", "fleet_manifests", "evals.*",
              "pipelines.steps.pack_files", "pipelines.steps.packs", "pipelines.steps.retrievers"),
        libraries=(*retrievers.LIBRARIES, "scikit-learn", "model-signing", "pyrage"),
    )  # fmt: skip

    def work(out: Path) -> None:
        from release.packs import assemble_pack
        from release.signing import sign_bundle
        from runtimes.knowledge import encrypt_files

        folder = out / "making"
        digest = sha256_of(bundle.path / "manifest.json")
        config = PackConfig(
            workflow=workflow, profile=profile_name, site_class=site_class, retriever=digest,
            library=library_digest(library), passages=len(library), dimension=dimension(model.path),
        )  # fmt: skip
        config = _make(project, workflow, library, config, bundle.path / bundle_name(workflow, profile_name),
                       corpus.path, folder)  # fmt: skip
        config = config.model_copy(update={"data_class": highest_class(library), "encrypted": closed})
        if recipient is not None:
            encrypt_files(folder, recipient)
        (folder / PACK_FILE).unlink()
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        assemble_pack(files, config, out / "pack")
        for path in files.values():
            path.unlink()
        folder.rmdir()
        sign_bundle(out / "pack", author)

    return project.store.keep(name, step, work)


def _make(
    project: Project,
    workflow: str,
    library: Sequence[Passage],
    config: PackConfig,
    bundle: Path,
    corpus: Path,
    out: Path,
) -> PackConfig:
    """Write the searchable files, and choose how to search them on validation questions."""
    from evals.questions import read_questions, read_unanswered
    from evals.searches import fit_searched, search_all, sure
    from runtimes.engine import load_embedder
    from runtimes.knowledge import disagreements

    contents = [passage.content for passage in library]
    training = project.retriever(workflow).training
    frozen = frozen_vectors(project, base_of(project, workflow), training)  # the cosines that disagreements are told by
    found = disagreements(library, frozen.of(contents), frozen.of)
    embedded = retrievers.vectors_of(project, workflow).of(contents)
    marked = tuple(passage.model_copy(update={"disagrees_with": found.get(passage.id, ())}) for passage in library)
    config = config.model_copy(update={"library": library_digest(marked)})
    made = retrievers.write_index(out, marked, embedded, config)
    asked, _ = askable(read_questions(corpus, "validation").questions, library, everything=library)
    if not asked:
        return config
    embedder, policy = load_embedder(bundle), retrieval_policy(project, workflow)
    config = config.model_copy(update={"fusion": retrievers.fused(made, embedder, asked)})
    made = retrievers.configure(out, config)
    outside = read_unanswered(corpus, "oos_validation")
    searched = search_all(made, embedder, asked)
    fitted = fit_searched(searched, search_all(made, embedder, outside), policy)
    config = config.model_copy(
        update={
            "relevance": fitted.relevance,
            "defer_threshold": fitted.threshold,
            "coverage": fitted.coverage,
            "target_precision": policy.target_precision,
        }
    )
    return config.model_copy(update={"smoke": _smoke(sure(searched, fitted.relevance), library)})


def askable(
    questions: Sequence[Question], scope: Sequence[Passage], *, everything: Sequence[Passage]
) -> tuple[tuple[Question, ...], tuple[str, ...]]:
    """The questions that a library answers, and those whose passages exist nowhere any more.

    A question whose passages are for other sites is neither: here another procedure may answer it.

    Args:
        questions: about the frozen library.
        scope: the passages of the pack.
        everything: the passages of every class of sites.
    """
    here, anywhere = {passage.id for passage in scope}, {passage.id for passage in everything}
    asked, lost = [], []
    for question in questions:
        if kept := tuple(id_ for id_ in question.relevant if id_ in here):
            asked.append(question.model_copy(update={"relevant": kept}))
        elif not any(id_ in anywhere for id_ in question.relevant):
            lost.append(question.id)
    return tuple(asked), tuple(lost)


def _smoke(searched: Searched, library: Sequence[Passage]) -> tuple[PackCase, ...]:
    """The surest right first passages of different documents: what must come first on every machine of the ISA.

    `pack.json` is never encrypted: only passages that everybody may see are named.
    """
    passages = {passage.id: passage for passage in library}
    best: dict[str, tuple[float, PackCase]] = {}
    for question, right, confidence in zip(searched.questions, searched.right, searched.confidence, strict=True):
        first = passages[searched.rankings[question.id][0]] if right else None
        if first is not None and first.data_class in OPEN_CLASSES:
            case = PackCase(question=question.text, passage=first.id)
            if first.document not in best or confidence > best[first.document][0]:
                best[first.document] = (float(confidence), case)
    ranked = sorted(best.values(), key=lambda pair: (-pair[0], pair[1].passage))
    return tuple(case for _, case in ranked[:SMOKE_CASES])


def open_made(project: Project, made: Entry, site_class: str) -> Pack:
    """A pack of the store, as a site of its class opens it."""
    from runtimes.knowledge import open_pack

    (folder,) = [path.parent for path in (made.path / "pack").glob(f"*/{PACK_FILE}")]
    config = parse(PackConfig, (folder / PACK_FILE).read_bytes(), where=PACK_FILE)
    identity = pack_identity(project, site_class) if config.encrypted else None
    return open_pack(folder, retriever=config.retriever, identity=identity)


def identity_name(site_class: str) -> str:
    """The file of the key store that holds the secret key of a class of sites."""
    return f"site-class-{site_class}.age"


def pack_identity(project: Project, site_class: str) -> bytes:
    """The secret key of a class of sites, made when it is first needed; sites get it by hand, once.

    Raises:
        StorageError: it cannot be kept.
    """
    from pyrage import x25519

    keys, name = keys_of(project), identity_name(site_class)
    if keys.read(name) is None:
        keys.store(name, f"{x25519.Identity.generate()}\n".encode(), replace=False)
    found = keys.read(name)
    assert found is not None
    return found


def export_identity(project: Project, site_class: str, out: Path) -> None:
    """Write the secret key of a class of sites to a new file of mode 0600.

    Raises:
        UsageError: the fleet has no site of that class, or the file is there already.
        StorageError: it cannot be written.
    """
    known = sorted({site.site_class for site in project.fleet.sites})
    if site_class not in known:
        raise UsageError(f"site class {site_class}: no site of the fleet is of it; there are: {', '.join(known)}")
    raw = pack_identity(project, site_class)
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(raw)
    except FileExistsError as exc:
        raise UsageError(f"{out}: is there already; name a new file") from exc
    except OSError as exc:
        raise StorageError(f"{out}: the key cannot be written: {exc.strerror}") from exc


def pack_recipient(project: Project, site_class: str) -> str:
    """The public key of a class of sites."""
    from pyrage import x25519

    return str(x25519.Identity.from_str(pack_identity(project, site_class).decode().strip()).to_public())
