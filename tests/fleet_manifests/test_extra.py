"""What is needed beyond the base install."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from fleet_manifests import MissingExtraError
from fleet_manifests.extra import library, need_libraries

pytestmark = pytest.mark.unit


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtraError, match=r"^openvino is needed and not installed; .*'lading\[openvino\]'$"):
        library("openvino")
    with pytest.raises(MissingExtraError, match=r"^nncf is needed .*'lading\[openvino-factory\]'$"):
        need_libraries(["nncf", "openvino"])
    need_libraries([])


def test_a_library_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "openvino.py").write_text("raise ImportError('libtbb.so.12: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    with pytest.raises(
        MissingExtraError, match=r"openvino cannot be loaded: libtbb.* install 'lading\[openvino\]' again"
    ):
        library("openvino")


def test_its_telemetry_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """OpenVINO and NNCF report as soon as they are imported, where that module is found."""
    (tmp_path / "openvino_telemetry.py").write_text("")
    (tmp_path / "openvino.py").write_text(
        "try:\n    import openvino_telemetry\n    heard = True\nexcept ImportError:\n    heard = False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("openvino", "openvino_telemetry"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    found = library("openvino")
    assert isinstance(found, ModuleType)
    assert found.heard is False
    monkeypatch.delitem(sys.modules, "openvino")
