"""What bundles and knowledge packs have in common: signed files, laid out as an OCI artifact in the ModelPack form.

    OUT/<name>/          the files, the configuration among them: what is signed and what a site gets
    OUT/manifest.json    the OCI manifest; its digest is the artifact's identity
    OUT/config.json      the ModelPack config that the manifest refers to

The same files and configuration give the same bytes, whenever and wherever.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785

from fleet_manifests import DataError, Descriptor, IntegrityError, OciManifest, StorageError, digest_of, dump, parse
from fleet_manifests.bundle import BUNDLE_FILE, CONFIG_TYPE, FILEPATH, MANIFEST_TYPE, is_bundle_path
from fleet_manifests.knowledge import PACK_FILE
from fleet_manifests.wire import Wire, sha256_of

MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "config.json"
TITLE = "org.opencontainers.image.title"
OWN_FILES = frozenset({BUNDLE_FILE, PACK_FILE})
"""Written here and never given, so that no artifact can pass for one of the other kind."""


@dataclass(frozen=True)
class Kind:
    """A kind of artifact."""

    word: str
    """`bundle` or `pack`, for messages."""
    config_file: str
    """The file that holds the configuration."""
    media_type: Callable[[str], str]
    """The ModelPack media type of a file, by its path."""


def lay_out(
    kind: Kind, name: str, files: Mapping[str, Path], config: Wire, about: dict[str, Any], out: Path
) -> OciManifest:
    """Write an artifact.

    Args:
        kind: what it is.
        name: its name; its signature will be for it.
        files: where each file is now, by its path in the artifact; without the configuration.
        config: the configuration.
        about: the ModelPack config, but for `modelfs`.
        out: the folder to make; one that is there is replaced.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
            stage = Path(scratch, "new")
            _copy(files, stage / name)
            (stage / name / kind.config_file).write_bytes(dump(config))
            manifest = _describe(kind, stage, name, about)
            if out.exists():
                out.rename(Path(scratch, "old"))
            stage.rename(out)
    except OSError as exc:
        raise StorageError(f"{out}: the {kind.word} cannot be written: {exc.strerror}") from exc
    return manifest


def reopen(kind: Kind, out: Path) -> tuple[OciManifest, bytes]:
    """Read an artifact and recompute every digest in it.

    Returns:
        The OCI manifest, and the configuration's bytes.

    Raises:
        IntegrityError: a file is altered, missing or not named by the manifest.
    """
    try:
        manifest = _manifest(out)
        name = title(manifest)
        found = {_path(file, out / name): file for file in _entries(out / name)}
        expected = {layer.path: layer for layer in manifest.layers}
        if odd := sorted(found.keys() ^ expected.keys()):
            raise IntegrityError(f"{kind.word} {name}: {odd[0]} is {'extra' if odd[0] in found else 'missing'}")
        for blob, path in [(manifest.config, out / CONFIG_FILE)] + [(expected[key], found[key]) for key in expected]:
            if path.is_symlink() or (sha256_of(path), path.stat().st_size) != (blob.digest, blob.size):
                raise IntegrityError(f"{kind.word} {name}: {path.name} is not what the manifest says")
        return manifest, (out / name / kind.config_file).read_bytes()
    except OSError as exc:
        raise IntegrityError(f"{out}: is not an assembled {kind.word}: {exc.filename}: {exc.strerror}") from exc


def holds(out: Path, config_file: str) -> bool:
    """Whether the manifest of an artifact names that configuration file.

    Raises:
        IntegrityError: there is no such manifest.
    """
    try:
        return any(layer.path == config_file for layer in _manifest(out).layers)
    except OSError as exc:
        raise IntegrityError(f"{out}: is not an assembled artifact: {exc.filename}: {exc.strerror}") from exc


def title(manifest: OciManifest) -> str:
    """The artifact's name, which is its folder's and what its signature is for.

    Raises:
        IntegrityError: the manifest has none that can be a folder's name.
    """
    name = manifest.annotations.get(TITLE, "")
    if "/" in name or not is_bundle_path(name):
        raise IntegrityError(f"artifact {manifest.digest}: {name!r} is not the name of a bundle or pack")
    return name


def manifest_descriptor(manifest: OciManifest) -> Descriptor:
    """The descriptor by which a fleet manifest refers to an artifact."""
    return Descriptor(media_type=MANIFEST_TYPE, digest=manifest.digest, size=len(dump(manifest)))


def require_plain(kind: Kind, files: Mapping[str, Path]) -> None:
    """Refuse what may not be in an artifact before anything is copied.

    Raises:
        DataError: a path that is none, or a source that is no plain file.
    """
    for path, source in sorted(files.items()):
        if path in OWN_FILES or not is_bundle_path(path):
            raise DataError(f"{path!r} may not be the path of a file given to a {kind.word}")
        try:
            mode = source.lstat().st_mode
        except OSError as exc:
            raise DataError(f"{source}: {exc.strerror}; the {kind.word} needs it as {path}") from exc
        if not stat.S_ISREG(mode):
            raise DataError(f"{source}: is not a plain file; a {kind.word} holds no links, folders or devices")
    folded = [path.casefold() for path in files]
    if len(set(folded)) != len(folded):
        raise DataError(f"two files of the {kind.word} have paths that differ only in case")


def _manifest(out: Path) -> OciManifest:
    """The OCI manifest, if it is in canonical form."""
    path = out / MANIFEST_FILE
    raw = path.read_bytes()
    manifest = parse(OciManifest, raw, where=str(path))
    if dump(manifest) != raw:
        raise IntegrityError(f"{path}: is not in canonical form")
    return manifest


def _copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copy the files."""
    folder.mkdir(parents=True)
    for path, source in sorted(files.items()):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target, follow_symlinks=False)


def _describe(kind: Kind, out: Path, name: str, about: dict[str, Any]) -> OciManifest:
    """Write the config and the manifest of the files in `out/name`."""
    folder = out / name
    layers = [_layer(kind, file, folder) for file in sorted(folder.rglob("*")) if file.is_file()]
    filesystem = {"type": "layers", "diffIds": [layer.digest for layer in layers]}
    model_config = rfc8785.dumps({**about, "modelfs": filesystem})
    (out / CONFIG_FILE).write_bytes(model_config)
    described = Descriptor(media_type=CONFIG_TYPE, digest=digest_of(model_config), size=len(model_config))
    manifest = OciManifest(config=described, layers=tuple(layers), annotations={TITLE: name})
    (out / MANIFEST_FILE).write_bytes(dump(manifest))
    return manifest


def _layer(kind: Kind, file: Path, folder: Path) -> Descriptor:
    """The descriptor of one file; ModelPack's `raw` types hold a file as it is."""
    path = _path(file, folder)
    return Descriptor(
        media_type=kind.media_type(path),
        digest=sha256_of(file),
        size=file.stat().st_size,
        annotations={FILEPATH: path},
    )


def _entries(folder: Path) -> list[Path]:
    """All that is in a folder and is not itself a folder; a link to one counts."""
    return [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]


def _path(file: Path, folder: Path) -> str:
    """A file's path in the artifact."""
    return file.relative_to(folder).as_posix()
