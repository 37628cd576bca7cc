"""Ceremonies whose holders are never in one place: from two separate key stores to a site that works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from fleet_manifests import IntegrityError, RefusedError, StorageError, UsageError
from release import Keys
from release.keys import ROOT_KEYS, TARGETS_KEYS
from release.pending import FOLDER, NOTE_FILE
from release.turns import NAME
from tests.release.ceremonies import Fleet, Site

pytestmark = pytest.mark.unit


def pending(fleet: Fleet) -> Path:
    return fleet.public.parent / FOLDER / NAME


def begin(fleet: Fleet, *names: str, number: int = 1, **more: Any) -> tuple[str, ...]:
    """The part of the first holder; a key whose medium is not here is made on its own before, by whoever has it."""
    for name in names:
        if name in (*ROOT_KEYS, *TARGETS_KEYS) and int(name[-1]) != number:
            fleet.hold(fleet.in_turns(int(name[-1])).successor(name))
    return fleet.hold(fleet.in_turns(number, actor="alice").replace(names, reason="a test", **more))


def end(fleet: Fleet, *numbers: int) -> tuple[str, ...]:
    """The part of a further holder."""
    return fleet.hold(fleet.in_turns(*numbers, actor="bob").sign())


def works(fleet: Fleet, site: Site, builder: Any) -> None:
    """A site that knows the first root follows, and takes an ordinary release."""
    builder.keys, builder.taken = fleet.keys, fleet.clock()
    candidate, workflows = builder.candidate(content="after"), {"triage": builder.entry()}
    fleet.release.promote("canary", [candidate], workflows)
    fleet.release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    assert site.sync().changed
    assert site.runs[2] == builder.digest(candidate)


@pytest.mark.parametrize(
    "names",
    [("root-1",), ("root-3",), ROOT_KEYS, ("targets-1",), ("targets-3",), TARGETS_KEYS, ("online",), ("builder",)],
    ids=str,
)
def test_two_holders_who_never_meet_replace(fleet: Fleet, builder: Any, site: Site, names: tuple[str, ...]) -> None:
    before = {name: fleet.keys[name].public.keyid for name in names}
    root, runs = fleet.version("root"), site.runs
    told = begin(fleet, *names, withdraw=False)
    assert any("more of the" in line for line in told)
    assert fleet.version("root") == root, "nothing is published"
    site.sync()
    assert site.runs == runs
    assert "published: all have signed" in end(fleet, 2)
    assert not pending(fleet).exists()
    after = {name: fleet.keys[name].public.keyid for name in names}
    assert set(before.values()).isdisjoint(after.values())
    assert fleet.release.repository.adopted
    works(fleet, site, builder)
    said = [entry.action for entry in fleet.release.desk.log.entries()]
    title = ", ".join(names)
    assert said.index(f"ceremony propose replace {title}") < said.index(f"ceremony sign replace {title}")
    assert said.index(f"ceremony sign replace {title}") < said.index(f"ceremony replace {title}")


def test_two_holders_renew(fleet: Fleet, builder: Any, site: Site, clock: Any) -> None:
    clock.forward(days=150)
    root, targets = fleet.version("root"), fleet.version("targets")
    fleet.hold(fleet.in_turns(1, actor="alice").renew())
    end(fleet, 3)
    assert (fleet.version("root"), fleet.version("targets")) == (root + 1, targets + 1)
    works(fleet, site, builder)


def test_two_holders_adopt_other_managers(fleet: Fleet, builder: Any, site: Site) -> None:
    fleet.policy = fleet.policy.model_copy(update={"managers": ("alice", "bob", "dora")})
    fleet.hold(fleet.in_turns(2, actor="alice").adopt(reason="Dora follows Carol"))
    assert not fleet.release.repository.adopted
    end(fleet, 1)
    assert fleet.release.repository.adopted
    works(fleet, site, builder)


def test_a_lost_root_key_is_replaced_on_a_new_medium(fleet: Fleet, builder: Any, site: Site) -> None:
    shutil.rmtree(fleet.media[2])
    with pytest.raises(UsageError, match="root-3.next: is not made yet.*ceremony successor root-3 --keys MEDIUM"):
        fleet.in_turns(1).replace(["root-3"], reason="lost")
    fleet.hold(fleet.in_turns(4).successor("root-3"))
    fleet.hold(fleet.in_turns(1).replace(["root-3"], reason="lost"))
    end(fleet, 2)
    works(fleet, site, builder)
    fleet.hold(fleet.ceremonies([*fleet.media[:2], fleet.folder / "medium-4"]).renew())
    assert Keys(fleet.folder / "medium-4")["root-3"].public.keyid == fleet.keys["root-3"].public.keyid


def test_a_medium_that_was_away_takes_its_names_when_it_is_back(fleet: Fleet) -> None:
    begin(fleet, *ROOT_KEYS)
    end(fleet, 2)
    old = Keys(fleet.media[2])["root-3"].public.keyid
    assert (fleet.media[2] / "root-3.next.pem").exists()
    fleet.hold(fleet.ceremonies([fleet.media[0], fleet.media[2]]).renew())
    for number, name in enumerate(ROOT_KEYS):
        if number != 1:
            assert Keys(fleet.media[number])[name].public.keyid == fleet.keys[name].public.keyid
            assert not (fleet.media[number] / f"{name}.next.pem").exists()
    assert (fleet.media[2] / f"retired-root-3-{old[:8]}.pem").exists()


def test_a_holder_is_shown_what_changes(fleet: Fleet) -> None:
    """By comparing the documents, not by what the first holder said."""
    old = fleet.keys["root-3"].public.keyid
    begin(fleet, "root-3")
    fresh = fleet.keys["root-3.next"].public.keyid
    shown = "\n".join(fleet.in_turns(2).sign().will)
    assert "replace root-3, begun by alice on" in shown
    assert f"root: root-3 (key {old[:12]}) signs root no more" in shown
    assert f"root: root-3.next (key {fresh[:12]}) signs root from now on" in shown
    assert "root: version 1 to 2, valid until" in shown
    assert "signed so far: root-1" in shown
    assert "sign that with root-2" in shown


def test_a_key_that_stays_counts_before_and_after(fleet: Fleet, builder: Any, site: Site) -> None:
    """Two root keys are replaced; one who has neither begins."""
    begin(fleet, "root-2", "root-3")
    document = Metadata[Any].from_file(str(pending(fleet) / "root.json"))
    assert len(document.signatures) == 1
    assert "published: all have signed" in end(fleet, 3)
    works(fleet, site, builder)


# who may not


def test_the_same_holder_twice(fleet: Fleet) -> None:
    begin(fleet, "online")
    with pytest.raises(RefusedError, match="every key at hand has signed this already; another holder has to: 1 more"):
        fleet.in_turns(1).sign()
    assert fleet.version("root") == 1


def test_one_who_is_no_holder(fleet: Fleet, tmp_path: Path) -> None:
    begin(fleet, "online")
    for name in ("root-2", "targets-2"):  # keys of these names, but of nobody's
        Keys(fleet.folder / "medium-9").ensure([name])
    for numbers in ((), (9,)):
        with pytest.raises(
            RefusedError, match="no key at hand is one of those that sign this: 1 more of the root keys"
        ):
            fleet.in_turns(*numbers).sign()


def test_one_who_is_no_holder_begins_nothing(fleet: Fleet) -> None:
    with pytest.raises(RefusedError, match="no key at hand is one of those"):
        fleet.hold(fleet.in_turns().replace(["online"], reason="a test"))
    assert not pending(fleet).exists()


def test_a_forged_signature_counts_for_nothing(fleet: Fleet) -> None:
    begin(fleet, "online")
    for role, key in (("root", "root-2"), ("targets", "targets-2")):
        path = pending(fleet) / f"{role}.json"
        document = json.loads(path.read_text())
        document["signatures"].append({"keyid": fleet.keys[key].public.keyid, "sig": "00" * 70})
        path.write_text(json.dumps(document))
    with pytest.raises(RefusedError, match="another holder has to: 1 more of the root keys before"):
        fleet.in_turns(1).sign()
    assert "published: all have signed" in end(fleet, 2), "whose key it is signs over it"


def test_nothing_is_pending(fleet: Fleet) -> None:
    with pytest.raises(RefusedError, match="no ceremony is pending; begin one with --in-turns"):
        fleet.in_turns(1).sign()
    with pytest.raises(RefusedError, match="no ceremony is pending"):
        fleet.in_turns(1).reject(reason="a test")


def test_one_at_a_time_and_rejected(fleet: Fleet, builder: Any, site: Site) -> None:
    begin(fleet, "root-3")
    with pytest.raises(RefusedError, match="replace root-3: is pending already, begun by alice"):
        fleet.in_turns(2).renew()
    with pytest.raises(UsageError, match="say why"):
        fleet.in_turns(2).reject(reason=" ")
    fleet.hold(fleet.in_turns(actor="bob").reject(reason="the medium was found"))
    last = fleet.release.desk.log.entries()[-1]
    assert (last.actor, last.action, last.reason) == ("bob", "ceremony reject", "the medium was found")
    fleet.hold(fleet.in_turns(2).renew())
    end(fleet, 1)
    works(fleet, site, builder)


# something changed meanwhile


def test_an_ordinary_release_meanwhile_does_no_harm(fleet: Fleet, builder: Any, site: Site) -> None:
    begin(fleet, "online")
    works(fleet, site, builder)
    fleet.release.refresh()
    assert "published: all have signed" in end(fleet, 2)
    site.sync()


def test_another_ceremony_meanwhile(fleet: Fleet) -> None:
    begin(fleet, "root-3")
    fleet.hold(fleet.ceremonies().renew())
    with pytest.raises(RefusedError, match="something changed meanwhile"):
        fleet.in_turns(2).sign()


def test_another_policy_meanwhile(fleet: Fleet) -> None:
    fleet.policy = fleet.policy.model_copy(update={"managers": ("alice", "bob", "dora")})
    fleet.hold(fleet.in_turns(1).adopt(reason="Dora follows Carol"))
    fleet.policy = fleet.policy.model_copy(update={"managers": ("alice", "bob")})
    with pytest.raises(RefusedError, match="something changed meanwhile"):
        fleet.in_turns(2).sign()


def test_another_successor_meanwhile(fleet: Fleet) -> None:
    begin(fleet, "root-3")
    (fleet.media[2] / "root-3.next.pem").unlink()
    (fleet.store / "root-3.next.pub").unlink()
    fleet.hold(fleet.in_turns(3).successor("root-3"))
    with pytest.raises(RefusedError, match="something changed meanwhile"):
        fleet.in_turns(2).sign()


def _thiefs_root(document: dict[str, Any]) -> None:
    document["signed"]["roles"]["root"]["threshold"] = 1


def _for_ever(document: dict[str, Any]) -> None:
    document["signed"]["expires"] = "2099-01-01T00:00:00Z"


@pytest.mark.parametrize("alter", [_thiefs_root, _for_ever], ids=["threshold", "expires"])
def test_an_altered_document_is_signed_by_nobody(fleet: Fleet, alter: Callable[[dict[str, Any]], None]) -> None:
    """The one who begins, or who can write there, cannot have the others sign something else."""
    begin(fleet, "root-3")
    path = pending(fleet) / "root.json"
    document = json.loads(path.read_text())
    alter(document)
    path.write_text(json.dumps(document))
    with pytest.raises(RefusedError, match="or the pending documents were altered"):
        fleet.in_turns(2).sign()


def test_an_altered_note_is_signed_by_nobody(fleet: Fleet) -> None:
    begin(fleet, "root-3")
    path = pending(fleet) / NOTE_FILE
    path.write_text(path.read_text().replace("root-3", "root-2"))
    with pytest.raises(UsageError, match="root-2"):
        fleet.in_turns(2).sign()


@pytest.mark.parametrize("damage", ["{", "", "[]", '{"signed": {}}'])
def test_a_damaged_document_can_only_be_rejected(fleet: Fleet, damage: str) -> None:
    begin(fleet, "online")
    (pending(fleet) / "targets.json").write_text(damage)
    with pytest.raises(IntegrityError, match="cannot be read: .*ceremony reject"):
        fleet.in_turns(2).sign()
    fleet.hold(fleet.in_turns().reject(reason="damaged"))
    assert not pending(fleet).exists()


def test_what_waited_too_long(fleet: Fleet, clock: Any) -> None:
    begin(fleet, "online")
    clock.forward(days=95)
    fleet.release.refresh()
    with pytest.raises(RefusedError, match="role targets would be valid for less than half of its term"):
        fleet.in_turns(2).sign()


def test_what_is_dated_ahead(fleet: Fleet, clock: Any) -> None:
    """A date to come would give a root a longer term."""
    begin(fleet, "root-3")
    clock.moment -= timedelta(days=1)
    with pytest.raises(RefusedError, match="which is to come; set the clock right"):
        fleet.in_turns(2).sign()


def test_another_one_than_was_shown(fleet: Fleet) -> None:
    begin(fleet, "root-3")
    shown = fleet.in_turns(2).sign()
    fleet.hold(fleet.in_turns().reject(reason="a test"))
    fleet.hold(fleet.in_turns(1).renew())
    with pytest.raises(RefusedError, match="another one is pending now than was shown"):
        shown.run()
    document = Metadata[Any].from_file(str(pending(fleet) / "root.json"))
    assert len(document.signatures) == 1


# broken off


def test_broken_off_after_the_publication(fleet: Fleet, builder: Any, site: Site, monkeypatch: Any) -> None:
    begin(fleet, "root-3")

    def full(*args: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("release.pending.drop", full)
        with pytest.raises(StorageError):
            end(fleet, 2)
    assert fleet.version("root") == 2
    assert "end what was published" in fleet.in_turns().sign().will[0]
    end(fleet)
    assert not pending(fleet).exists()
    assert fleet.version("root") == 2
    works(fleet, site, builder)


@pytest.mark.parametrize("name", ["online", "targets-3"])
def test_broken_off_between_the_two_publications(
    fleet: Fleet, builder: Any, site: Site, monkeypatch: Any, name: str
) -> None:
    """Timestamp or targets hold under either root; the second run needs no medium, since all have signed."""
    begin(fleet, name)

    def dying(self: Any, *args: Any, **kwargs: Any) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("release.substitution.Substitution.change", _once(dying))
        with pytest.raises(StorageError):
            end(fleet, 2)
    site.sync()
    assert fleet.version("root") == 1
    end(fleet)
    assert fleet.version("root") == 2
    works(fleet, site, builder)


def _once(dying: Callable[..., None]) -> Callable[..., None]:
    """The first time as it is (what is to be signed is composed); then dying."""
    from release.substitution import Substitution

    real, calls = Substitution.change, iter(range(10))

    def change(self: Any, *args: Any, **kwargs: Any) -> None:
        (real if next(calls) == 0 else dying)(self, *args, **kwargs)

    return change
