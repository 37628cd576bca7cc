"""`verify-bundle` of sigstore-conformance (docs/cli_protocol.md there), over our own seam to sigstore-python.

    python -m tests.conformance.sigstore verify-bundle --bundle FILE --certificate-identity IDENTITY
        --certificate-oidc-issuer URL --trusted-root FILE FILE_OR_DIGEST

Exit status 0: verified; 1: refused, with the reason on stderr; 2: bad usage. We never fetch a trusted root and
never read a cached one, so `--staging`, and a call without `--trusted-root`, are refused: give the suite the
public instance's root by SIGSTORE_TRUSTED_ROOT. The suite is blind to who signed; that is tests/release/test_keyless.py.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from fleet_manifests import IntegrityError, UsageError
from fleet_manifests.authors import Authors, Identity
from fleet_manifests.keyless import verify_digest

ROOT = "SIGSTORE_TRUSTED_ROOT"


def main(argv: Sequence[str] | None = None) -> int:
    """Verify one bundle as the suite asks."""
    arguments = _parser().parse_args(argv)
    try:
        identity = Identity(identity=arguments.certificate_identity, issuer=arguments.certificate_oidc_issuer)
        authors = Authors(None, (identity,), _trusted_root(arguments).read_bytes())
        verify_digest(arguments.bundle.read_bytes(), _digest(arguments.artifact), authors, what=str(arguments.bundle))
    except UsageError as exc:
        print(exc, file=sys.stderr)
        return 2
    except (IntegrityError, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sigstore")
    verify = parser.add_subparsers(dest="command", required=True).add_parser("verify-bundle")
    verify.add_argument("--staging", action="store_true")
    verify.add_argument("--bundle", type=Path, required=True)
    verify.add_argument("--certificate-identity", required=True)
    verify.add_argument("--certificate-oidc-issuer", required=True)
    verify.add_argument("--trusted-root", type=Path)
    verify.add_argument("artifact")
    return parser


def _trusted_root(arguments: argparse.Namespace) -> Path:
    if arguments.trusted_root is not None:
        return Path(arguments.trusted_root)
    if arguments.staging or not os.environ.get(ROOT):
        raise UsageError(f"no trusted root: give --trusted-root FILE, or name one in {ROOT}; none is fetched")
    return Path(os.environ[ROOT])


def _digest(artifact: str) -> bytes:
    """The SHA-256 of the artifact: given as such, or of the file."""
    if re.fullmatch(r"sha256:[0-9a-fA-F]{64}", artifact) and not Path(artifact).exists():
        return bytes.fromhex(artifact.removeprefix("sha256:"))
    with Path(artifact).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


if __name__ == "__main__":
    sys.exit(main())
