"""Keyless signing through Sigstore, public or private.

    sigstore:?identity=…&issuer=…[&trust-config=FILE][&token=ambient|interactive|env:VARIABLE|file:PATH]

`identity` and `issuer` are what the certificate must say afterwards: nothing signs under an identity that nobody
expected. `trust-config` is a Sigstore ClientTrustConfig of a private instance; without it, the public instance.
A bundle is signed by model_signing, an attestation by sigstore-python; neither is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fleet_manifests import UnreachableError, UsageError, keyless
from fleet_manifests.authors import Identity
from fleet_manifests.signature import strict_hashing
from release.signers import from_environment

SCHEME = "sigstore"
AMBIENT = "ambient"
INTERACTIVE = "interactive"
_OPTIONS = {"identity", "issuer", "trust-config", "token"}


@dataclass(frozen=True)
class KeylessSigner:
    """Signs bundles and attestations under an identity of OpenID Connect."""

    identity: Identity
    trust_config: Path | None = None
    """A ClientTrustConfig, JSON; None: the public instance."""
    token: str = AMBIENT
    """Where the identity token comes from."""
    _given: list[str] = field(default_factory=list, repr=False, compare=False)
    """The token of a person who logged in, for as long as it holds: nobody is asked anew for each signature."""

    @property
    def described(self) -> str:
        """Who signs, for the inputs of a step."""
        return f"{self.identity.identity} ({self.identity.issuer})"

    def sign_files(self, folder: Path, signature: Path) -> None:
        """Sign a folder with model_signing.

        Args:
            folder: what to sign; its own name is the name that is signed.
            signature: the file to write.

        Raises:
            UsageError: there is no identity token, or it is another's.
            UnreachableError: the instance cannot be reached, or refuses.
        """
        from model_signing import signing

        token = self._token()
        with _reaching():
            config = signing.Config().use_sigstore_signer(identity_token=token, trust_config=self.trust_config)
            config.set_hashing_config(strict_hashing()).sign(folder, signature)

    def seal_payload(self, content: bytes) -> bytes:
        """Sign an in-toto statement.

        Args:
            content: the statement, JSON.

        Returns:
            The Sigstore bundle, JSON.

        Raises:
            UsageError: there is no identity token, or it is another's.
            UnreachableError: the instance cannot be reached, or refuses.
        """
        from sigstore.dsse import Statement
        from sigstore.oidc import IdentityToken
        from sigstore.sign import SigningContext

        token = self._token()
        with _reaching():
            context = SigningContext.from_trust_config(self._config())
            with context.signer(IdentityToken(token)) as signer:
                return signer.sign_dsse(Statement(content)).to_json().encode()

    def _config(self) -> Any:
        """The instance to sign with."""
        from sigstore.models import ClientTrustConfig

        if self.trust_config is None:
            return ClientTrustConfig.production()
        try:
            return ClientTrustConfig.from_json(self.trust_config.read_text())
        except OSError as exc:
            raise UsageError(f"signers: trust-config {self.trust_config}: {exc.strerror}") from exc

    def _token(self) -> str:
        """The identity token, which must be of the expected identity."""
        from sigstore.oidc import IdentityError, IdentityToken

        raw = self._raw_token()
        try:
            found = IdentityToken(raw)
        except IdentityError as exc:
            raise UsageError(f"signers: the identity token ({self.token}) cannot be used: {exc}") from exc
        if found.federated_issuer != self.identity.issuer:
            raise UsageError(
                f"signers: the identity token ({self.token}) is issued by {found.federated_issuer}, expected "
                f"{self.identity.issuer}"
            )
        return raw

    def _raw_token(self) -> str:
        """The identity token as it was found."""
        from sigstore.oidc import IdentityError, detect_credential

        kind, _, rest = self.token.partition(":")
        if kind == "env":
            return from_environment(rest, "signers: identity token").strip()
        if kind == "file":
            try:
                return Path(rest).read_text(encoding="ascii").strip()
            except (OSError, ValueError) as exc:
                raise UsageError(f"signers: identity token {rest}: cannot be read: {exc}") from exc
        try:
            if self.token == INTERACTIVE:
                return self._logged_in()
            found = detect_credential()
        except IdentityError as exc:
            raise UsageError(f"signers: no identity token: {exc}") from exc
        if found is None:
            raise UsageError(
                "signers: this environment has no identity of a CI; name where the token is: token=env:VARIABLE, "
                "token=file:PATH or token=interactive"
            )
        return found

    def _logged_in(self) -> str:
        """The token of a person who logs in in a browser, or has."""
        from sigstore.oidc import IdentityError, IdentityToken, Issuer

        for token in self._given:
            with suppress(IdentityError):  # it has ended
                return str(IdentityToken(token))
        try:
            with _reaching():
                self._given[:] = [str(Issuer(self._config().signing_config.get_oidc_url()).identity_token())]
        except EOFError as exc:
            raise UsageError("signers: no browser opens and nobody is there to log in; name another token") from exc
        return self._given[0]


def keyless_signer(role: str, uri: str, root: Path) -> KeylessSigner:
    """The signer that a `sigstore:` URI names.

    Args:
        role: what it signs as, for a message.
        uri: the URI.
        root: the project's folder, which paths are relative to.

    Raises:
        UsageError: an option is unknown or missing.
    """
    options = dict(parse_qsl(uri.removeprefix(f"{SCHEME}:").removeprefix("?"), keep_blank_values=True))
    if unknown := sorted(set(options) - _OPTIONS):
        raise UsageError(f"signers: {role}: {unknown[0]} is not known; there are: {', '.join(sorted(_OPTIONS))}")
    if missing := [name for name in ("identity", "issuer") if not options.get(name)]:
        raise UsageError(f"signers: {role}: {missing[0]} is missing; say whose signature is expected")
    token = options.get("token", AMBIENT)
    if token not in (AMBIENT, INTERACTIVE) and token.partition(":")[0] not in ("env", "file"):
        raise UsageError(f"signers: {role}: token: expected ambient, interactive, env:VARIABLE or file:PATH")
    if token.startswith("file:"):
        token = f"file:{root / token.removeprefix('file:')}"
    config = options.get("trust-config")
    return KeylessSigner(
        identity=Identity(identity=options["identity"], issuer=options["issuer"]),
        trust_config=root / config if config else None,
        token=token,
    )


@contextmanager
def _reaching() -> Iterator[None]:
    """The one seam to a Sigstore instance."""
    from sigstore._internal.fulcio.client import ExpiredCertificate, FulcioClientError
    from sigstore._internal.rekor import RekorClientError
    from sigstore._internal.timestamp import TimestampError
    from sigstore.oidc import ExpiredIdentity, IssuerError

    theirs = (ExpiredCertificate, FulcioClientError, RekorClientError, TimestampError, ExpiredIdentity, IssuerError)
    failures: tuple[type[Exception], ...] = (*theirs, *keyless.failures())
    try:
        yield
    except failures as exc:
        raise UnreachableError(f"sigstore: nothing was signed: {type(exc).__name__}: {exc}") from exc
