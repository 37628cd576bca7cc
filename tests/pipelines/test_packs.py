"""Which passages and questions a pack of a class of sites has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from evals.questions import Question
from fleet_manifests import DataClass, Passage
from pipelines.project.load import Project
from pipelines.project.spec import SiteSpec
from pipelines.steps.packs import askable, in_scope, site_classes

pytestmark = pytest.mark.unit
INTERNAL, CUSTOMER = DataClass.INTERNAL, DataClass.CUSTOMER
ALL = frozenset(DataClass)


def passage(id_: str, *classes: str, data_class: DataClass = INTERNAL) -> Passage:
    return Passage(id=id_, document="D", title="T", text="x", site_classes=classes, data_class=data_class)


LIBRARY = (
    passage("everywhere"),
    passage("warehouses", "warehouse"),
    passage("branches", "branch"),
    passage("customers", "warehouse", data_class=CUSTOMER),
)


def ids(found: tuple[Passage, ...]) -> list[str]:
    return [one.id for one in found]


def test_a_site_class_has_its_own_passages_and_those_for_everyone() -> None:
    assert ids(in_scope(LIBRARY, "warehouse", ALL, everywhere=False)) == ["everywhere", "warehouses", "customers"]
    assert ids(in_scope(LIBRARY, "branch", ALL, everywhere=False)) == ["everywhere", "branches"]
    assert ids(in_scope(LIBRARY, "depot", ALL, everywhere=False)) == ["everywhere"]


def test_a_data_class_that_may_not_be_there_is_not() -> None:
    assert ids(in_scope(LIBRARY, "warehouse", frozenset({INTERNAL}), everywhere=False)) == ["everywhere", "warehouses"]


def test_the_centre_has_the_passages_of_every_class() -> None:
    assert len(in_scope(LIBRARY, "centre", ALL, everywhere=True)) == 4


def project(*sites: dict[str, Any], allowed: frozenset[DataClass] = ALL) -> Project:
    specs = tuple(SiteSpec.model_validate({"site": f"s{n}", **site}) for n, site in enumerate(sites))
    profiles = {"edge": SimpleNamespace(kind="edge"), "central": SimpleNamespace(kind="central")}
    made = SimpleNamespace(
        profile=profiles.__getitem__,
        fleet=SimpleNamespace(sites=specs),
        settings=SimpleNamespace(allowed_at_sites=allowed),
    )
    return cast(Project, made)


def test_a_pack_holds_only_what_every_site_of_its_class_may_hold() -> None:
    found = site_classes(
        project(
            {"site_class": "warehouse", "data_classes": ["internal", "customer"]},
            {"site_class": "warehouse", "data_classes": ["internal"]},
            {"site_class": "branch", "data_classes": ["internal", "customer"]},
        ),
        "edge",
    )
    assert found == {"branch": frozenset({INTERNAL, CUSTOMER}), "warehouse": frozenset({INTERNAL})}


def test_what_no_site_may_hold_is_in_no_pack() -> None:
    found = site_classes(project({"site_class": "branch"}, allowed=frozenset({INTERNAL})), "edge")
    assert found == {"branch": frozenset({INTERNAL})}


def test_a_profile_is_for_sites_of_its_kind_and_those_that_name_it() -> None:
    fleet = project(
        {"site_class": "centre", "kind": "central"},
        {"site_class": "branch", "profile": "other"},
        {"site_class": "warehouse", "profile": "edge"},
    )
    assert list(site_classes(fleet, "edge")) == ["warehouse"]
    assert list(site_classes(fleet, "central")) == ["centre"]


def question(id_: str, *relevant: str) -> Question:
    return Question(id=id_, text="?", relevant=relevant)


def test_questions_are_asked_where_their_passages_are() -> None:
    scope = in_scope(LIBRARY, "branch", ALL, everywhere=False)
    asked, lost = askable(
        [question("q1", "everywhere"), question("q2", "warehouses"), question("q3", "removed", "branches"),
         question("q4", "removed")],
        scope,
        everything=LIBRARY,
    )  # fmt: skip
    assert [(one.id, one.relevant) for one in asked] == [("q1", ("everywhere",)), ("q3", ("branches",))]
    assert lost == ("q4",), "its passage is nowhere any more; that of q2 is only for others"
