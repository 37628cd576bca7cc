"""A Sigstore instance of one's own, on loopback, for as long as a block runs.

    with SigstoreDouble() as double:
        token = double.oidc.token("builder@example.org")
        trusted_root, client_config = double.trusted_root(), double.client_config()

Everything that a client checks is real: certificates, the timestamp embedded from a certificate log, Merkle
inclusion proofs under a signed checkpoint, RFC 3161 timestamps. sigstore-python and model_signing run unmodified.
It can be told to misbehave: `double.tsa.broken`, and every part can be swapped for another instance's.
"""

from tests.sigstore_double.instance import SigstoreDouble

__all__ = ["SigstoreDouble"]
