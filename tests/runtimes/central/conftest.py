"""Deferrals as a site would send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtimes.deferrals import Deferral


@pytest.fixture
def deferral() -> Callable[..., Deferral]:
    """Makes a deferral; by default one that the centre's bundle can answer."""

    def make(request_id: str = "r1", **changes: Any) -> Deferral:
        fields = {
            "site": "store-017", "id": request_id, "workflow": "exception_triage", "asked": "2026-01-01T00:00:00Z",
            "text": "short and damage both", "reason": "confidence 0.491 is below the threshold 0.800",
            "opinion": {"label": "damage", "confidence": 0.491}, "seq": 1, "chain": "0" * 64,
            "produced_by": {"where": "edge", "bundle": "sha256:" + "1" * 64, "manifest_version": 1},
        }  # fmt: skip
        return Deferral.model_validate(fields | changes)

    return make
