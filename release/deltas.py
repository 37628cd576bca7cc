"""What a channel offers beside whole blobs: deltas from what its sites may have, where they pay.

For every file of every bundle and pack the list of updates remembers the last contents. A file that is new gets a
compressed copy, and a delta from each of these. A delta is kept where it saves enough over the compressed copy, and
one that an earlier release or another channel made is used again. The word index of a pack in the clear is made of its
passages. Encrypted files get none: no two ciphertexts are alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import Descriptor, FleetManifest, OciManifest, digest_of, dump, parse, sha256_of
from fleet_manifests.bundle import SIGNATURE_TYPE, TUNED
from fleet_manifests.knowledge import PASSAGES, WORD_INDEX
from fleet_manifests.updates import (
    ADAPTER_FILE,
    ADAPTER_TYPE,
    BASE_FILE,
    BASE_TYPE,
    DELTA_TYPE,
    INDEX,
    INDEX_TYPE,
    PATCH,
    PLAN_FILE,
    PLAN_TYPE,
    SUBTRACT,
    UPDATES_TYPE,
    WHOLE,
    Content,
    Delta,
    Derivation,
    Updates,
)
from release.published import blob_path, read_blob

PARTS = (PLAN_FILE, BASE_FILE, ADAPTER_FILE)
"""In the order of `Derivation.inputs`."""
LEAST_BYTES = 4096
"""A smaller blob is fetched as it is."""
MOST_BYTES = 512 * 1024 * 1024
"""A larger blob is fetched as it is: it would have to be in memory here."""
MOST_DICTIONARY = 32 * 1024 * 1024
"""Largest base of a `patch`: half of what a site reads into memory."""
MOST_PASSAGES = 48 * 1024 * 1024
"""Largest base of an `index`, some 100,000 passages: a site takes 250 MB of memory and 3.4 s for each of four files."""
SMALL = 4 * 1024 * 1024
"""Up to this size of the base both methods are tried on blobs of equal size."""
BASES = 3
"""Earlier contents that a delta is made from. Who has none of them takes the compressed copy."""
WHOLE_LEVEL = 9
LEVEL = 19
PAYS = 0.9
"""A compressed copy is offered below this share of the blob, a delta below this share of the compressed copy."""
BYTES = "application/octet-stream"
SEALED = ".age"


@dataclass(frozen=True)
class File:
    """A file that the sites of a channel may need."""

    place: str
    """Which one it is, whatever is in it: name of the artifact, and path in it."""
    blob: Descriptor

    @property
    def content(self) -> Content:
        """What is in it."""
        return Content(digest=self.blob.digest, size=self.blob.size)


@dataclass(frozen=True)
class Offer:
    """A list of updates and the blobs that it leads to."""

    updates: Updates
    payloads: Mapping[str, bytes]
    """Those that are new, by digest."""

    @property
    def raw(self) -> bytes:
        """The list as a blob."""
        return dump(self.updates)

    @property
    def descriptor(self) -> Descriptor:
        """How a fleet manifest names the list."""
        return Descriptor(media_type=UPDATES_TYPE, digest=digest_of(self.raw), size=len(self.raw))


def files_of(manifest: FleetManifest, public: Path) -> list[File]:
    """Every file of the bundles and packs that a manifest names, by its place.

    Raises:
        IntegrityError: a blob of the tree is missing or damaged.
    """
    named = [(ref.name, ref.manifest) for ref in manifest.bundles().values()]
    named += [(pack.name, pack.blob) for pack in manifest.knowledge_packs]
    found = [file for name, artifact in named for file in _layers(name, artifact, public)]
    return sorted(found, key=lambda file: file.place)


def derived(folder: Path, tuned: Descriptor) -> tuple[Derivation, list[tuple[Path, Descriptor]]]:
    """A derivation of a bundle's tuned weights, and the files that it needs.

    Args:
        folder: has `plan.json`, `base.bin` and `adapter.bin`.
        tuned: the blob that is derived.
    """
    found = []
    for file, kind in zip(PARTS, (PLAN_TYPE, BASE_TYPE, ADAPTER_TYPE), strict=True):
        path = folder / file
        found.append((path, Descriptor(media_type=kind, digest=sha256_of(path), size=path.stat().st_size)))
    plan, base, adapter = (blob for _, blob in found)
    target = Content(digest=tuned.digest, size=tuned.size)
    return Derivation(target=target, plan=plan, base=base, adapter=adapter), found


def still_derived(files: Iterable[File], known: Iterable[Updates], fresh: Iterable[Derivation]) -> list[Derivation]:
    """The derivations of these files: those given now, and those of earlier lists."""
    wanted = {file.blob.digest for file in files if file.place.endswith(f"/{TUNED}")}
    found = {one.target.digest: one for updates in known for one in updates.derivations}
    found |= {one.target.digest: one for one in fresh}
    return [found[digest] for digest in sorted(wanted & found.keys())]


def inputs_of(files: Iterable[File], derivations: Iterable[Derivation]) -> list[File]:
    """The inputs of derivations, each at the place of the weights that are made of it."""
    by_target = {one.target.digest: one for one in derivations}
    found = []
    for file in files:
        if file.place.endswith(f"/{TUNED}") and (one := by_target.get(file.blob.digest)) is not None:
            name = file.place.removesuffix(f"/{TUNED}")
            found += [File(f"{name}:{part}", blob) for part, blob in zip(PARTS, one.inputs, strict=True)]
    return found


def offer(
    files: Iterable[File],
    known: Iterable[Updates],
    before: Updates,
    public: Path,
    derivations: Sequence[Derivation] = (),
) -> Offer:
    """What to offer for these files.

    Args:
        files: what the channel's next manifest leads to.
        known: lists of updates that are published, in which a delta may be found ready.
        before: the channel's own list until now.
        public: the published tree; the blobs of the next release are in it already.
        derivations: what else leads to some of these files; their inputs are among the files.

    Raises:
        IntegrityError: a blob of the tree is missing or damaged.
    """
    files = list(files)
    ready = {_key(delta): delta for updates in known for delta in updates.deltas}
    payloads: dict[str, bytes] = {}
    deltas: dict[tuple[str, str, str], Delta] = {}
    recent: dict[str, tuple[Content, ...]] = {}
    passages = {file.place: file.content for file in files if file.place.endswith(f"/{PASSAGES}")}
    for file in files:
        content = file.content
        older = [one for one in before.recent.get(file.place, ()) if one.digest != content.digest]
        recent[file.place] = (content, *older)[: BASES + 1]
        if LEAST_BYTES <= content.size <= MOST_BYTES and not file.place.endswith(SEALED):
            bases = [base for base in older[:BASES] if blob_path(public, base.digest).exists()]
            for delta in (*_deltas(content, bases, ready, payloads, public), *_indexed(file, passages, payloads)):
                deltas[_key(delta)] = delta
    listed = tuple(deltas[key] for key in sorted(deltas))
    return Offer(Updates(deltas=listed, derivations=tuple(derivations), recent=recent), payloads)


def packed(target: bytes, method: str, base: bytes = b"") -> bytes:
    """The payload of a delta, as `runtimes.sync.rebuild` undoes it. Equal inputs give equal bytes."""
    import zstandard

    if method == WHOLE:
        return zstandard.ZstdCompressor(level=WHOLE_LEVEL).compress(target)
    if method == SUBTRACT:
        return zstandard.ZstdCompressor(level=LEVEL).compress(_difference(target, base))
    dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    window = max(17, (len(base) + len(target)).bit_length())
    settings = zstandard.ZstdCompressionParameters.from_level(LEVEL, window_log=min(window, 26), enable_ldm=True)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=settings).compress(target)


def _deltas(
    target: Content, bases: Iterable[Content], ready: dict[tuple[str, str, str], Delta], payloads: dict[str, bytes],
    public: Path,
) -> Iterator[Delta]:  # fmt: skip
    """The deltas of one blob that pay: those that are ready, and those made now, which are ready for equal blobs."""
    whole = _ready(ready, target, (WHOLE,), None)
    raw = _read(public, target) if whole is None or bases else b""
    if whole is None:
        whole = _made(target, WHOLE, None, packed(raw, WHOLE), payloads)
        ready[_key(whole)] = whole
    limit = target.size
    if whole.payload.size < PAYS * target.size:
        limit = whole.payload.size
        yield whole
    for base in bases:
        found = _ready(ready, target, (SUBTRACT, PATCH), base)
        if found is None:
            old = _read(public, base)
            methods = [method for method in (SUBTRACT, PATCH) if _suits(method, target, base)]
            tried = [(packed(raw, method, old), method) for method in methods]
            if not tried:
                continue
            payload, method = min(tried, key=lambda one: (len(one[0]), one[1]))
            found = _made(target, method, base, payload, payloads)
            ready[_key(found)] = found
        if found.payload.size < PAYS * limit:
            yield found


def _indexed(file: File, passages: Mapping[str, Content], payloads: dict[str, bytes]) -> Iterator[Delta]:
    """How a file of a pack's word index is made of the pack's passages."""
    pack, _, name = file.place.rpartition("/")
    base = passages.get(f"{pack}/{PASSAGES}")
    if name in WORD_INDEX and base is not None and base.size <= MOST_PASSAGES:
        yield _made(file.content, INDEX, base, name.encode(), payloads, INDEX_TYPE)


def _suits(method: str, target: Content, base: Content) -> bool:
    """Whether a method is worth trying: subtraction needs the same layout, a dictionary has to fit into memory."""
    equal = target.size == base.size
    return equal if method == SUBTRACT else base.size <= (SMALL if equal else MOST_DICTIONARY)


def _made(
    target: Content,
    method: str,
    base: Content | None,
    payload: bytes,
    payloads: dict[str, bytes],
    kind: str = DELTA_TYPE,
) -> Delta:
    """A delta made now."""
    named = Descriptor(media_type=kind, digest=digest_of(payload), size=len(payload))
    payloads[named.digest] = payload
    return Delta(target=target, method=method, base=base, payload=named)


def _ready(
    ready: Mapping[tuple[str, str, str], Delta], target: Content, methods: tuple[str, ...], base: Content | None
) -> Delta | None:
    """A delta that is published already."""
    keys = [(target.digest, base.digest if base else "", method) for method in methods]
    return next((ready[key] for key in keys if key in ready), None)


def _key(delta: Delta) -> tuple[str, str, str]:
    """What a delta is for: target, base and method."""
    return delta.target.digest, delta.base.digest if delta.base else "", delta.method


def _difference(target: bytes, base: bytes) -> bytes:
    """Target minus base, byte by byte modulo 256."""
    import numpy as np

    return (np.frombuffer(target, np.uint8) - np.frombuffer(base, np.uint8)).tobytes()


def _read(public: Path, content: Content) -> bytes:
    """The bytes of a published blob, checked."""
    return read_blob(public, Descriptor(media_type=BYTES, digest=content.digest, size=content.size))


def _layers(name: str, artifact: Descriptor, public: Path) -> Iterator[File]:
    """The files of one bundle or pack; a signature is new each time."""
    layout = parse(OciManifest, read_blob(public, artifact), where=f"manifest of {name}")
    for layer in layout.layers:
        if layer.media_type != SIGNATURE_TYPE:
            yield File(f"{name}/{layer.path}", layer)
