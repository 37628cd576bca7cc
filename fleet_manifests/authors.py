"""Whose signature counts: the builder's key and keyless identities, each for what it may sign.

A site learns all of it from its root of trust: `trust/builder.pub` always, `trust/policy.json` and
`trust/trusted_root.json` where a fleet says more than "the builder's key signs everything".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from fleet_manifests.errors import IntegrityError
from fleet_manifests.wire import Name, Wire

Act = Literal["bundle", "evidence", "provenance", "model-card"]
"""What can be signed: a bundle or knowledge pack, and the attestations about it."""
Attestation = Literal["provenance", "model-card", "evidence"]
"""What a signing policy can require of every bundle."""
ACTS: tuple[Act, ...] = ("bundle", "evidence", "provenance", "model-card")
_NAMED: dict[Act, str] = {
    "bundle": "a bundle",
    "evidence": "evidence",
    "provenance": "provenance",
    "model-card": "a model card",
}
EVERY = "*"
"""Every workflow, where an author says so."""

BUILDER_KEY = "trust/builder.pub"
SIGNERS = "trust/policy.json"
TRUSTED_ROOT = "trust/trusted_root.json"
"""Sigstore's trusted root, as a TUF target: a removed key reaches sites as an ordinary update."""


class _Strict(Wire):
    """What says who is trusted is refused when it says something unknown: a limit that is not read does not hold."""

    model_config = ConfigDict(extra="forbid")


class Identity(_Strict):
    """A keyless identity, and who vouches for it."""

    identity: Annotated[str, Field(min_length=1)]
    """Subject of the certificate: a mail address, or the URI of a CI workflow."""
    issuer: Annotated[str, Field(pattern=r"^https?://")]
    """OpenID Connect issuer that named it."""


class Author(_Strict):
    """One signer and what it may sign: the builder's key, or an identity with its issuer."""

    key: Literal["builder"] | None = None
    identity: Annotated[str, Field(min_length=1)] | None = None
    issuer: Annotated[str, Field(pattern=r"^https?://")] | None = None
    workflows: Annotated[tuple[Name | Literal["*"], ...], Field(min_length=1)]
    signs: Annotated[tuple[Act, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_kind(self) -> Author:
        if (self.key is None) == (self.identity is None) or (self.identity is None) != (self.issuer is None):
            raise ValueError("an author is `key: builder`, or an `identity` with its `issuer`")
        return self

    def may(self, workflow: str, act: Act) -> bool:
        """Whether this author may sign that for that workflow."""
        return act in self.signs and (EVERY in self.workflows or workflow in self.workflows)


class SignerPolicy(_Strict):
    """`trust/policy.json`: who may sign what. What it does not allow is refused."""

    schema_version: Literal[1] = 1
    authors: Annotated[tuple[Author, ...], Field(min_length=1)]
    require: tuple[Attestation, ...] = ()
    """Attestations without which no bundle enters a channel, and no site runs one."""

    @property
    def keyless(self) -> bool:
        """Whether an identity may sign anything."""
        return any(author.identity is not None for author in self.authors)


BY_KEY = SignerPolicy(authors=(Author(key="builder", workflows=(EVERY,), signs=ACTS),))
"""What holds where a fleet publishes no policy: the builder's key signs everything."""


@dataclass(frozen=True)
class Authors:
    """Who may have signed one thing."""

    key: bytes | None
    """A public key, PEM, EC P-256; None: no key may."""
    identities: tuple[Identity, ...] = ()
    trusted_root: bytes | None = None
    """Sigstore's trusted root, JSON; there wherever there are identities."""
    what: str = "this"
    """What it is, for a message."""

    @classmethod
    def of(cls, by: bytes | Authors) -> Authors:
        """The same; a public key alone stands for "signed by this key"."""
        return by if isinstance(by, Authors) else cls(key=by)


@dataclass(frozen=True)
class Trust:
    """Everything that a signature is held to.

    Raises:
        IntegrityError: the policy names identities, and there is no trusted root to verify them with.
    """

    builder: bytes
    """The builder's public key, PEM."""
    policy: SignerPolicy = BY_KEY
    trusted_root: bytes | None = None

    def __post_init__(self) -> None:
        """Check that identities can be verified."""
        if self.policy.keyless and self.trusted_root is None:
            raise IntegrityError(
                f"{SIGNERS} names keyless identities, but there is no {TRUSTED_ROOT}; the publisher must publish both"
            )

    @classmethod
    def of(cls, by: bytes | Trust) -> Trust:
        """The same; a public key alone stands for "the builder's key signs everything"."""
        return by if isinstance(by, Trust) else cls(builder=by)

    def authors(self, workflow: str, act: Act) -> Authors:
        """Who may sign one kind of thing for one workflow."""
        allowed = [author for author in self.policy.authors if author.may(workflow, act)]
        return Authors(
            key=self.builder if any(author.key for author in allowed) else None,
            identities=tuple(
                Identity(identity=author.identity, issuer=author.issuer)
                for author in allowed
                if author.identity is not None and author.issuer is not None
            ),
            trusted_root=self.trusted_root,
            what=f"{_NAMED[act]} of workflow {workflow}",
        )
