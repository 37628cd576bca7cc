"""Receipts that sites hand in at the centre: kept as they came, for the factory to fetch and check."""

from __future__ import annotations

from pathlib import Path

from fleet_manifests import DataError, IntegrityError, StorageError, digest_of
from fleet_manifests.receipt import SUFFIX
from runtimes.measure.receipt import claimed
from runtimes.problems import ConflictError, ForbiddenError
from runtimes.sync.files import write_file

FOLDER = "receipts"
MAX_OF_A_SITE = 50
"""Receipts of one site that the centre keeps."""


class Shelf:
    """The folder `receipts` of a centre's state: `<site>--<digest>.receipt.dsse.json`."""

    def __init__(self, state: Path) -> None:
        """Nothing is written yet."""
        self.folder = state / FOLDER

    def keep(self, raw: bytes, site: str) -> str:
        """Keep a receipt; the same one again changes nothing. Whether it is true is for the factory to say.

        Args:
            raw: the envelope.
            site: whose token came with it.

        Returns:
            Its digest.

        Raises:
            DataError: it is no receipt.
            ForbiddenError: it is another site's.
            ConflictError: the site has handed in as many as are kept.
            StorageError: it cannot be written.
        """
        try:
            receipt = claimed(raw)
        except IntegrityError as exc:
            raise DataError(str(exc)) from exc
        if receipt.site != site:
            raise ForbiddenError(f"the token of site {site} cannot hand in a receipt of site {receipt.site}")
        digest = digest_of(raw)
        path = self.folder / f"{site}--{digest.removeprefix('sha256:')}{SUFFIX}"
        if path.exists():
            return digest
        if sum(1 for _ in self.folder.glob(f"{site}--*{SUFFIX}")) >= MAX_OF_A_SITE:
            raise ConflictError(
                f"{MAX_OF_A_SITE} receipts of site {site} are here already; the factory imports them from "
                f"{FOLDER}/, then they may be removed"
            )
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            write_file(path, raw)
        except OSError as exc:
            raise StorageError(f"{path}: cannot be written: {exc.strerror}") from exc
        return digest
