"""What a fleet asks of what enters a channel, beside being whole, signed and passed: fresh evidence, known licences.

Pure. The gates stand beside those of the signature and the evidence, so that all reasons are told at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fleet_manifests import BaseRef, Evidence, Gate, IntegrityError, Verdict, Wire, parse

UNSTATED = frozenset({"", "NOASSERTION", "NONE"})
"""What SPDX writes where nothing is said."""


@dataclass(frozen=True)
class Rules:
    """What is asked today."""

    now: datetime
    evidence_days: int
    """Days after which evidence no longer counts."""
    licences: tuple[str, ...] = ()
    """SPDX names that are allowed; empty: any that is stated."""
    revoked: Mapping[str, str] = field(default_factory=dict)
    """The reason for each bundle or pack that was revoked."""

    def fresh(self, reports: Iterable[Evidence]) -> Gate:
        """Whether the evidence is young enough."""
        told = []
        for report in sorted(reports, key=lambda one: one.kind):
            days = (self.now - report.taken).days
            if days > self.evidence_days:
                told.append(f"{report.kind} was measured on {report.taken:%Y-%m-%d}, {days} days ago")
        if told:
            reason = f"{'; '.join(told)}; evidence counts for {self.evidence_days} days: measure again"
            return Gate(name="freshness", verdict=Verdict.INCONCLUSIVE, reason=reason)
        return Gate(name="freshness", verdict=Verdict.PASS, reason=f"not older than {self.evidence_days} days")

    def licensed(self, base: BaseRef | None, card: bytes | None) -> Gate:
        """Whether the licences of the base and of the corpus are stated, and allowed.

        Args:
            base: what the model was made of; None: a classical model, which has none.
            card: the data card of the bundle; None: it has none.
        """
        named: dict[str, tuple[str, ...]] = {} if base is None else {f"base {base.name}": (base.licence,)}
        try:
            found = None if card is None else parse(_Card, card, where="data card").licences
        except IntegrityError as exc:
            return Gate(name="licence", verdict=Verdict.FAIL, reason=str(exc))
        if found is None:
            named["corpus"] = ("",)
        else:
            named["corpus"] = found  # none listed: the distributor's own rows
        missing = [what for what, some in named.items() if UNSTATED & set(some)]
        foreign = [
            f"{what} is under {one}"
            for what, some in named.items()
            for one in some
            if self.licences and one not in UNSTATED and one not in self.licences
        ]
        if foreign:
            reason = f"{'; '.join(foreign)}; fleet.yaml allows {', '.join(self.licences)}"
            return Gate(name="licence", verdict=Verdict.FAIL, reason=reason)
        if missing:
            reason = f"no licence is stated for {' and '.join(missing)}; state it, and build again"
            return Gate(name="licence", verdict=Verdict.INCONCLUSIVE, reason=reason)
        return Gate(name="licence", verdict=Verdict.PASS, reason="stated and allowed")

    def standing(self, digest: str) -> Gate | None:
        """That a bundle or pack was revoked, where it was."""
        if (reason := self.revoked.get(digest)) is None:
            return None
        return Gate(name="revoked", verdict=Verdict.FAIL, reason=f"{digest} was revoked: {reason}")


class _Card(Wire):
    """What every data card says, whatever the task."""

    licences: tuple[str, ...] | None = None
