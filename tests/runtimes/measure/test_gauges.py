from __future__ import annotations

from pathlib import Path

import pytest

from runtimes.measure.gauges import energy_uj, joules_between, peak_rss_mb, reference_kernel, waited_seconds
from runtimes.measure.limits import hold_memory

pytestmark = pytest.mark.unit


def zone(root: Path, name: str, counter: str, wraps: str = "1000000") -> None:
    (root / name).mkdir(parents=True)
    (root / name / "energy_uj").write_text(counter + "\n")
    (root / name / "max_energy_range_uj").write_text(wraps + "\n")


def test_energy_is_that_of_all_packages(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "100")
    zone(tmp_path, "intel-rapl:1", "7")
    zone(tmp_path, "intel-rapl:0:0", "60")
    assert energy_uj(tmp_path) == {"intel-rapl:0": (100, 1_000_000), "intel-rapl:1": (7, 1_000_000)}


def test_a_machine_that_does_not_tell(tmp_path: Path) -> None:
    assert energy_uj(tmp_path / "absent") is None
    assert energy_uj(tmp_path) is None
    zone(tmp_path, "intel-rapl:0", "not a number")
    assert energy_uj(tmp_path) is None


def test_a_counter_may_wrap_once() -> None:
    before, after = {"a": (900_000, 1_000_000), "b": (0, 1_000_000)}, {"a": (100_000, 0), "b": (300_000, 0)}
    assert joules_between(before, after) == pytest.approx((200_000 + 300_000) / 1e6)


def test_the_machine_under_us() -> None:
    assert 1 < peak_rss_mb() < 100_000
    assert 0 < reference_kernel() < 1
    assert waited_seconds() is None or waited_seconds() >= 0  # type: ignore[operator]


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: seen.append(limits))
    return seen


def group(tmp_path: Path, text: str = "0::/user/session\n") -> tuple[Path, Path]:
    (tmp_path / "fs/user/session").mkdir(parents=True)
    (tmp_path / "own").write_text(text)
    return tmp_path / "fs", tmp_path / "own"


def test_a_control_group_where_one_may_be_made(tmp_path: Path, limited: list[tuple[int, int]]) -> None:
    root, own = group(tmp_path)
    (root / "user/session/lading-1").mkdir()
    assert hold_memory(256, 2048, root, own) == "cgroup"
    (made,) = (root / "user/session").iterdir()
    assert (made / "memory.max").read_text() == f"{256 * 2**20}"
    assert (made / "cgroup.procs").read_text().isdigit()
    assert limited == []


@pytest.mark.parametrize("text", ["0::/gone\n", "12:memory:/user\n0::/x\n", ""])
def test_a_limit_of_its_own_elsewhere(tmp_path: Path, text: str, limited: list[tuple[int, int]]) -> None:
    root, own = group(tmp_path, text or "0::/gone")
    assert hold_memory(256, 2048, root, own) == "rlimit"
    assert limited == [(2048 * 2**20, 2048 * 2**20)]


def test_without_a_profile_the_guard_alone(tmp_path: Path, limited: list[tuple[int, int]]) -> None:
    root, own = group(tmp_path)
    assert hold_memory(None, 512, root, own) == "rlimit"
    assert list((root / "user/session").iterdir()) == []
