"""What changes between two roots, or two versions of `targets`, in sentences for the people who sign. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tuf.api.metadata import DelegatedRole, Role, Root, Targets


def changes(role: str, before: Root | Targets, after: Root | Targets, names: Mapping[str, str]) -> Iterator[str]:
    """What somebody who signs `after` agrees to.

    Args:
        role: `root` or `targets`.
        before: what is published.
        after: what is to be signed.
        names: the names of keys, by id; a key without one is named by its id, whole.
    """
    yield f"{role}: version {before.version} to {after.version}, valid until {after.expires:%Y-%m-%d}"
    then, now = _roles(before), _roles(after)
    for name in sorted(then.keys() | now.keys()):
        yield from (f"{role}: {said}" for said in _role(name, then.get(name), now.get(name), names))
    if isinstance(before, Targets) and isinstance(after, Targets):
        yield from _targets(before, after)


def _role(name: str, before: Role | None, after: Role | None, names: Mapping[str, str]) -> Iterator[str]:
    """What becomes of who signs a role."""
    if before is None or after is None:
        yield f"role {name} is {'new' if before is None else 'gone'}"
    then, now = (set(one.keyids) if one else set() for one in (before, after))
    for keyid in sorted(then - now):
        yield f"{_named(keyid, names)} signs {name} no more"
    for keyid in sorted(now - then):
        yield f"{_named(keyid, names)} signs {name} from now on"
    if before is not None and after is not None:
        if before.threshold != after.threshold:
            yield f"{name} needs {after.threshold} signatures instead of {before.threshold}"
        if isinstance(before, DelegatedRole) and isinstance(after, DelegatedRole) and before.paths != after.paths:
            yield f"{name} speaks for {', '.join(after.paths or ())} instead of {', '.join(before.paths or ())}"


def _targets(before: Targets, after: Targets) -> Iterator[str]:
    """What becomes of the files that `targets` itself signs: who may sign bundles."""
    for name in sorted(before.targets.keys() | after.targets.keys()):
        then, now = before.targets.get(name), after.targets.get(name)
        if then != now:
            yield f"targets: {name} is {'new' if then is None else 'gone' if now is None else 'another'}"


def _roles(signed: Root | Targets) -> Mapping[str, Role]:
    """Who signs what, as a document says."""
    if isinstance(signed, Root):
        return signed.roles
    delegations = signed.delegations
    return delegations.roles if delegations is not None and delegations.roles is not None else {}


def _named(keyid: str, names: Mapping[str, str]) -> str:
    return f"{names[keyid]} (key {keyid[:12]})" if keyid in names else f"an unknown key {keyid}"
