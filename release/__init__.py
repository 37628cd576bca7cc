"""Releasing: bundles, signatures, evidence, the gate and the published tree.

    >>> keys = Keys.of_project("acme", outside=[project])
    >>> release = Release(project / "public", keys, Policy(managers=("alice", "bob")))
    >>> release.init()

A build becomes a candidate: its files are laid out, signed by the builder, and measured.

    >>> manifest = assemble(files, config, out)
    >>> sign_bundle(out, keys["builder"])
    >>> (out / "accuracy.dsse.json").write_bytes(attest(report, keys["builder"]))
    >>> candidate = Candidate("exception_triage", profile, out, (out / "accuracy.dsse.json", ...))

Where it comes from, and its model card, are attested beside it; keys may be anywhere (`release.signers_uri`), and a
builder in a CI needs none (`release.signers_keyless`).

    >>> author = Author(keys["builder"], trust_of(keys, policy))
    >>> attest_bundle(config, manifest.digest, Origin(builder, version, corpus), author)

A knowledge pack is laid out, signed and measured the same way, apart from the bundle that searches it.

    >>> assemble_pack(files, config, out)
    >>> pack = PackCandidate("sop_assistant", profile, "warehouse", out, (out / "knowledge.dsse.json",))

Candidates enter the channels through the gate, which verifies all of it again.

    >>> release.offer([candidate], workflows)
    >>> release.promote("canary", [candidate], workflows)
    >>> release.propose([candidate], workflows, ["alice"])
    >>> release.approvals.approve("stable", "bob")
    >>> release.promote("canary", [], {}, packs=[pack])
    >>> release.assign([assignment])

What a release would change is told beforehand, from what is published and what is on offer.

    >>> changes(release.manifest("stable"), [standing(name, digest, verdict, config, reports)], known)

    >>> differences(release.manifest("stable"), release.approvals.pending().manifest)

When something is wrong, one person stops it; what lets content run again needs as many as a promotion.

    >>> release.interventions.halt("stable", "two sites report wrong labels", "alice")
    >>> release.interventions.revoke(digest, "trained on wrong labels", "alice")
    >>> release.interventions.rollback("stable", 3, "more deferrals than before", ["alice"])

Every act is in the release log, which `release.desk.verify_log()` checks. What is published is
static files that any TUF client can verify from `metadata/1.root.json`.
"""

from release.attest import attest, verify_evidence
from release.attestations import attest_bundle, verify_attestation
from release.bundles import assemble, open_bundle
from release.candidates import Candidate, Checked, CheckedPack, PackCandidate
from release.changes import Change, Standing, changes, standing
from release.differences import Difference, differences
from release.interventions import Revoked
from release.keys import Keys, SigningKey
from release.log import LogEntry, ReleaseLog
from release.packs import assemble_pack, open_pack_folder
from release.pending import Pending, Signatures
from release.policy import Expiry, Policy
from release.promotion import admit, check_candidate, check_pack
from release.provenance import Origin
from release.publish import Release
from release.published import Published, unpack
from release.signers_trust import trust_of
from release.signing import Author, sign_bundle
from release.status import ExpiryLine, ReleaseStatus, RoleStatus, expiries

__all__ = [
    "Author",
    "Candidate",
    "Change",
    "Checked",
    "CheckedPack",
    "Difference",
    "Expiry",
    "ExpiryLine",
    "Keys",
    "LogEntry",
    "Origin",
    "PackCandidate",
    "Pending",
    "Policy",
    "Published",
    "Release",
    "ReleaseLog",
    "ReleaseStatus",
    "Revoked",
    "RoleStatus",
    "Signatures",
    "SigningKey",
    "Standing",
    "admit",
    "assemble",
    "assemble_pack",
    "attest",
    "attest_bundle",
    "changes",
    "check_candidate",
    "check_pack",
    "differences",
    "expiries",
    "open_bundle",
    "open_pack_folder",
    "sign_bundle",
    "standing",
    "trust_of",
    "unpack",
    "verify_attestation",
    "verify_evidence",
]
