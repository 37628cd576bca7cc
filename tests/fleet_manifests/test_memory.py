"""Memory goes back when a block ends, whatever holds what."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pytest

from fleet_manifests.memory import lent

pytestmark = pytest.mark.unit


class Node:
    """May be part of a circle."""

    def __init__(self) -> None:
        self.other: Node | None = None


def circle() -> weakref.ref[Node]:
    """Two objects that hold each other and that nobody else holds."""
    one, two = Node(), Node()
    one.other, two.other = two, one
    return weakref.ref(one)


@pytest.fixture(autouse=True)
def _no_collector() -> object:
    gc.disable()
    yield
    gc.enable()


def test_circles_of_a_block_are_gone_after_it() -> None:
    with lent():
        inside = circle()
        assert inside() is not None
    assert inside() is None


def test_what_was_there_before_is_not_searched_and_not_lost_to_the_collector() -> None:
    before = circle()
    with lent():
        pass
    assert before() is not None
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert before() is None


def test_blocks_in_each_other_search_what_the_outermost_made() -> None:
    before = circle()
    with lent():
        frozen = gc.get_freeze_count()
        with lent():
            inside = circle()
        assert inside() is None
        assert gc.get_freeze_count() == frozen, "what was there before is still left out"
        between = circle()
    assert between() is None
    assert before() is not None and gc.get_freeze_count() == 0


def test_a_block_that_fails_gives_back_as_well() -> None:
    found: list[weakref.ref[Node]] = []
    with pytest.raises(ValueError, match="broken"), lent():
        found.append(circle())
        raise ValueError("broken")
    assert found[0]() is None
    assert gc.get_freeze_count() == 0


IN_MANY_PIECES = """
import psutil
from fleet_manifests.memory import give_back
pieces = [bytes(50_000) for _ in range(4000)]
kept, full = pieces[::40], psutil.Process().memory_info().rss
del pieces
give_back()
assert len(kept) == 100
print(full - psutil.Process().memory_info().rss)
"""


def test_freed_memory_in_many_pieces_returns_to_the_system() -> None:
    """In a process of its own: here earlier tests have left holes that the pieces fill."""
    done = subprocess.run([sys.executable, "-c", IN_MANY_PIECES], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100 * 2**20
