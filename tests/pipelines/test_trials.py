"""What a recipe search makes and keeps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest

from fleet_manifests import HardwareProfile, IsaClass, LatencyObjective, MissingExtraError
from pipelines.steps.configs import versions
from pipelines.steps.trials import Inputs, Trials
from pipelines.store import Entry
from quantize import RECIPES

pytestmark = pytest.mark.unit
PROFILE = HardwareProfile(
    name="edge", isa=IsaClass.AVX512_VNNI, latency=LatencyObjective(milliseconds=40), recipes=("openvino-int8",)
)


def test_a_missing_library_is_said_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project here has no store, so that whoever asks it for one fails otherwise."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    nothing = Entry(Path("nowhere"), "sha256:0", "0", 0.0, reused=False)
    tried = Trials(cast(Any, None), "triage", PROFILE, Inputs(nothing, nothing, nothing))
    with pytest.raises(MissingExtraError, match="openvino is needed and not installed"):
        tried.build(RECIPES["openvino-int8"])


def test_what_is_not_installed_is_part_of_a_key() -> None:
    """A search is done again when the extra of one of its recipes comes or changes."""
    found = versions(["onnxruntime", "no-such-library-here"])
    assert found["no-such-library-here"] is None
    assert found["onnxruntime"]
