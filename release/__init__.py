"""Releasing: bundles, signatures, evidence, the gate and the published tree.

    >>> keys = Keys.of_project("acme", outside=[project])
    >>> release = Release(project / "public", keys, Policy(managers=("alice", "bob")))
    >>> release.init()

A build becomes a candidate: its files are laid out, signed by the builder, and measured.

    >>> manifest = assemble(files, config, out)
    >>> sign_bundle(out, keys["builder"])
    >>> (out / "accuracy.dsse.json").write_bytes(attest(report, keys["builder"]))
    >>> candidate = Candidate("exception_triage", profile, out, (out / "accuracy.dsse.json", ...))

A knowledge pack is laid out, signed and measured the same way, apart from the bundle that searches it.

    >>> assemble_pack(files, config, out)
    >>> pack = PackCandidate("sop_assistant", profile, "warehouse", out, (out / "knowledge.dsse.json",))

Candidates enter the channels through the gate, which verifies all of it again.

    >>> release.offer([candidate], workflows)
    >>> release.promote("canary", [candidate], workflows)
    >>> release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    >>> release.promote("canary", [], {}, packs=[pack])
    >>> release.assign([assignment])

What a release would change is told beforehand, from what is published and what is on offer.

    >>> changes(release.manifest("stable"), [standing(name, digest, verdict, config, reports)], known)

What is published is static files that any TUF client can verify from `metadata/1.root.json`.
"""

from release.attest import attest, verify_evidence
from release.bundles import assemble, open_bundle, unpack
from release.changes import Change, Standing, changes, standing
from release.keys import Keys, SigningKey
from release.packs import assemble_pack, open_pack_folder
from release.policy import Expiry, Policy
from release.promotion import Candidate, Checked, CheckedPack, PackCandidate, admit, check_candidate, check_pack
from release.publish import Release
from release.published import Published
from release.signing import sign_bundle
from release.status import ReleaseStatus, RoleStatus

__all__ = [
    "Candidate",
    "Change",
    "Checked",
    "CheckedPack",
    "Expiry",
    "Keys",
    "PackCandidate",
    "Policy",
    "Published",
    "Release",
    "ReleaseStatus",
    "RoleStatus",
    "SigningKey",
    "Standing",
    "admit",
    "assemble",
    "assemble_pack",
    "attest",
    "changes",
    "check_candidate",
    "check_pack",
    "open_bundle",
    "open_pack_folder",
    "sign_bundle",
    "standing",
    "unpack",
    "verify_evidence",
]
