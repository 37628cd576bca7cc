"""Embeddings in a pack: how exact they are, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_manifests import DataError
from runtimes.knowledge.rows import FINE, STEPS, Dense, Rows, encode
from tests.runtimes.knowledge.conftest import spilled

pytestmark = pytest.mark.unit


def unit(rows: int, dimension: int = 384, seed: int = 1) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def dense_of(rows: Rows) -> Dense:
    return Dense(rows.codes, rows.scales, spilled(rows.corrections.tobytes()))


def decoded(rows: Rows) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (rows.codes + rows.corrections / FINE) * rows.scales[:, None]
    return found


def test_types_and_shapes() -> None:
    rows = encode(unit(7))
    assert (rows.codes.dtype, rows.corrections.dtype, rows.scales.dtype) == (np.int8, np.int8, np.float32)
    assert rows.codes.shape == rows.corrections.shape == (7, 384)
    assert rows.scales.shape == (7,)


def test_error_is_at_most_the_stated_one() -> None:
    vectors = unit(500)
    rows = encode(vectors)
    error = np.abs(decoded(rows) - vectors)
    assert (error <= rows.scales[:, None] / 508 * 1.01).all()


def test_codes_with_corrections_err_less_than_float16() -> None:
    vectors = unit(500)
    ours = np.abs(decoded(encode(vectors)) - vectors).mean()
    float16 = np.abs(vectors.astype(np.float16).astype(np.float64) - vectors).mean()
    assert ours < float16 / 2


def test_codes_use_the_whole_range() -> None:
    rows = encode(unit(20))
    assert (np.abs(rows.codes).max(axis=1) == STEPS).all()
    assert rows.codes.min() >= -STEPS


@pytest.mark.parametrize("axis", [0, 5, 383])
def test_a_vector_of_one_component_is_exact(axis: int) -> None:
    vector = np.zeros((1, 384), np.float32)
    vector[0, axis] = -1
    rows = encode(vector)
    assert np.allclose(decoded(rows), vector, atol=1e-7)


def test_bytes_of_a_row_depend_on_that_row_alone() -> None:
    vectors = unit(30)
    alone, together = encode(vectors[7:8]), encode(vectors)
    assert alone.codes.tobytes() == together.codes[7].tobytes()
    assert alone.corrections.tobytes() == together.corrections[7].tobytes()
    assert alone.scales[0] == together.scales[7]


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.02, np.nan, np.inf])
def test_rows_not_of_length_one_are_refused(factor: float) -> None:
    vectors = unit(4)
    vectors[2] *= factor
    with pytest.raises(DataError, match="length 1"):
        encode(vectors)


@pytest.mark.parametrize("shape", [(4,), (4, 0), (2, 3, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"\[passages, dimension\]"):
        encode(np.ones(shape, np.float32))


def test_scores_are_integer_products_scaled() -> None:
    vectors, question = unit(300), unit(1, seed=2)[0]
    rows = encode(vectors)
    scale = np.abs(question).max() / STEPS
    code = np.rint(question / scale).astype(np.int64)
    expected = rows.codes.astype(np.int64) @ code * rows.scales.astype(np.float64) * scale
    assert np.allclose(dense_of(rows).scores(question), expected, atol=1e-6)


def test_scores_are_near_the_cosine_and_exact_ones_nearer() -> None:
    vectors, question = unit(300), unit(1, seed=2)[0]
    dense = dense_of(encode(vectors))
    true = vectors.astype(np.float64) @ question
    assert np.abs(dense.scores(question) - true).max() < 5e-3
    every = np.arange(300)
    assert np.abs(dense.exact(every, question) - true).max() < 1e-5


def test_equal_rows_get_equal_exact_scores() -> None:
    vectors = np.repeat(unit(1), 33, axis=0)
    scores = dense_of(encode(vectors)).exact(np.arange(33), unit(1, seed=5)[0])
    assert len(set(scores.tolist())) == 1


def test_exact_keeps_the_order_of_rows_asked_for() -> None:
    vectors, question = unit(50), unit(1, seed=2)[0]
    dense = dense_of(encode(vectors))
    some = np.array([41, 3, 17])
    assert dense.exact(some, question).tolist() == [dense.exact(np.array([row]), question)[0] for row in some]


def test_scores_of_read_only_and_odd_dimensions() -> None:
    vectors, question = unit(9, 37), unit(1, 37, seed=2)[0]
    rows = encode(vectors)
    rows.codes.flags.writeable = False
    assert np.abs(dense_of(rows).scores(question) - vectors @ question).max() < 0.02


@pytest.mark.parametrize("length", [383, 385, 1])
def test_a_question_of_another_dimension_is_refused(length: int) -> None:
    dense = dense_of(encode(unit(3)))
    with pytest.raises(DataError, match="384 numbers"):
        dense.scores(unit(1, length)[0])


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.5, np.nan, np.inf])
def test_a_question_not_of_length_one_is_refused(factor: float) -> None:
    dense = dense_of(encode(unit(3)))
    with pytest.raises(DataError, match="retriever"):
        dense.scores(unit(1)[0] * np.float32(factor))


def test_a_matrix_is_not_a_question() -> None:
    with pytest.raises(DataError, match="shape"):
        dense_of(encode(unit(3))).scores(unit(1))
