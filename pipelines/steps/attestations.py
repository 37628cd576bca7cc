"""Where a bundle comes from and its model card, signed when the bundle is made."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import BundleConfig, RefusedError, parse, sha256_of
from fleet_manifests.bundle import BUNDLE_FILE, bundle_name
from fleet_manifests.program import version
from pipelines.project.load import Project
from pipelines.steps.configs import ENGINE_LIBRARIES, author_of
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from release.signing import Author

LIBRARIES = (*ENGINE_LIBRARIES, "onnx", "scikit-learn", "torch", "transformers", "peft", "optimum")
"""What decides a build; the versions are attested."""
_GIT_SECONDS = 20


def attest_bundle(project: Project, workflow: str, profile: str, bundle: Entry, corpus: Entry) -> Entry:
    """Sign provenance and model card of a bundle, once for all that is in them.

    Raises:
        UsageError, UnreachableError: the author cannot sign now.
        IntegrityError: the signing policy does not let the author sign that.
    """
    from release.attestations import FILES
    from release.attestations import attest_bundle as attest
    from release.provenance import Origin

    name, author = bundle_name(workflow, profile), author_of(project)
    commit, changed = git_commit(project.root)
    origin = Origin(
        builder=_builder(author),
        version=version(),
        corpus=corpus.digest,
        libraries={library: importlib.metadata.version(library) for library in LIBRARIES},
        commit=commit,
        changed=changed,
    )
    step = Step(
        name="attestations",
        inputs={"bundle": bundle.digest, "corpus": corpus.digest},
        parameters={"author": author.described},
        code=("release", "fleet_manifests", "pipelines.steps.attestations"),
        libraries=LIBRARIES,
    )

    def work(out: Path) -> None:
        raw = (bundle.path / name / BUNDLE_FILE).read_bytes()
        config = parse(BundleConfig, raw, where=f"{name}/{BUNDLE_FILE}")
        envelopes = attest(config, sha256_of(bundle.path / "manifest.json"), origin, author)
        for act, envelope in envelopes.items():
            (out / FILES[act]).write_bytes(envelope)

    return project.store.keep(name, step, work)


def attested(project: Project, workflow: str, profile: str) -> tuple[Path, ...]:
    """The latest attestations of a build; none, where it was made before there were any."""
    from release.attestations import FILES

    try:
        entry = project.store.latest("attestations", bundle_name(workflow, profile))
    except RefusedError:
        return ()
    return tuple(entry.path / file for file in FILES.values())


def git_commit(folder: Path) -> tuple[str | None, bool]:
    """The commit that a folder is at, and whether it holds anything else; None: it is in no repository."""
    program = shutil.which("git")
    if program is None:
        return None, False
    found = _git(program, folder, "rev-parse", "--verify", "HEAD")
    if found is None:
        return None, False
    return found.strip(), bool(_git(program, folder, "status", "--porcelain", "--", "."))


def _git(program: str, folder: Path, *words: str) -> str | None:
    """What git says; None where it refuses."""
    command = [program, "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_GIT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def _builder(author: Author) -> str:
    """Who builds, as a URI."""
    from release.signers_keyless import KeylessSigner

    signer = author.signer
    if isinstance(signer, KeylessSigner):
        identity = signer.identity.identity
        return identity if "://" in identity else f"mailto:{identity}"
    return f"urn:lading:key:{signer.public.keyid}"
