"""Assembling a bundle: the files of a build, `bundle.json` among them, as `release.artifacts` lays them out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fleet_manifests import BundleConfig, DataError, IntegrityError, OciManifest, parse, sha256_of
from fleet_manifests.bundle import BUNDLE_FILE, DOC_TYPE, WEIGHT_CONFIG_TYPE, WEIGHT_TYPE, bundle_name
from fleet_manifests.profile import OPENVINO
from release.artifacts import Kind, lay_out, reopen, require_plain, title

_WEIGHTS = frozenset({".onnx", ".xml", ".data", ".safetensors", ".bin", ".npy"})
_DOCUMENTS = frozenset({".md", ".txt"})


def media_type(path: str) -> str:
    """The ModelPack media type of a bundle's file."""
    suffix = PurePosixPath(path).suffix
    return WEIGHT_TYPE if suffix in _WEIGHTS else DOC_TYPE if suffix in _DOCUMENTS else WEIGHT_CONFIG_TYPE


BUNDLE = Kind("bundle", BUNDLE_FILE, media_type)


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
    require_plain(BUNDLE, files)
    _require_named(files, config)
    name = bundle_name(config.workflow, config.profile)
    return lay_out(BUNDLE, name, files, config, _about(name, config), out)


def open_bundle(out: Path) -> tuple[OciManifest, BundleConfig]:
    """Read an assembled bundle and recompute every digest in it.

    Raises:
        IntegrityError: a file is altered, missing or not named by the manifest.
    """
    manifest, raw = reopen(BUNDLE, out)
    name = title(manifest)
    config = parse(BundleConfig, raw, where=f"{name}/{BUNDLE_FILE}")
    if bundle_name(config.workflow, config.profile) != name:
        raise IntegrityError(f"bundle {name}: {BUNDLE_FILE} is for {config.workflow} on {config.profile}")
    return manifest, config


def _require_named(files: Mapping[str, Path], config: BundleConfig) -> None:
    """Refuse a bundle without what its configuration names."""
    for name in (*config.files, config.data_card_file):
        if name not in files:
            raise DataError(f"{BUNDLE_FILE} names {name}; it is not among the files")
    if (found := sha256_of(files[config.data_card_file])) != config.data_card:
        raise DataError(f"{files[config.data_card_file]}: digest is {found}, {BUNDLE_FILE} says {config.data_card}")


def _about(name: str, config: BundleConfig) -> dict[str, Any]:
    """The ModelPack config: what the artifact is, for tools that do not know Lading."""
    base = config.built_on
    return {
        "descriptor": {
            "name": config.workflow,
            "title": name,
            **({"family": base.name, "licenses": [base.licence]} if base else {"family": config.kind}),
        },
        "config": {"format": _format(config), "quantization": config.recipe},
    }


def _format(config: BundleConfig) -> str:
    """The model's format, as ModelPack names it."""
    return "openvino" if config.engine == OPENVINO else PurePosixPath(config.model).suffix.removeprefix(".")
