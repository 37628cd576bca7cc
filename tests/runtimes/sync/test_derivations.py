"""Updates by derivation: a base once, then adapters; and nothing odd about an input ever costs a site the update."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleet_manifests import Descriptor, digest_of, dump
from fleet_manifests.updates import ADAPTER_TYPE, BASE_TYPE, PLAN_TYPE, UPDATES_TYPE, Content, Derivation, Updates
from runtimes.derive import Piece, Plan, Update, derive, write_adapter, write_weights
from runtimes.sync import load_active, status
from tests.runtimes.sync.test_crash import in_child, kill, restore, tidy

pytestmark = pytest.mark.unit

SHAPE = (192, 256)
PLAN = Plan(
    pieces=(
        Piece(kind="codes", layers=("layer",)),
        Piece(kind="zeros", count=64),
        Piece(kind="scales", layers=("layer",)),
    )
)
SIZE = SHAPE[0] * SHAPE[1] + 64 + 4 * SHAPE[0]


@dataclass(frozen=True)
class Inputs:
    """What weights are derived of, as bytes."""

    plan: bytes
    base: bytes
    adapter: bytes
    tuned: bytes


def inputs(seed: int, folder: Path, base_seed: int = 1) -> Inputs:
    rng = np.random.default_rng(base_seed)
    write_weights(folder / "base", {"layer": rng.normal(size=SHAPE).astype(np.float32)})
    numbers = np.random.default_rng(100 + seed).integers(-90, 90, size=(2, sum(SHAPE))).astype(np.int16)
    steps = np.full((2, 2), 0.02, np.float32)
    write_adapter(folder / "adapter", {"layer": Update(numbers[:, : SHAPE[0]], numbers[:, SHAPE[0] :], steps)})
    derive(PLAN, folder / "base", folder / "adapter", folder / "tuned", SIZE)
    base, adapter, tuned = ((folder / name).read_bytes() for name in ("base", "adapter", "tuned"))
    return Inputs(dump(PLAN), base, adapter, tuned)


@dataclass
class Fleet:
    """A site whose releases offer derivations, at first of a base that is worth its price."""

    site: Any
    scratch: Path
    withheld: set[str] = field(default_factory=set)
    """Inputs that are named and not published."""

    def release(self, version: int, made: Inputs, told: Inputs | None = None, others: tuple[str, ...] = ()) -> None:
        """Publish weights, and how they are derived; `told` lies about it. `others` are workflows with the same."""
        repository, said = self.site.repository, told or made
        for workflow in ("exception_triage", *others):
            repository.add_bundle(
                workflow=workflow, files={**repository.files("one", workflow), "tuned.bin": made.tuned}
            )
        kinds = {"plan": PLAN_TYPE, "base": BASE_TYPE, "adapter": ADAPTER_TYPE}
        parts: dict[str, Descriptor] = {}
        for name, kind in kinds.items():
            raw = getattr(said, name)
            parts[name] = Descriptor(media_type=kind, digest=digest_of(raw), size=len(raw))
            if name not in self.withheld:
                repository.blob(raw)
        one = Derivation(target=Content(digest=digest_of(made.tuned), size=len(made.tuned)), **parts)
        repository.release(version, updates=repository.blob(dump(Updates(derivations=(one,))), UPDATES_TYPE))

    def tuned(self, workflow: str = "exception_triage") -> bytes:
        active = load_active(self.site.state)
        folder = self.site.state / "versions" / active.version / active.workflows[workflow].folder
        return (folder / "tuned.bin").read_bytes()


@pytest.fixture
def fleet(station: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A site that runs release 1 and has the base of it."""
    monkeypatch.setattr("runtimes.sync.shortcuts.PATIENCE", 4)
    made = Fleet(station, tmp_path)
    made.release(1, inputs(1, tmp_path))
    assert station.sync().rebuilt_blobs == 1
    assert made.tuned() == inputs(1, tmp_path).tuned
    return made


def test_an_update_moves_the_adapter_and_not_the_weights(fleet: Fleet) -> None:
    newer = inputs(2, fleet.scratch)
    fleet.release(2, newer)
    fleet.site.sync()  # metadata and a bundle
    assert fleet.tuned() == newer.tuned
    newest = inputs(3, fleet.scratch)
    fleet.release(3, newest)
    result = fleet.site.sync()
    assert (fleet.tuned(), result.rebuilt_blobs) == (newest.tuned, 1)
    assert result.fetched_bytes < len(newest.adapter) + 40_000 < len(newest.tuned)
    assert status(fleet.site.state).last_sync.fallbacks == ()
    tidy(fleet.site)


def test_the_base_stays_as_long_as_something_is_derived_of_it(fleet: Fleet) -> None:
    base = digest_of(inputs(1, fleet.scratch).base)
    assert base in load_active(fleet.site.state).inputs
    for version in (2, 3):
        fleet.release(version, inputs(version, fleet.scratch))
        fleet.site.sync()
        assert fleet.site.state.joinpath("blobs/sha256", base.removeprefix("sha256:")).exists()
    for version in (4, 5):  # the version before is kept, and with it what it is made of
        fleet.site.repository.add_bundle(str(version))
        fleet.site.repository.release(version)
        fleet.site.sync()
    assert load_active(fleet.site.state).inputs == ()
    assert not fleet.site.state.joinpath("blobs/sha256", base.removeprefix("sha256:")).exists()


def test_a_base_that_does_not_pay_is_not_fetched(station: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimes.sync.shortcuts.PATIENCE", 1.5)
    fleet, made = Fleet(station, tmp_path), inputs(1, tmp_path)
    fleet.release(1, made)
    assert station.sync().rebuilt_blobs == 0
    assert (fleet.tuned(), load_active(station.state).inputs) == (made.tuned, ())


def test_a_base_for_several_workflows_is_fetched_once(station: Any, tmp_path: Path) -> None:
    fleet, repository = Fleet(station, tmp_path), station.repository
    derivations, versions = [], {}
    for seed, workflow in enumerate(("exception_triage", "intake", "returns")):
        made = versions[workflow] = inputs(seed, tmp_path)
        repository.add_bundle(workflow=workflow, files={**repository.files("a", workflow), "tuned.bin": made.tuned})
        parts = {
            name: repository.blob(raw, kind)
            for name, raw, kind in (
                ("plan", made.plan, PLAN_TYPE), ("base", made.base, BASE_TYPE), ("adapter", made.adapter, ADAPTER_TYPE),
            )
        }  # fmt: skip
        target = Content(digest=digest_of(made.tuned), size=len(made.tuned))
        derivations.append(Derivation(target=target, **parts))
    repository.release(1, updates=repository.blob(dump(Updates(derivations=tuple(derivations))), UPDATES_TYPE))
    assert station.sync().rebuilt_blobs == 3
    for workflow, made in versions.items():
        assert fleet.tuned(workflow) == made.tuned


def test_a_base_that_has_no_room_is_not_fetched(station: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet, made = Fleet(station, tmp_path), inputs(1, tmp_path)
    monkeypatch.setattr("runtimes.sync.shortcuts.PATIENCE", 4)
    monkeypatch.setattr("runtimes.sync.blobs.Blobs.room", lambda self: len(made.tuned) + len(made.base))
    fleet.release(1, made)
    assert station.sync().rebuilt_blobs == 0
    assert (fleet.tuned(), load_active(station.state).inputs) == (made.tuned, ())


def garbled(raw: bytes) -> bytes:
    return random.Random(1).randbytes(len(raw))


ODD: dict[str, tuple[Callable[[Inputs], Inputs], str]] = {
    "adapter of another version": (lambda one: replace(one, adapter=OTHER["adapter"]), "not what the publisher signed"),
    "garbled adapter": (lambda one: replace(one, adapter=garbled(one.adapter)), "could not be derived"),
    "garbled base": (lambda one: replace(one, base=garbled(one.base)), "could not be derived"),
    "cut base": (lambda one: replace(one, base=one.base[:-100]), "could not be derived"),
    "no plan": (lambda one: replace(one, plan=b"{}"), "its plan"),
    "a rule from the future": (
        lambda one: replace(one, plan=one.plan.replace(b"int8-channel-v1", b"int3-channel-v9")), "its plan: rule",
    ),
    "a plan that makes too much": (
        lambda one: replace(one, plan=dump(Plan(pieces=(*PLAN.pieces, Piece(kind="zeros", count=10**12))))), "more than",
    ),
    "a plan that makes too little": (
        lambda one: replace(one, plan=dump(Plan(pieces=PLAN.pieces[:1]))), "not what the publisher signed",
    ),
}  # fmt: skip
OTHER: dict[str, bytes] = {}


@pytest.mark.parametrize("what", sorted(ODD))
def test_an_odd_derivation_costs_only_what_it_saved(fleet: Fleet, what: str) -> None:
    OTHER["adapter"] = inputs(9, fleet.scratch).adapter
    lie, reason = ODD[what]
    newer = inputs(2, fleet.scratch)
    fleet.release(2, newer, lie(newer))
    result = fleet.site.sync()
    assert (fleet.tuned(), result.rebuilt_blobs) == (newer.tuned, 0)
    assert any(reason in one for one in status(fleet.site.state).last_sync.fallbacks)
    tidy(fleet.site)


@pytest.mark.parametrize("part", ["plan", "adapter"])
def test_an_input_that_is_not_published_costs_only_what_it_saved(fleet: Fleet, part: str) -> None:
    newer = replace(inputs(2, fleet.scratch), plan=dump(Plan(pieces=(*PLAN.pieces, Piece(kind="zeros")))))
    fleet.withheld = {part}
    fleet.release(2, newer)
    fleet.site.sync()
    assert fleet.tuned() == newer.tuned
    assert any("has no blobs" in one for one in status(fleet.site.state).last_sync.fallbacks)


def test_a_base_that_rotted_here_is_fetched_again(fleet: Fleet) -> None:
    newer = inputs(2, fleet.scratch)
    fleet.release(2, newer)
    base = fleet.site.state / "blobs/sha256" / digest_of(newer.base).removeprefix("sha256:")
    base.unlink()
    base.write_bytes(bytes(len(newer.base)))
    assert fleet.site.sync().rebuilt_blobs == 1
    assert fleet.tuned() == newer.tuned


@pytest.mark.integration
def test_killed_at_every_change_of_an_update_by_derivation(fleet: Fleet, tmp_path: Path) -> None:
    older, newer = inputs(1, fleet.scratch), inputs(2, fleet.scratch)
    fleet.release(2, newer)
    shutil.copytree(fleet.site.state, tmp_path / "image", symlinks=True)
    for at in range(1, 1000):
        restore(fleet.site)
        ended = in_child(fleet.site, kill, at)
        if os.WIFEXITED(ended):
            assert os.WEXITSTATUS(ended) == 0
            break
        assert os.WTERMSIG(ended) == signal.SIGKILL
        assert fleet.tuned() in (older.tuned, newer.tuned)
        fleet.site.sync()
        assert fleet.tuned() == newer.tuned
        tidy(fleet.site)
        assert not list((fleet.site.state / "blobs/sha256").glob("*.*"))
    assert at > 40
