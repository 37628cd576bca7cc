"""Under whose keys something was accepted: what tells a replaced key from a replayed document.

A thief of the online key can give an assignment the highest version there is, and a thief of the builder's key a canary
manifest. TUF's answer for its own documents is that a change of keys resets the version (specification, 5.3.11). Ours
for the floor is the same: it falls only where a *later* root or `targets` names *other* keys for the role. Both are
signed by offline keys, so that neither thief can bring that about, and an old medium only names keys of the past.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from fleet_manifests.wire import Digest, Wire, digest_of


class Authority(Wire):
    """The keys of a role, and the documents that named them."""

    root: Annotated[int, Field(ge=1)]
    """Version of the root."""
    targets: Annotated[int, Field(ge=1)]
    """Version of the role `targets`."""
    keys: Digest
    """Of the ids of the keys, sorted."""

    def replaces(self, other: Authority) -> bool:
        """Whether these are other keys, named later."""
        return self.keys != other.keys and (self.root, self.targets) > (other.root, other.targets)


def authority(root: int, targets: int, keyids: Sequence[str]) -> Authority:
    """What the documents of a repository say of a role."""
    return Authority(root=root, targets=targets, keys=digest_of("\n".join(sorted(keyids)).encode()))
