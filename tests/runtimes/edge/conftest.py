"""A site, and a line to a real centre that can be told to misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fleet_manifests import UnreachableError
from runtimes import tokens
from runtimes.central.service import Centre
from runtimes.deferrals import CentralAnswer, Deferral
from runtimes.edge.service import TOKEN_FILE, Site
from runtimes.problems import ForbiddenError, UnauthorizedError


class SimulatedLine:
    """The line to a real centre, without HTTP. `mode`: up, down, or lost (the answer never arrives)."""

    def __init__(self, centre: Centre) -> None:
        self.centre, self.mode, self.token = centre, "up", centre.store.new_token("store-017")
        self.sent: list[Deferral] = []

    def send(self, deferral: Deferral, *, seconds: float) -> CentralAnswer:
        self._pass()
        self.sent.append(deferral)
        answer = self.centre.take(Deferral.model_validate_json(deferral.model_dump_json()))
        if self.mode == "lost":
            raise UnreachableError("central: the connection broke before the answer came")
        return answer

    def answer(self, site: str, request_id: str, *, seconds: float) -> CentralAnswer:
        self._pass()
        found = self.centre.store.find(site, request_id)
        assert found is not None
        return found

    def close(self) -> None:
        pass

    def _pass(self) -> None:
        if self.mode == "down":
            raise UnreachableError("central: connection refused")
        site = self.centre.store.site_of(self.token)
        if site is None:
            raise UnauthorizedError("central: status 401")
        if site != "store-017":
            raise ForbiddenError("central: status 403")


@pytest.fixture
def line(centre: Centre) -> SimulatedLine:
    return SimulatedLine(centre)


@pytest.fixture
def make_site(tree: Any, line: SimulatedLine) -> Iterator[Callable[..., Site]]:
    """Makes the core of a site with a token for the simulated centre."""
    made: list[Site] = []

    def make(**changes: Any) -> Site:
        tokens.write(tree.state / TOKEN_FILE, line.token)
        site = Site(tree.state, connect=lambda url, token: line, **changes)
        made.append(site)
        return site

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(tree: Any, make_site: Callable[..., Site]) -> Site:
    """A site with one workflow that answers from confidence 0.8 on, and a centre."""
    tree.activate(1, central="https://central.example")
    return make_site()
