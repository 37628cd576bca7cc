"""A manifest held against the bytes that it leads to: everything that a promotion checked, once more, from the tree.

Between a proposal and its last approval days may pass, in which blobs rot, evidence ages and bundles are revoked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from fleet_manifests import (
    BuildEntry,
    Descriptor,
    FleetManifest,
    Gate,
    HardwareProfile,
    IntegrityError,
    OciManifest,
    PackRef,
    RefusedError,
    StorageError,
    Verdict,
    parse,
)
from fleet_manifests.authors import Trust
from fleet_manifests.bundle import BundleRef
from release import history
from release.artifacts import CONFIG_FILE, MANIFEST_FILE
from release.candidates import Candidate, PackCandidate
from release.promotion import check_candidate, check_pack
from release.published import blob_path, read_blob
from release.rules import Rules
from release.signing import SIGNATURE_FILE


def recheck(
    manifest: FleetManifest,
    public: Path,
    public_key: bytes | Trust,
    *,
    known: Collection[str],
    rules: Rules,
    scratch: Path,
) -> None:
    """Verify every bundle and pack of a manifest from the blobs of the tree.

    Args:
        manifest: of `canary` or `stable`.
        public: the published tree.
        public_key: whose signature counts; a public key (PEM) stands for the builder's key alone.
        known: digests that the channel has had before: they were judged fresh and licensed when they entered.
        rules: what is asked of the others.
        scratch: a folder on the same disk, where artifacts are laid out for a moment.

    Raises:
        RefusedError: with every point that does not hold.
        StorageError: there is no room.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".recheck.", dir=scratch) as folder:
            reasons = list(_reasons(manifest, public, public_key, known, rules, Path(folder)))
    except OSError as exc:
        raise StorageError(f"{scratch}: {exc.strerror or exc}; make room, then repeat") from exc
    if reasons:
        raise RefusedError(f"refused for {manifest.channel}:\n  " + "\n  ".join(reasons))


def _reasons(
    manifest: FleetManifest, public: Path, key: bytes | Trust, known: Collection[str], rules: Rules, folder: Path
) -> Iterator[str]:
    """What does not hold, build by build and pack by pack."""
    stopped = {one.bundle for one in manifest.revocations}
    for digest in history.digests(manifest):
        if digest in rules.revoked and digest not in stopped:
            yield f"{digest}: was revoked: {rules.revoked[digest]}"
    for workflow, entry in manifest.workflows.items():
        for profile, build in entry.builds.items():
            asked = None if build.bundle.digest in known else rules
            if build.bundle.digest not in stopped:
                yield from _build(workflow, manifest.profiles[profile], build, public, key, asked, folder)
    for pack in manifest.knowledge_packs:
        if pack.blob.digest not in stopped and pack.retriever not in stopped:
            asked = None if pack.blob.digest in known else rules
            yield from _pack(pack, manifest, public, key, asked, folder)


def _build(
    workflow: str,
    profile: HardwareProfile,
    build: BuildEntry,
    public: Path,
    key: bytes | Trust,
    rules: Rules | None,
    folder: Path,
) -> Iterator[str]:
    """What does not hold of one build."""
    name = build.bundle.name
    try:
        envelopes = _lay_out(build.bundle, (*build.evidence, *build.attestations), public, folder / name)
    except IntegrityError as exc:
        yield f"{name}: {exc}"
        return
    count = len(build.evidence)
    candidate = Candidate(workflow, profile, folder / name, envelopes[:count], attestations=envelopes[count:])
    checked = check_candidate(candidate, key, rules)
    yield from _failing(name, checked.gates)
    if checked.entry is not None and checked.verdict is Verdict.PASS and _claims(checked.entry) != _claims(build):
        yield f"{name}: the manifest says something else of it than its files and evidence do"


def _pack(
    pack: PackRef, manifest: FleetManifest, public: Path, key: bytes | Trust, rules: Rules | None, folder: Path
) -> Iterator[str]:
    """What does not hold of one knowledge pack."""
    entry = manifest.workflows.get(pack.workflow or "")
    build = entry.builds.get(pack.profile or "") if entry else None
    if build is None or pack.signature is None:
        yield f"{pack.name}: is not signed, or is bound to no build of the manifest"
        return
    try:
        artifact = BundleRef(name=pack.name, manifest=pack.blob, signature=pack.signature)
        evidence = _lay_out(artifact, pack.evidence, public, folder / pack.name)
    except IntegrityError as exc:
        yield f"{pack.name}: {exc}"
        return
    profile = manifest.profiles[pack.profile or ""]
    for site_class in pack.site_classes:
        candidate = PackCandidate(pack.workflow or "", profile, site_class, folder / pack.name, evidence)
        checked = check_pack(candidate, key, retriever=build.bundle.digest, rules=rules)
        yield from _failing(pack.name, checked.gates)


def _claims(build: BuildEntry) -> tuple[object, ...]:
    """What a manifest says of a build that its files and evidence must say too."""
    return build.bundle, build.defer_threshold, build.verdict, build.evidence, build.attestations


def _failing(name: str, gates: Sequence[Gate]) -> Iterator[str]:
    return (f"{name}: {gate.name}: {gate.reason}" for gate in gates if gate.verdict is not Verdict.PASS)


def _lay_out(artifact: BundleRef, attached: Sequence[Descriptor], public: Path, out: Path) -> tuple[Path, ...]:
    """Put the blobs of an artifact where `assemble` and `sign_bundle` put them; gives the envelopes.

    Raises:
        IntegrityError: a blob is missing or damaged.
    """
    raw = read_blob(public, artifact.manifest)
    layout = parse(OciManifest, raw, where=f"manifest {artifact.digest}")
    (out / artifact.name).mkdir(parents=True)
    (out / MANIFEST_FILE).write_bytes(raw)
    (out / CONFIG_FILE).write_bytes(read_blob(public, layout.config))
    (out / SIGNATURE_FILE).write_bytes(read_blob(public, artifact.signature))
    for layer in layout.layers:
        target = out / artifact.name / layer.path
        if not target.resolve().is_relative_to(out.resolve()):
            raise IntegrityError(f"{layer.path!r} leaves the folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(blob_path(public, layer.digest), target)
    envelopes = []
    for number, blob in enumerate(attached):
        envelopes.append(out / f"{number}.dsse.json")
        envelopes[-1].write_bytes(read_blob(public, blob))
    return tuple(envelopes)


def _link(blob: Path, target: Path) -> None:
    """A layer as a link to its blob, which whoever checks the artifact hashes; a copy where the disk has no links."""
    if not blob.is_file():
        raise IntegrityError(f"{blob}: expected a published blob; publish its bundle again")
    try:
        os.link(blob, target)
    except OSError:
        shutil.copyfile(blob, target)
