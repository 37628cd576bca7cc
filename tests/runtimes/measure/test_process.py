from __future__ import annotations

import threading
from pathlib import Path

import pytest

from runtimes.measure.process import alone

pytestmark = pytest.mark.unit


def test_two_measurements_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    order: list[str] = []

    def second() -> None:
        with alone():
            order.append("second")

    with alone():
        other = threading.Thread(target=second)
        other.start()
        other.join(timeout=0.3)
        assert other.is_alive()
        order.append("first")
    other.join(timeout=10)
    assert order == ["first", "second"]
