"""The transparency log: an RFC 6962 Merkle tree with signed checkpoints, answering as Rekor v1 and v2."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Sequence
from typing import Any

import rfc8785

from tests.sigstore_double.keys import b64, new_key, sha256, sign, spki


class Inclusion:
    """That one entry is in the tree: where, how to compute its root, and the root signed."""

    def __init__(self, index: int, leaves: Sequence[bytes], log: TransparencyLog) -> None:
        self.index, self.size = index, len(leaves)
        self.root, self.path = tree_root(leaves), audit_path(index, leaves)
        note = f"{log.origin}\n{self.size}\n{b64(self.root)}\n"
        signature = b64(log.log_id[:4] + sign(log.key, note.encode()))
        self.checkpoint = f"{note}\n\N{EM DASH} {log.origin} {signature}\n"


class TransparencyLog:
    """Append-only; what is in it was given to it by anybody."""

    def __init__(self, origin: str) -> None:
        self.key = new_key()
        self.origin = origin
        self._leaves: list[bytes] = []
        self._lock = threading.Lock()

    @property
    def log_id(self) -> bytes:
        """SHA-256 of the log's public key."""
        return sha256(spki(self.key))

    def append(self, body: bytes) -> Inclusion:
        """Take in an entry."""
        with self._lock:
            self._leaves.append(sha256(b"\0" + body))
            return Inclusion(len(self._leaves) - 1, tuple(self._leaves), self)

    def v1(self, request: dict[str, Any]) -> dict[str, Any]:
        """`POST /api/v1/log/entries`: with a signed promise of inclusion, which also says when."""
        body = rfc8785.dumps(_hashes_only(request) if request["kind"] == "dsse" else request)
        found, moment = self.append(body), int(time.time())
        promised = {
            "body": b64(body),
            "integratedTime": moment,
            "logID": self.log_id.hex(),
            "logIndex": found.index,
        }
        proof = {
            "logIndex": found.index,
            "treeSize": found.size,
            "rootHash": found.root.hex(),
            "hashes": [one.hex() for one in found.path],
            "checkpoint": found.checkpoint,
        }
        promise = b64(sign(self.key, rfc8785.dumps(promised)))
        return {
            secrets.token_hex(40): {
                **promised,
                "verification": {"signedEntryTimestamp": promise, "inclusionProof": proof},
            }
        }

    def v2(self, request: dict[str, Any]) -> dict[str, Any]:
        """`POST /api/v2/log/entries`: no promise and no time, only the proof."""
        asked = request["hashedRekordRequestV002"]
        recorded = {
            "data": {"algorithm": "SHA2_256", "digest": asked["digest"]},
            "signature": asked["signature"],
        }
        body = rfc8785.dumps({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": recorded}})
        found = self.append(body)
        return {
            "logIndex": str(found.index),
            "logId": {"keyId": b64(self.log_id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "canonicalizedBody": b64(body),
            "inclusionProof": {
                "logIndex": str(found.index),
                "treeSize": str(found.size),
                "rootHash": b64(found.root),
                "hashes": [b64(one) for one in found.path],
                "checkpoint": {"envelope": found.checkpoint},
            },
        }


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    half = _half(len(leaves))
    return sha256(b"\1" + tree_root(leaves[:half]) + tree_root(leaves[half:]))


def audit_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1, over leaf hashes."""
    if len(leaves) == 1:
        return []
    half = _half(len(leaves))
    if index < half:
        return [*audit_path(index, leaves[:half]), tree_root(leaves[half:])]
    return [*audit_path(index - half, leaves[half:]), tree_root(leaves[:half])]


def _half(count: int) -> int:
    """The largest power of two below a count."""
    return 1 << ((count - 1).bit_length() - 1)


def _hashes_only(request: dict[str, Any]) -> dict[str, Any]:
    """What Rekor v1 keeps of an envelope."""
    proposed = request["spec"]["proposedContent"]
    envelope = json.loads(proposed["envelope"])
    signatures = [
        {"signature": one["sig"], "verifier": verifier}
        for one, verifier in zip(envelope["signatures"], proposed["verifiers"], strict=True)
    ]
    return {
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": _hashed(proposed["envelope"].encode()),
            "payloadHash": _hashed(base64.b64decode(envelope["payload"])),
            "signatures": signatures,
        },
    }


def _hashed(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": sha256(data).hex()}
