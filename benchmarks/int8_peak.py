"""What one core can do in 8-bit products: a loop of dot-product instructions, and a large product of the runtime."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from runtimes.engine import host

KERNEL = r"""
#include <immintrin.h>
int spin(long n) {
    __m512i a[16], x = _mm512_set1_epi32(0x01020304), y = _mm512_set1_epi32(0x02030405);
    for (int i = 0; i < 16; i++) a[i] = _mm512_set1_epi32(i);
    for (long k = 0; k < n; k++) {
        for (int i = 0; i < 16; i++) a[i] = _mm512_dpbusd_epi32(a[i], x, y);
        __asm__ volatile("" : : "v"(a[0]));
    }
    int sum = 0;
    for (int i = 0; i < 16; i++) sum += _mm512_reduce_add_epi32(a[i]);
    return sum;
}
"""
OPERATIONS = 16 * 64 * 2
"""Of one round of the kernel: 16 instructions, each 64 products and 64 sums."""
ROUNDS = 3_000_000
RUNS = 9
SIDE = 1536


def operations(model: Path) -> int:
    """Multiplications and additions of 8-bit numbers in a build, for each token of a text."""
    import onnx

    graph = onnx.load(str(model), load_external_data=False).graph
    sizes = {one.name: list(one.dims) for one in graph.initializer}
    products = [node for node in graph.node if node.op_type in ("MatMulIntegerToFloat", "MatMulInteger")]
    weights = [sizes[node.input[1]] for node in products]
    return sum(2 * rows * columns for rows, columns in weights if min(rows, columns) > 100)  # the head: once a text


def peaks() -> dict[str, float]:
    """Operations a second of one core, by how they were found."""
    found = {"a product of the runtime": _runtime()}
    kernel = _kernel()
    return found if kernel is None else {**found, "a loop of dot products": kernel}


def _runtime() -> float:
    """The best of several runs of one large `MatMulInteger` with constant weights."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((SIDE, SIDE), np.int8), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "peak",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [512, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [512, SIDE])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = {"x": np.ones((512, SIDE), np.uint8)}
    return 2 * 512 * SIDE * SIDE / _best(lambda: session.run(None, inputs))


def _kernel() -> float | None:
    """The best of several runs of the loop; None without a compiler or without the instruction."""
    compiler = shutil.which("cc")
    if compiler is None or "avx512_vnni" not in host.facts().features:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "peak.c", Path(folder) / "peak.so"
        source.write_text(KERNEL)
        flags = ("-O3", "-funroll-loops", "-mavx512f", "-mavx512vnni", "-shared", "-fPIC")
        subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
        spin = ctypes.CDLL(str(library)).spin
        spin.argtypes = [ctypes.c_long]
        return OPERATIONS * ROUNDS / _best(lambda: spin(ROUNDS))


def _best(work: object) -> float:
    """Seconds of the thread, the least of several runs."""
    times = []
    for _ in range(RUNS):
        began = time.thread_time()
        work()  # type: ignore[operator]
        times.append(time.thread_time() - began)
    return min(times)
