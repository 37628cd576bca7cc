"""Assembling a knowledge pack: laid out and identified like a bundle, apart from the model that searches it.

What is in the files beside `pack.json` is the business of who wrote them. Here they are bytes,
but for this: where `pack.json` says that they are encrypted, each of them must be an age file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fleet_manifests import DataError, IntegrityError, OciManifest, PackConfig, parse
from fleet_manifests.bundle import DOC_TYPE, WEIGHT_CONFIG_TYPE, WEIGHT_TYPE
from fleet_manifests.knowledge import PACK_FILE
from release.artifacts import Kind, lay_out, reopen, require_plain, title

AGE_HEADER = b"age-encryption.org/v1\n"
"""How every age file begins (https://age-encryption.org/v1)."""
_TYPES = {"embedding": WEIGHT_TYPE, "passages": DOC_TYPE}
"""Media types by how a file's name begins; all others, such as the lexical index, are configuration."""


def media_type(path: str) -> str:
    """The ModelPack media type of a pack's file."""
    return next((kind for start, kind in _TYPES.items() if path.startswith(start)), WEIGHT_CONFIG_TYPE)


PACK = Kind("pack", PACK_FILE, media_type)


def assemble_pack(files: Mapping[str, Path], config: PackConfig, out: Path) -> OciManifest:
    """Write a knowledge pack.

    Args:
        files: where each file of the pack is now, by its path in the pack; without `pack.json`.
        config: what `pack.json` will say.
        out: the folder to make; one that is there is replaced.

    Raises:
        DataError: no files, a path or file that may not be in a pack, or one in the clear that must be encrypted.
        StorageError: the folder cannot be written.
    """
    if not files:
        raise DataError(f"pack {config.name}: holds no files; give those that the passages were written to")
    require_plain(PACK, files)
    if config.encrypted and (bare := in_the_clear(files)):
        raise DataError(f"{files[bare]}: is not encrypted, {PACK_FILE} says that it is; encrypt it to the site class")
    about = {
        "descriptor": {"name": config.workflow, "title": config.name, "family": "knowledge-pack"},
        "config": {"format": "knowledge-pack"},
    }
    return lay_out(PACK, config.name, files, config, about, out)


def open_pack_folder(out: Path) -> tuple[OciManifest, PackConfig]:
    """Read an assembled pack and recompute every digest in it.

    Raises:
        IntegrityError: a file is altered, missing or not named by the manifest; a data class that must
            be encrypted is not.
    """
    manifest, raw = reopen(PACK, out)
    name = title(manifest)
    config = parse(PackConfig, raw, where=f"{name}/{PACK_FILE}")
    if config.name != name:
        raise IntegrityError(f"pack {name}: {PACK_FILE} is for {config.name}")
    files = {layer.path: out / name / layer.path for layer in manifest.layers if layer.path != PACK_FILE}
    if config.encrypted and (bare := in_the_clear(files)):
        raise IntegrityError(f"pack {name}: {bare} is not encrypted, {PACK_FILE} says that it is")
    return manifest, config


def in_the_clear(files: Mapping[str, Path]) -> str | None:
    """The first file that is no age file, or None."""
    return next((path for path, source in sorted(files.items()) if not _is_age(source)), None)


def _is_age(source: Path) -> bool:
    with source.open("rb") as stream:
        return stream.read(len(AGE_HEADER)) == AGE_HEADER
