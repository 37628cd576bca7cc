from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import BaseRef, BundleConfig, IntegrityError, IsaClass, Task, dump
from fleet_manifests.bundle import BUNDLE_FILE
from runtimes.engine import load_any
from runtimes.measure.outputs import job, outputs, pack, unpack

pytestmark = pytest.mark.unit
TEXTS = {"test": ["short two", "late again"], "oos_test": ["hello"]}
WIDTH = {"test": 2, "oos_test": 1}
ANY = "sha256:" + "0" * 64


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    config = BundleConfig(
        workflow="exception_triage", task=Task.CLASSIFY, profile="edge-test", isa=IsaClass.X86_64, recipe="fp32",
        max_tokens=16, labels=("damage", "late", "short"),
        base=BaseRef(name="tiny", revision="1", digest=ANY, licence="Apache-2.0"), data_card=ANY,
    )  # fmt: skip
    (folder / BUNDLE_FILE).write_bytes(dump(config))
    return folder


def test_outputs_are_the_engines(bundle: Path) -> None:
    found = outputs(bundle, TEXTS)
    assert {split: rows.shape for split, rows in found.items()} == {"test": (2, 3), "oos_test": (1, 3)}
    np.testing.assert_array_equal(found["test"], load_any(bundle).outputs(TEXTS["test"]))


@pytest.mark.integration
def test_the_process_gives_the_same_and_nothing_else_on_its_output(bundle: Path) -> None:
    command = [sys.executable, "-m", "runtimes.measure.outputs"]
    done = subprocess.run(command, input=job(bundle, TEXTS, threads=1), capture_output=True, check=True)
    found = unpack(done.stdout, WIDTH, where="answer")
    here = outputs(bundle, TEXTS)
    assert set(found) == set(here)
    for split, rows in here.items():
        np.testing.assert_array_equal(found[split], rows)


def rows(n: int = 2, width: int = 3, kind: type = np.float32) -> np.ndarray:
    return np.arange(n * width, dtype=kind).reshape(n, width)


def test_packed_outputs_come_back_and_have_one_form() -> None:
    given = {"test": rows(), "oos_test": rows(1)}
    raw = pack(given)
    assert pack(dict(reversed(given.items()))) == raw
    found = unpack(raw, WIDTH, where="x")
    assert {split: found[split].tolist() for split in found} == {split: given[split].tolist() for split in given}


def saved(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def compressed(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def boasting() -> bytes:
    """An array that says it is far larger than memory."""
    stream, header = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2, 10**15)})
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("test.npy", header.getvalue())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "expected arrays of outputs"),
        (b"PK\x03\x04 not really", "expected arrays of outputs"),
        (saved(test=np.array([{"a": 1}], dtype=object), oos_test=rows(1)), "expected arrays of outputs"),
        (compressed(test=np.zeros((2, 100_000), np.float32), oos_test=rows(1)), "found compressed ones"),
        (boasting(), "expected arrays of outputs"),
        (pack({"test": rows()}), r"expected the splits \['oos_test', 'test'\], found \['test'\]"),
        (pack({"test": rows(), "oos_test": rows(1), "more": rows()}), "expected the splits"),
        (pack({"test": rows(3), "oos_test": rows(1)}), r"test: expected float32 of shape \(2, width\)"),
        (pack({"test": rows(kind=np.float64), "oos_test": rows(1)}), "test: expected float32 .* found float64"),
        (pack({"test": rows()[0], "oos_test": rows(1)}), "test: expected float32"),
        (pack({"test": rows() * np.nan, "oos_test": rows(1)}), "test: an output is not a finite number"),
        (pack({"test": rows() + np.inf, "oos_test": rows(1)}), "test: an output is not a finite number"),
        (pack({"test": rows(), "oos_test": rows(1, 4)}), r"outputs of one width, found \[3, 4\]"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(IntegrityError, match=f"^receipt: .*{message}"):
        unpack(raw, WIDTH, where="receipt")
