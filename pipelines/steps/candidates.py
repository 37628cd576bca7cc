"""What a project has built that may be released: builds and knowledge packs with their evidence, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_manifests import Gate, RefusedError, Verdict
from fleet_manifests.bundle import bundle_name
from fleet_manifests.knowledge import pack_name
from pipelines.project.load import Project
from pipelines.steps import derivations, emulation, knowledge
from pipelines.steps.attestations import attested
from pipelines.steps.configs import resolved_profile
from pipelines.steps.evidence import ENVELOPE
from pipelines.steps.packs import site_classes
from pipelines.steps.received import evidence_of

if TYPE_CHECKING:
    from release import Candidate, Checked, CheckedPack, PackCandidate, Release


def candidates(project: Project, workflows: Sequence[str] = ()) -> list[Candidate]:
    """Every build that has evidence, of the given workflows (all, where none is given)."""
    from release import Candidate

    found = []
    for workflow, profile in project.builds():
        if workflows and workflow not in workflows:
            continue
        name = bundle_name(workflow, profile)
        try:
            bundle = project.store.latest("bundle", name)
            reports = evidence_of(project, workflow, profile)
        except RefusedError:
            continue  # not built or not measured
        evidence = tuple(entry.path / ENVELOPE for entry in reports.values())
        candidate = Candidate(
            workflow,
            resolved_profile(project, profile),
            bundle.path,
            evidence,
            attestations=attested(project, workflow, profile),
            derivation=derivations.derivation(project, workflow, profile),
        )
        found.append(candidate)
    return found


def pack_candidates(project: Project, workflows: Sequence[str] = ()) -> list[PackCandidate]:
    """Every knowledge pack that has evidence, of the given workflows (all, where none is given)."""
    from release import PackCandidate

    found = []
    for workflow, profile in project.builds():
        if workflow not in project.retrievers or (workflows and workflow not in workflows):
            continue
        for site_class in site_classes(project, profile):
            name = pack_name(workflow, profile, site_class)
            try:
                made = project.store.latest("knowledge_pack", name).path / "pack"
                evidence = knowledge.evidence_of(project, workflow, profile, site_class).path / ENVELOPE
            except RefusedError:
                continue  # not made or not measured
            found.append(PackCandidate(workflow, resolved_profile(project, profile), site_class, made, (evidence,)))
    return found


@dataclass(frozen=True)
class Sorted:
    """Builds and packs whose checked verdict is wanted, and a sentence for each of the others."""

    builds: list[Candidate]
    packs: list[PackCandidate]
    refused: tuple[str, ...]

    def has_pack(self, build: Candidate) -> bool:
        """Whether a retriever has something to search."""
        return any((pack.workflow, pack.profile.name) == (build.workflow, build.profile.name) for pack in self.packs)


@dataclass(frozen=True)
class Examined:
    """Every candidate and pack, verified from its bytes."""

    builds: tuple[Checked, ...]
    packs: tuple[CheckedPack, ...]
    """Those whose retriever is among the builds that hold."""
    emulated: dict[str, str]
    """Why builds fail under emulation, by name."""


def examine(project: Project, release: Release, workflows: Sequence[str], wanted: set[Verdict]) -> Examined:
    """Verify every candidate and pack from its bytes.

    Args:
        project: the project.
        release: its release, which there is.
        workflows: the ones of interest; none: all.
        wanted: verdicts of a retriever with which its packs are looked at.
    """
    from release import check_candidate, check_pack
    from release.signers_trust import trust_of

    key, rules = trust_of(release.keys, release.policy), release.desk.rules()
    checked = [check_candidate(one, key, rules) for one in candidates(project, workflows)]
    emulated = {
        one.candidate.name: emulation.says(report)
        for one in checked
        if (report := emulation.latest(project, one.candidate.workflow, one.candidate.profile.name))
        and report.verdict is Verdict.FAIL
    }
    digests = {
        (one.candidate.workflow, one.candidate.profile.name): one.entry.bundle.digest
        for one in checked
        if one.entry and one.verdict in wanted and one.candidate.name not in emulated
    }
    packs = [
        check_pack(pack, key, retriever=digests[pack.workflow, pack.profile.name], rules=rules)
        for pack in pack_candidates(project, workflows)
        if (pack.workflow, pack.profile.name) in digests
    ]
    return Examined(tuple(checked), tuple(packs), emulated)


def sort(project: Project, release: Release, workflows: Sequence[str], wanted: set[Verdict]) -> Sorted:
    """Verify every candidate and pack from its bytes. What fails under emulation is wanted nowhere."""
    found = examine(project, release, workflows, wanted)
    good = [one for one in found.builds if one.verdict in wanted and one.candidate.name not in found.emulated]
    return Sorted(
        builds=[one.candidate for one in good],
        packs=[pack.candidate for pack in found.packs if pack.verdict in wanted],
        refused=tuple(
            f"{one.candidate.name}: {_why(one.gates)}"
            for some in (found.builds, found.packs)
            for one in some
            if one.verdict not in wanted
        )
        + tuple(f"{name}: {said}" for name, said in found.emulated.items()),
    )


def _why(gates: Sequence[Gate]) -> str:
    return "; ".join(f"{gate.name}: {gate.reason}" for gate in gates if gate.verdict is not Verdict.PASS)
