"""The state folder of a site, and enrolment: the one moment in which trust is given."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from fleet_manifests.errors import LadingError, RefusedError, UsageError
from fleet_manifests.wire import Digest, Name, Wire, digest_of, dump, parse
from runtimes.device import ensure_key
from runtimes.sync.active import VERSIONS
from runtimes.sync.files import only_one, write_file
from runtimes.sync.floor import begin_floor
from runtimes.sync.seam import storing, trusting
from runtimes.sync.sources import normal_address, normal_blobs_address

SITE_FILE = "site.json"
ROOT_FILE = "root.json"
METADATA = "metadata"
BLOBS = Path("blobs", "sha256")
LOCK_FILE = "lock"
PACK_KEY_FILE = "pack-key"
"""The secret key of the site class (age), where the site has it. Nobody but its owner may read it."""
MAX_ROOT_BYTES = 512_000
MAX_KEY_BYTES = 64_000

Kind = Literal["edge", "central"]


class Enrolment(Wire):
    """Who this site is, whom it trusts and whom it asks."""

    schema_version: Literal[1] = 1
    site: Name
    kind: Kind
    source: str
    """An http(s) address, `s3://bucket/prefix` or an absolute folder: where signed documents are read."""
    blobs: str | None = None
    """What is asked for blobs first: such an address, or a registry (`oci+https://host/repository`). Sync talks to
    nothing besides these two."""
    floor: str | None = None
    """An absolute folder outside the state folder that holds a second copy of the floor."""
    root: Digest
    """The root of trust that was given at enrolment, kept in `root.json`."""
    enrolled: AwareDatetime

    @property
    def floor_file(self) -> Path | None:
        """The second copy of the floor, for this site and this root of trust."""
        return None if self.floor is None else Path(self.floor, f"floor-{self.site}-{self.root[7:19]}.json")

    @property
    def orders_file(self) -> Path | None:
        """The second copy of the orders, beside that of the floor."""
        return None if self.floor is None else Path(self.floor, f"orders-{self.site}-{self.root[7:19]}.json")


def enroll(
    state: Path,
    *,
    root: Path,
    source: str,
    site: str,
    kind: Kind = "edge",
    pack_key: Path | None = None,
    blobs: str | None = None,
    floor: Path | None = None,
) -> Enrolment:
    """Make a folder the state of a site. Nothing is asked of the network.

    It makes the device's own key, once. Again with another `pack_key` it replaces that key; everything else must
    stay what it was.

    Args:
        state: the folder, made with mode 0700; everything of the site lives in it.
        root: the publisher's `root.json`, got in a way that the source cannot touch.
        source: http(s) address, `s3://bucket/prefix`, folder or `file://` address of the published tree.
        site: the site's name in the fleet.
        kind: `edge` or `central`.
        pack_key: file with the secret key of the site class, as `age-keygen` writes it, for encrypted
            knowledge packs.
        blobs: what is asked for blobs first: such an address, or `oci+https://host/repository`.
        floor: a folder for a second copy of the floor, on a disk that no image of this one restores.

    Raises:
        UsageError: `root`, `source`, `site`, `pack_key`, `blobs` or `floor` is not what it must be.
        RefusedError: the folder is enrolled differently already.
        StorageError: the folder cannot be written.
    """
    raw = _read_root(root)
    mirror = None if blobs is None else normal_blobs_address(blobs)
    wanted = _enrolment(site, kind, normal_address(source), raw).model_copy(
        update={"blobs": mirror, "floor": None if floor is None else str(_outside(state, floor))}
    )
    key = None if pack_key is None else _read_key(pack_key)
    with storing(state):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
        with only_one(state / LOCK_FILE):
            known = _same(state, wanted) if (state / SITE_FILE).exists() else None
            if key is not None:
                write_file(state / PACK_KEY_FILE, key, private=True)
            ensure_key(state)
            if known is not None:
                return known
            for folder in (Path(METADATA), BLOBS, Path(VERSIONS)):
                (state / folder).mkdir(parents=True, exist_ok=True)
            if wanted.floor_file is not None:
                begin_floor(wanted.floor_file)
            write_file(state / ROOT_FILE, raw)
            write_file(state / SITE_FILE, dump(wanted))
    return wanted


def pack_key(state: Path) -> Path | None:
    """The file with the secret key of the site class, or None where the site has not got it."""
    path = state / PACK_KEY_FILE
    return path if path.is_file() else None


def load_enrolment(state: Path) -> Enrolment:
    """Who this site is.

    Raises:
        UsageError: the folder is not enrolled.
        IntegrityError: the record is damaged.
    """
    path = state / SITE_FILE
    if not path.is_file():
        raise UsageError(f"{state}: this folder is not enrolled; run `enroll` with the publisher's root.json first")
    return parse(Enrolment, path.read_bytes(), where=str(path))


def load_root(state: Path, enrolment: Enrolment) -> bytes:
    """The root of trust that was given at enrolment.

    Raises:
        UsageError: it was lost or exchanged; the site has to be enrolled anew.
    """
    path = state / ROOT_FILE
    raw = path.read_bytes() if path.is_file() else b""
    if digest_of(raw) != enrolment.root:
        raise UsageError(f"{path}: {enrolment.root} was given at enrolment and is not here; enrol in a new folder")
    return raw


def _read_root(path: Path) -> bytes:
    """The bytes of a root that is signed by its own keys.

    Raises:
        UsageError: it is not there, or is no such root.
    """
    from tuf.ngclient.updater import Updater

    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_ROOT_BYTES + 1)
    except OSError as exc:
        raise UsageError(f"{path}: the publisher's root.json was expected: {exc.strerror}") from exc
    if len(raw) > MAX_ROOT_BYTES:
        raise UsageError(f"{path}: more than {MAX_ROOT_BYTES} bytes; this is no root.json")
    try:
        with tempfile.TemporaryDirectory() as scratch, trusting(str(path)):
            Updater(scratch, "", bootstrap=raw)
    except LadingError as exc:
        raise UsageError(f"{exc}; the publisher's root.json was expected") from exc
    return raw


def _read_key(path: Path) -> bytes:
    """The one secret key in a file, as the line that it is. No message ever shows what the file holds.

    Raises:
        UsageError: it is not there, or holds no such key.
    """
    import pyrage

    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_KEY_BYTES)
    except OSError as exc:
        raise UsageError(f"{path}: the secret key of the site class was expected: {exc.strerror}") from exc
    lines = [line.strip() for line in raw.decode("utf-8", "replace").splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) == 1:
        try:
            pyrage.x25519.Identity.from_str(keys[0])
        except pyrage.IdentityError:
            pass  # without its cause, which might quote what it was given
        else:
            return f"{keys[0]}\n".encode()
    raise UsageError(f"{path}: one line AGE-SECRET-KEY-1... was expected, the secret key of the site class")


def _outside(state: Path, floor: Path) -> Path:
    """The folder for the second copy of the floor.

    Raises:
        UsageError: it lies in the state folder, and would be restored with it.
    """
    found = floor.expanduser().absolute()
    if found.resolve().is_relative_to(state.resolve()):
        raise UsageError(f"{floor}: a folder outside the state folder {state} was expected, on another disk")
    return found


def _enrolment(site: str, kind: Kind, source: str, root: bytes) -> Enrolment:
    """The record, checked.

    Raises:
        UsageError: the site's name or kind is not one.
    """
    try:
        TypeAdapter(Name).validate_python(site)
        TypeAdapter(Kind).validate_python(kind)
    except ValidationError as exc:
        raise UsageError(
            f"site {site!r}, kind {kind!r}: a name of small letters, digits, '-' and '_' and the kind edge or "
            "central were expected"
        ) from exc
    now = datetime.now(UTC).replace(microsecond=0)
    return Enrolment(site=site, kind=kind, source=source, root=digest_of(root), enrolled=now)


def _same(state: Path, wanted: Enrolment) -> Enrolment:
    """The enrolment that is there, if it is the one wanted.

    Raises:
        RefusedError: it differs.
    """
    found = load_enrolment(state)
    fields = ("site", "kind", "source", "blobs", "floor", "root")
    differing = [name for name in fields if getattr(found, name) != getattr(wanted, name)]
    if differing:
        name = differing[0]
        raise RefusedError(
            f"{state}: enrolled already with {name} {getattr(found, name)}, now {getattr(wanted, name)} was asked "
            "for; use another folder, or remove this one to start anew"
        )
    return found
