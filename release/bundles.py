"""Assembling a bundle: the files of a build, laid out as an OCI artifact in the ModelPack form.

    OUT/<workflow>--<profile>/   the files, `bundle.json` among them: what is signed and what a site gets
    OUT/manifest.json            the OCI manifest; its digest is the bundle's identity
    OUT/config.json              the ModelPack config that the manifest refers to

The same files and configuration give the same bytes, whenever and wherever.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import rfc8785

from fleet_manifests import (
    BundleConfig,
    DataError,
    Descriptor,
    IntegrityError,
    OciManifest,
    StorageError,
    digest_of,
    dump,
    parse,
    sha256_of,
)
from fleet_manifests.bundle import (
    BUNDLE_FILE,
    CONFIG_TYPE,
    DOC_TYPE,
    FILEPATH,
    MANIFEST_TYPE,
    WEIGHT_CONFIG_TYPE,
    WEIGHT_TYPE,
    bundle_name,
    is_bundle_path,
)

MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "config.json"
TITLE = "org.opencontainers.image.title"
_WEIGHTS = frozenset({".onnx", ".data", ".safetensors", ".bin", ".npy"})
_DOCUMENTS = frozenset({".md", ".txt"})


def assemble(files: Mapping[str, Path], config: BundleConfig, out: Path) -> OciManifest:
    """Write a bundle.

    Args:
        files: where each file of the bundle is now, by its path in the bundle; without `bundle.json`.
        config: what `bundle.json` will say.
        out: the folder to make; one that is there is replaced.

    Raises:
        DataError: a path or file that may not be in a bundle, or one that the configuration names is missing.
        StorageError: the folder cannot be written.
    """
    _require_files(files, config)
    name = bundle_name(config.workflow, config.profile)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
            stage = Path(scratch, "new")
            _copy(files, config, stage / name)
            manifest = _describe(stage, name, config)
            if out.exists():
                out.rename(Path(scratch, "old"))
            stage.rename(out)
    except OSError as exc:
        raise StorageError(f"{out}: the bundle cannot be written: {exc.strerror}") from exc
    return manifest


def open_bundle(out: Path) -> tuple[OciManifest, BundleConfig]:
    """Read an assembled bundle and recompute every digest in it.

    Raises:
        IntegrityError: a file is altered, missing or not named by the manifest.
    """
    try:
        raw = (out / MANIFEST_FILE).read_bytes()
        manifest = parse(OciManifest, raw, where=f"{out / MANIFEST_FILE}")
        if dump(manifest) != raw:
            raise IntegrityError(f"{out / MANIFEST_FILE}: is not in canonical form")
        name = title(manifest)
        found = {_path(file, out / name): file for file in _entries(out / name)}
        expected = {layer.path: layer for layer in manifest.layers}
        if odd := sorted(found.keys() ^ expected.keys()):
            raise IntegrityError(f"bundle {name}: {odd[0]} is {'extra' if odd[0] in found else 'missing'}")
        for blob, path in [(manifest.config, out / CONFIG_FILE)] + [(expected[key], found[key]) for key in expected]:
            if path.is_symlink() or (sha256_of(path), path.stat().st_size) != (blob.digest, blob.size):
                raise IntegrityError(f"bundle {name}: {path.name} is not what the manifest says")
        config = parse(BundleConfig, (out / name / BUNDLE_FILE).read_bytes(), where=f"{name}/{BUNDLE_FILE}")
    except OSError as exc:
        raise IntegrityError(f"{out}: is not an assembled bundle: {exc.filename}: {exc.strerror}") from exc
    if bundle_name(config.workflow, config.profile) != name:
        raise IntegrityError(f"bundle {name}: {BUNDLE_FILE} is for {config.workflow} on {config.profile}")
    return manifest, config


def title(manifest: OciManifest) -> str:
    """The bundle's name, which is its folder's and what its signature is for.

    Raises:
        IntegrityError: the manifest has none that can be a folder's name.
    """
    name = manifest.annotations.get(TITLE, "")
    if "/" in name or not is_bundle_path(name):
        raise IntegrityError(f"bundle {manifest.digest}: {name!r} is not the name of a bundle")
    return name


def manifest_descriptor(manifest: OciManifest) -> Descriptor:
    """The descriptor by which a fleet manifest refers to a bundle."""
    return Descriptor(media_type=MANIFEST_TYPE, digest=manifest.digest, size=len(dump(manifest)))


def _require_files(files: Mapping[str, Path], config: BundleConfig) -> None:
    """Refuse what may not be in a bundle before anything is copied."""
    for path, source in sorted(files.items()):
        if path == BUNDLE_FILE or not is_bundle_path(path):
            raise DataError(f"{path!r} may not be the path of a file given to a bundle")
        try:
            mode = source.lstat().st_mode
        except OSError as exc:
            raise DataError(f"{source}: {exc.strerror}; the bundle needs it as {path}") from exc
        if not stat.S_ISREG(mode):
            raise DataError(f"{source}: is not a plain file; a bundle holds no links, folders or devices")
    folded = [path.casefold() for path in files]
    if len(set(folded)) != len(folded):
        raise DataError("two files of the bundle have paths that differ only in case")
    for field in ("model", "tokenizer", "data_card_file"):
        if getattr(config, field) not in files:
            raise DataError(f"{BUNDLE_FILE} names {getattr(config, field)} as {field}; it is not among the files")
    if (found := sha256_of(files[config.data_card_file])) != config.data_card:
        raise DataError(f"{files[config.data_card_file]}: digest is {found}, {BUNDLE_FILE} says {config.data_card}")


def _copy(files: Mapping[str, Path], config: BundleConfig, folder: Path) -> None:
    """Copy the files and write `bundle.json`."""
    for path, source in sorted(files.items()):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target, follow_symlinks=False)
    (folder / BUNDLE_FILE).write_bytes(dump(config))


def _describe(out: Path, name: str, config: BundleConfig) -> OciManifest:
    """Write the config and the manifest of the files in `out/name`."""
    folder = out / name
    layers = [_layer(file, folder) for file in sorted(folder.rglob("*")) if file.is_file()]
    model_config = rfc8785.dumps(_model_config(name, config, layers))
    (out / CONFIG_FILE).write_bytes(model_config)
    described = Descriptor(media_type=CONFIG_TYPE, digest=digest_of(model_config), size=len(model_config))
    manifest = OciManifest(config=described, layers=tuple(layers), annotations={TITLE: name})
    (out / MANIFEST_FILE).write_bytes(dump(manifest))
    return manifest


def _layer(file: Path, folder: Path) -> Descriptor:
    """The descriptor of one file; ModelPack's `raw` types hold a file as it is."""
    path = _path(file, folder)
    suffix = PurePosixPath(path).suffix
    kind = WEIGHT_TYPE if suffix in _WEIGHTS else DOC_TYPE if suffix in _DOCUMENTS else WEIGHT_CONFIG_TYPE
    digest = sha256_of(file)
    return Descriptor(media_type=kind, digest=digest, size=file.stat().st_size, annotations={FILEPATH: path})


def _model_config(name: str, config: BundleConfig, layers: list[Descriptor]) -> dict[str, Any]:
    """The ModelPack config: what the artifact is, for tools that do not know Lading."""
    return {
        "descriptor": {
            "name": config.workflow,
            "title": name,
            "family": config.base.name,
            "licenses": [config.base.licence],
        },
        "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
        "config": {"format": PurePosixPath(config.model).suffix.removeprefix("."), "quantization": config.recipe},
    }


def _entries(folder: Path) -> list[Path]:
    """All that is in a folder and is not itself a folder; a link to one counts."""
    return [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]


def _path(file: Path, folder: Path) -> str:
    """A file's path in the bundle."""
    return file.relative_to(folder).as_posix()
