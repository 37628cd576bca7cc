"""Bytes as a file in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet_manifests.memory_file import memory_file

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("raw", [b"", b"a key", b"\0" * (5 << 20)])
def test_it_reads_as_the_bytes_as_often_as_it_is_opened(raw: bytes) -> None:
    with memory_file(raw) as path:
        assert path.read_bytes() == raw
        assert path.read_bytes() == raw
        with memory_file(b"another") as other:
            assert (other.read_bytes(), path.read_bytes()) == (b"another", raw)


def test_it_is_gone_afterwards() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ValueError, match="in between"), memory_file(b"a key") as path:
        raise ValueError("in between")
    assert not path.exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
