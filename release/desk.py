"""What every act of releasing works with: repository, keys, policy, clock, the release log, and what was before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fleet_manifests import FleetManifest, RefusedError, digest_of, dump
from fleet_manifests.evidence import now as utc_now
from release import history, pending, roles
from release.acts import Scene
from release.keys import Keys
from release.log import FOUND, LOG_FILE, PUBLISHED, ReleaseLog, check_published, published
from release.orders import RESUME
from release.policy import Policy
from release.repository import Repository
from release.rules import Rules
from release.signers_trust import trust_of
from release.state import State, manifest_of


class Desk:
    """The things of one release, and what it has had."""

    def __init__(
        self,
        public: Path,
        keys: Keys,
        policy: Policy,
        *,
        project: Path | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Refer to them; see `release.publish.Release`."""
        self.repository = Repository(public, keys, policy, now=now)
        self.keys = keys
        self.policy = policy
        self.project = project or public.resolve().parent
        self.now = now
        self.log = ReleaseLog(self.project / LOG_FILE, keys)

    @property
    def scratch(self) -> Path:
        """A folder for what is there for a moment only."""
        return self.project / pending.FOLDER.parent

    def scene(self, channel: str, state: State) -> Scene:
        """What an act on a channel starts from."""
        moment = self.now()
        return Scene(
            channel=channel,
            public=self.repository.public,
            state=state,
            policy=self.policy,
            key=trust_of(self.keys, self.policy),
            now=moment,
            scratch=self.scratch,
            due=self.repository.due(channel, state.targets(channel).signed.expires, moment),
        )

    def rules(self) -> Rules:
        """What is asked of whatever enters any channel today."""
        state = self.repository.state()
        revoked: dict[str, str] = {}
        for channel in roles.CHANNELS:
            revoked |= self.scene(channel, state).revoked
        return Rules(self.now(), self.policy.evidence_days, self.policy.licences, revoked)

    def record(self, manifest: FleetManifest, actor: str, action: str, reason: str = "") -> None:
        """Write a publication down, and that a halt ended with it."""
        said = f"{action}: {reason}" if reason else action
        digest = digest_of(dump(manifest))
        self.log.append(actor, PUBLISHED, manifest.channel, manifest.version, digest, said, self.now())
        if action == RESUME:
            self.log.append(actor, RESUME, manifest.channel, manifest.version, digest, reason, self.now())

    def earlier(self, channel: str) -> list[FleetManifest]:
        """What a channel has had, by the log and as far as it is in the tree, newest first."""
        found = []
        for _, digest in sorted(published(self.log.entries(), channel).items(), reverse=True):
            try:
                found.append(history.load(self.repository.public, channel, digest))
            except RefusedError:
                continue  # collected since
        return found

    def known(self, channel: str) -> set[str]:
        """The digest of every bundle and pack that a channel has had."""
        return {digest for manifest in self.earlier(channel) for digest in history.digests(manifest)}

    def catch_up(self) -> tuple[str, ...]:
        """Write down what is published and the log does not know: its publisher died first, or kept no log.

        Returns:
            The channels for which that was so.
        """
        entries, missed = self.log.entries(), []
        for channel, (version, digest) in self.current().items():
            if published(entries, channel).get(version) is None:
                said = "found published and not written down; who did it is not known"
                self.log.append("unknown", FOUND, channel, version, digest, said, self.now())
                missed.append(channel)
        return tuple(missed)

    def verify_log(self) -> int:
        """Verify the release log: its chain, its end, and that it knows every published version.

        Returns:
            The number of entries.

        Raises:
            IntegrityError: says where it does not hold.
        """
        entries = self.log.entries()
        check_published(entries, self.current() if self.repository.exists else {})
        return len(entries)

    def current(self) -> dict[str, tuple[int, str]]:
        """Version and digest of each channel's published manifest."""
        state, found = self.repository.state(), {}
        for channel in roles.CHANNELS:
            raw, manifest = state.target(f"{channel}/manifest.json"), manifest_of(state, channel)
            if raw is not None and manifest is not None:
                found[channel] = manifest.version, digest_of(raw)
        return found
