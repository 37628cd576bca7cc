"""Making a pending version, and judging whether it can still be approved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tuf.api.metadata import Metadata, TargetFile, Targets

from fleet_manifests import Descriptor, RefusedError
from release import layout
from release.keys import SigningKey
from release.pending import Pending
from release.state import State
from release.tree import Tree


class Staging:
    """Where a proposal puts its blobs: into the tree, unreferenced; what is to be listed is remembered."""

    def __init__(self, tree: Tree) -> None:
        """Begin with nothing."""
        self._tree = tree
        self.entries: list[layout.IndexEntry] = []

    def blob(self, source: Path | bytes, blob: Descriptor) -> None:
        """Store a blob.

        Raises:
            IntegrityError: the source is not what the descriptor says.
        """
        self._tree.blob(source, blob)

    def offer(self, entry: layout.IndexEntry) -> None:
        """Remember a manifest for `index.json`."""
        self.entries.append(entry)


def next_document(
    channel: str, raw: bytes, state: State, keys: Sequence[SigningKey], expires: datetime
) -> Metadata[Targets]:
    """A channel's next TUF metadata, signed by those who propose it.

    Args:
        channel: the channel.
        raw: the manifest.
        state: what is published.
        keys: of the proposers.
        expires: until when it holds.

    Raises:
        RefusedError: the repository does not trust a key for the channel.
    """
    signed = Targets.from_dict(state.targets(channel).signed.to_dict())
    signed.version += 1
    signed.expires = expires
    name = f"{channel}/manifest.json"
    signed.targets[name] = TargetFile.from_data(name, raw, ["sha256"])
    document: Metadata[Targets] = Metadata(signed)
    for key in keys:
        require_trusted(key, channel, state)
        document.sign(key.signer, append=True)
    return document


def require_trusted(key: SigningKey, channel: str, state: State) -> None:
    """Refuse a key that the repository does not take for the channel's.

    Raises:
        RefusedError: it is such a key.
    """
    if key.public.keyid not in state.targets("targets").signed.get_delegated_role(channel).keyids:
        raise RefusedError(
            f"{key.name}: is not among the keys that the repository trusts for {channel}; a change of release managers "
            "or their keys is a key ceremony"
        )


def problem(one: Pending, state: State, *, due: bool, now: datetime) -> str | None:
    """Why a pending version can be approved no more, or None.

    Args:
        one: the pending version.
        state: what is published.
        due: less than half of the lifetime of its metadata is left.
        now: the moment.
    """
    channel, signed = one.note.channel, one.document.signed
    if (published := state.targets(channel).signed.version) + 1 != signed.version:
        return (
            f"{channel} changed meanwhile: this was composed on version {signed.version - 1} of its metadata, and "
            f"{published} is published; reject it and propose anew"
        )
    if due or one.manifest.expires <= now:
        return (
            f"it was proposed on {one.note.proposed:%Y-%m-%d} and has expired: less than half of its lifetime would be "
            "left; reject it and propose anew"
        )
    return None
