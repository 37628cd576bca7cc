"""The command line that the public tuf-conformance suite speaks, over the updater and the sources of a site.

    python -m tests.conformance.tuf_client --metadata-dir D init TRUSTED_ROOT
    python -m tests.conformance.tuf_client --metadata-dir D --metadata-url U refresh
    python -m tests.conformance.tuf_client --metadata-dir D --metadata-url U \\
        --target-name N --target-base-url B --target-dir T download

Protocol: CLIENT-CLI.md of github.com/theupdateframework/tuf-conformance. To run that suite against us, point its
`entrypoint` to this module. Ends with 1 and one line on stderr where something does not verify or cannot be had.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from fleet_manifests.errors import LadingError, UsageError
from runtimes.sync.files import write_file
from runtimes.sync.seam import storing
from runtimes.sync.sources import FolderSource, Source, Stream
from runtimes.sync.trust import METADATA_PATH, TARGETS_PATH, SignedDocuments
from runtimes.sync.web import HttpSource

HISTORY = "root_history"


class TwoAddresses:
    """A source whose metadata and targets lie at addresses of their own."""

    def __init__(self, metadata: str, targets: str | None) -> None:
        """Read metadata below one address, and targets below the other."""
        self._metadata = HttpSource(metadata.rstrip("/"))
        self._targets = HttpSource((targets or metadata).rstrip("/"))

    @property
    def address(self) -> str:
        """The address of the metadata."""
        return self._metadata.address

    def open(self, path: str, offset: int = 0) -> AbstractContextManager[Stream]:
        """See `Source.open`."""
        if path.startswith(METADATA_PATH):
            return self._metadata.open(path.removeprefix(METADATA_PATH), offset)
        return self._targets.open(path.removeprefix(TARGETS_PATH), offset)

    def close(self) -> None:
        """Close the connections."""
        self._metadata.close()
        self._targets.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = _parser().parse_args(arguments)
    folder: Path = given.metadata_dir
    try:
        with storing(folder):
            if given.command == "init":
                _documents(folder, FolderSource(given.trusted_root.parent), given.trusted_root.read_bytes())
                return 0
            with _source(given) as source:
                documents = _documents(folder, source, _trusted(folder))
                documents.refresh()
                if given.command == "download":
                    raw, _ = documents.document(given.target_name)
                    write_file(given.target_dir / quote(given.target_name, ""), raw)
    except LadingError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    """The options and commands of the protocol."""
    parser = argparse.ArgumentParser(prog="tuf_client", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--metadata-dir", type=Path, required=True)
    for name in ("--metadata-url", "--target-name", "--target-base-url"):
        parser.add_argument(name)
    parser.add_argument("--target-dir", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    return parser


@contextlib.contextmanager
def _source(given: argparse.Namespace) -> Iterator[Source]:
    """What the options say to read from.

    Raises:
        UsageError: an option is missing.
    """
    needed = ["metadata_url"]
    if given.command == "download":
        needed += ["target_name", "target_base_url", "target_dir"]
    for name in needed:
        if getattr(given, name) is None:
            raise UsageError(f"{given.command} needs --{name.replace('_', '-')}")
    with contextlib.closing(TwoAddresses(given.metadata_url, given.target_base_url)) as source:
        yield source


def _documents(folder: Path, source: Source, root: bytes) -> SignedDocuments:
    """The client of a site. The clock is the system's, which the suite moves with faketime."""
    return SignedDocuments(folder, source, root=root, now=datetime.now(UTC))


def _trusted(folder: Path) -> bytes:
    """The root that `init` was given: the first that was kept.

    Raises:
        UsageError: there was no `init`.
    """
    found = sorted((folder / HISTORY).glob("*.root.json"), key=lambda path: int(path.name.split(".")[0]))
    if not found:
        raise UsageError(f"{folder}: holds no trusted root; run init first")
    return found[0].read_bytes()


if __name__ == "__main__":
    sys.exit(main())
