"""The TUF roles of a fleet: who delegates what to whom, with which keys and threshold.

    root (2 of 3) -> timestamp, snapshot (online), targets (2 of 3)
    targets       -> candidates, canary (builder), stable (threshold of managers), sites (online)
    sites         -> hash bins (online), because a delegation holds named or succinct roles, not both

`targets` itself signs what says who may sign bundles (`release.signers_trust`), and otherwise only delegates. Two key
sets answer two questions: managers say what may run, the online key says who gets what. A
site installs only what both name (the split is Uptane's).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Role,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

from fleet_manifests import Orders, RefusedError, UsageError, dump
from fleet_manifests.orders import ORDERS_TARGET
from release.keys import BUILDER, ONLINE, ROOT_KEYS, TARGETS_KEYS, Keys, SigningKey, distinct, manager_key
from release.policy import Policy
from release.signers_trust import trust_targets

CHANNELS = ("candidates", "canary", "stable")
BIN_BITS = 4
"""2^4 hash bins of sites at first."""
BIN_PREFIX = "sites-bin"
OFFLINE_THRESHOLD = 2
NO_ORDERS = dump(Orders())
"""Published from the first release on, so that a site finds the orders without walking a hash bin."""


def key_names(policy: Policy) -> list[str]:
    """Every key that a fleet with this policy needs."""
    return [*ROOT_KEYS, *TARGETS_KEYS, *everyday_names(policy)]


def everyday_names(policy: Policy) -> list[str]:
    """The keys that releases are made with; root and targets keys are for ceremonies."""
    return [BUILDER, ONLINE, *(manager_key(name) for name in policy.managers)]


def first_root(keys: Keys) -> Root:
    """The root of trust, unsigned."""
    online, offline = [keys[ONLINE]], [keys[name] for name in TARGETS_KEYS]
    holders = {
        "root": ([keys[name] for name in ROOT_KEYS], OFFLINE_THRESHOLD),
        "targets": (offline, OFFLINE_THRESHOLD),
        "snapshot": (online, 1),
        "timestamp": (online, 1),
    }
    roles = {name: Role(_ids(owners), threshold) for name, (owners, threshold) in holders.items()}
    found = _by_id([key for owners, _ in holders.values() for key in owners])
    return Root(keys=found, roles=roles, consistent_snapshot=True)


def first_documents(keys: Keys, policy: Policy, *, bits: int = BIN_BITS) -> dict[str, Snapshot | Timestamp | Targets]:
    """Every other document of a fleet that has released nothing yet, unsigned.

    Args:
        keys: the key store.
        policy: who may sign what.
        bits: 2^bits hash bins of sites.

    Raises:
        RefusedError: two roles or people share a key.
    """
    distinct(keys[name] for name in key_names(policy))
    bins = site_bins(keys, bits)
    documents: dict[str, Snapshot | Timestamp | Targets] = {
        "timestamp": Timestamp(),
        "snapshot": Snapshot(meta={}),
        "targets": Targets(targets=trust_targets(keys, policy), delegations=delegations(keys, policy)),
        "sites": Targets(
            targets={ORDERS_TARGET: TargetFile.from_data(ORDERS_TARGET, NO_ORDERS, ["sha256"])},
            delegations=site_delegations(keys, bits),
        ),
    }
    return documents | {name: Targets() for name in (*CHANNELS, *bins.get_roles())}


def delegations(keys: Keys, policy: Policy) -> Delegations:
    """Whom `targets` trusts with which paths."""
    managers = [keys[manager_key(name)] for name in policy.managers]
    holders = {
        "candidates": ([keys[BUILDER]], 1),
        "canary": ([keys[BUILDER]], 1),
        "stable": (managers, policy.stable_threshold),
        "sites": ([keys[ONLINE]], 1),
    }
    roles = {
        name: DelegatedRole(name, _ids(owners), threshold, terminating=True, paths=[f"{name}/*.json"])
        for name, (owners, threshold) in holders.items()
    }
    return Delegations(_by_id([key for owners, _ in holders.values() for key in owners]), roles)


def site_delegations(keys: Keys, bits: int) -> Delegations:
    """Whom `sites` trusts: the hash bins."""
    return Delegations(_by_id([keys[ONLINE]]), succinct_roles=site_bins(keys, bits))


def site_bins(keys: Keys, bits: int) -> SuccinctRoles:
    """The hash bins that assignments are spread over."""
    return SuccinctRoles(_ids([keys[ONLINE]]), 1, bits, BIN_PREFIX)


def bin_bits(sites: int) -> int:
    """How many hash bins a fleet needs, as a power of two: about as many as a bin then holds sites.

    A site that learns of a change reads the snapshot, which names every bin, and one bin: their sum is least there.
    """
    return max(BIN_BITS, ((max(sites, 1) - 1).bit_length() + 1) // 2)


def bin_names(sizes: Iterable[int]) -> list[str]:
    """The hash bins of a fleet that once had 2^n of them, for each n."""
    return sorted({name for bits in sizes for name in SuccinctRoles([], 1, bits, BIN_PREFIX).get_roles()})


def is_bin(role: str) -> bool:
    """Whether a role is one of the hash bins."""
    return role.startswith(f"{BIN_PREFIX}-")


def signers_of(role: str, keys: Keys, managers: Sequence[str]) -> list[SigningKey]:
    """The keys that sign a role's metadata. Of the offline roles, those that are at hand.

    Args:
        role: the role.
        keys: the key store.
        managers: the release managers who approve what is signed; only `stable` asks for them.
    """
    if role in ("root", "targets"):
        names = ROOT_KEYS if role == "root" else TARGETS_KEYS
        return [keys[name] for name in names if name in keys]
    if role == "stable":
        return [keys[manager_key(name)] for name in managers]
    return [keys[BUILDER if role in CHANNELS else ONLINE]]


def require_manager(name: str, policy: Policy, keys: Keys) -> SigningKey:
    """The key of a release manager who acts here.

    Raises:
        UsageError: nobody of that name is a release manager, or the key is not here.
        RefusedError: another release manager has the same key.
    """
    if name not in policy.managers:
        raise UsageError(f"{name} is not a release manager; the fleet policy names {', '.join(policy.managers)}")
    if manager_key(name) not in keys:
        raise UsageError(
            f"{manager_key(name)}: the key of {name} is not in {keys.folder}; {name} has to do this where that key is"
        )
    distinct(keys[manager_key(one)] for one in policy.managers if manager_key(one) in keys)
    return keys[manager_key(name)]


def require_managers(managers: Sequence[str], policy: Policy, keys: Keys) -> None:
    """Refuse too few, unknown or repeated release managers, before anything is signed.

    Raises:
        UsageError: someone is not a release manager of the policy, or has no key here.
        RefusedError: someone is named twice, or they are fewer than the threshold.
    """
    if unknown := sorted(set(managers) - set(policy.managers)):
        raise UsageError(f"{unknown[0]} is not a release manager; the fleet policy names {', '.join(policy.managers)}")
    if len(set(managers)) != len(managers):
        twice = next(name for name in managers if list(managers).count(name) > 1)
        raise RefusedError(f"{twice} approves twice; {policy.stable_threshold} different release managers are needed")
    if len(managers) < policy.stable_threshold:
        said = ", ".join(managers) or "nobody"
        raise RefusedError(f"stable needs {policy.stable_threshold} release managers; {said} approved")
    distinct(keys[manager_key(name)] for name in managers)


def _ids(keys: Sequence[SigningKey]) -> list[str]:
    return [key.public.keyid for key in keys]


def _by_id(keys: Sequence[SigningKey]) -> dict[str, Key]:
    return {key.public.keyid: key.public for key in keys}
