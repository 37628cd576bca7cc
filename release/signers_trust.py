"""What a fleet publishes about its signers, under role `targets`: the builder's key, who may sign what, trusted root.

A site reads these three before it believes a bundle; the gate holds a candidate to the same (`trust_of`).
"""

from __future__ import annotations

from tuf.api.metadata import TargetFile, Targets

from fleet_manifests import dump
from fleet_manifests.authors import BUILDER_KEY, BY_KEY, SIGNERS, TRUSTED_ROOT, Trust
from release.keys import BUILDER, Keys
from release.policy import Policy


def trust_of(keys: Keys, policy: Policy) -> Trust:
    """What every signature of the fleet is held to, in the factory as at a site.

    Raises:
        IntegrityError: the policy names identities, and no trusted root.
    """
    return Trust(keys[BUILDER].public_pem, policy.authors, policy.trusted_root)


def trust_documents(keys: Keys, policy: Policy) -> dict[str, bytes]:
    """The targets that say so, by name."""
    trust = trust_of(keys, policy)
    found = {BUILDER_KEY: trust.builder}
    if trust.policy != BY_KEY:
        found[SIGNERS] = dump(trust.policy)
    if trust.trusted_root is not None:
        found[TRUSTED_ROOT] = trust.trusted_root
    return found


def trust_targets(keys: Keys, policy: Policy) -> dict[str, TargetFile]:
    """The same, as `targets` lists them."""
    return {name: TargetFile.from_data(name, raw, ["sha256"]) for name, raw in trust_documents(keys, policy).items()}


def says_so(targets: Targets, keys: Keys, policy: Policy) -> bool:
    """Whether what is published about signers is what the policy says."""
    published = {name: info for name, info in targets.targets.items() if name.startswith("trust/")}
    return published == trust_targets(keys, policy)
