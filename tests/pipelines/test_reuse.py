"""The steps that `lading build` tries are those of its runs."""

from __future__ import annotations

import pytest

from pipelines.cli.plans import BUILDS, EMULATED, MODELS, PACKS, PAGES, TIMES
from pipelines.steps.reuse import OF_BUILD, OF_WORKFLOW

pytestmark = pytest.mark.unit


def test_every_asset_of_a_partition_has_its_step() -> None:
    assert tuple(OF_WORKFLOW) == MODELS
    assert tuple(OF_BUILD) == (*BUILDS, *PACKS, *TIMES, *EMULATED, *PAGES)
