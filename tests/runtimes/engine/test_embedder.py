"""The embedder: what it gives, and what it refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fleet_manifests import BundleConfig, DataError, IntegrityError, RefusedError, SimilarityCase, Task, UsageError
from runtimes.engine import load_embedder, load_embedder_parts

pytestmark = pytest.mark.unit


def test_a_vector_has_length_one_and_says_what_was_read(retriever) -> None:
    found = load_embedder(retriever()).embed("Late truck")
    assert found.vector.dtype == np.float32
    assert found.vector.shape == (3,)
    assert np.linalg.norm(found.vector) == pytest.approx(1.0)
    # two tokens at (.5, 8, .5) and two special ones at (.5, .5, .5)
    expected = np.array([0.5, 4.25, 0.5])
    np.testing.assert_allclose(found.vector, expected / np.linalg.norm(expected), atol=1e-6)
    assert (found.tokens, found.truncated) == (4, False)


def test_what_means_the_same_is_near(retriever) -> None:
    embedder = load_embedder(retriever())
    late, truck, box = (embedder.embed(text).vector for text in ("late", "truck", "broken box"))
    assert late @ truck == pytest.approx(1.0)
    assert late @ box < 0.5


def test_cuts_at_max_tokens_and_says_so(retriever) -> None:
    embedder = load_embedder(retriever())
    fits, cut = embedder.embed("late " * 14), embedder.embed("late " * 15)
    assert (fits.tokens, fits.truncated) == (16, False)
    assert (cut.tokens, cut.truncated) == (16, True)


def test_many_texts_are_embedded_as_each_alone(retriever) -> None:
    embedder = load_embedder(retriever())
    texts = ["late truck", "ready", "broken box missing pallet"]
    found = embedder.embeddings(texts)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.stack([embedder.embed(text).vector for text in texts]))


def test_no_text_gives_no_vector(retriever) -> None:
    assert load_embedder(retriever()).embeddings([]).shape == (0, 3)


def test_a_query_is_an_embedding(retriever) -> None:
    embedder = load_embedder(retriever())
    found = embedder.query("late truck")
    assert found.tokens == 4
    np.testing.assert_array_equal(found.vector, embedder.embed("late truck").vector)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "text: empty"), (" \n", "text: empty"), ("x" * 201, "201 characters; at most 200"), ("\ud800", "Unicode")],
)
def test_limits_of_a_text_are_those_of_a_classifier(retriever, text: str, said: str) -> None:
    embedder = load_embedder(retriever())
    with pytest.raises(DataError, match=said):
        embedder.embed(text)
    with pytest.raises(DataError, match=said):
        embedder.embeddings(["late", text])


def test_threads_share_an_embedder(retriever) -> None:
    embedder = load_embedder(retriever())
    texts = ["late truck", "broken box", "missing pallet"] * 50
    with ThreadPoolExecutor(8) as pool:
        found = np.stack([one.vector for one in pool.map(embedder.embed, texts)])
    assert found.argmax(1).tolist() == [1, 0, 2] * 50


def test_smoke_passes_on_the_bundles_own_cases(retriever) -> None:
    assert load_embedder(retriever()).smoke() == []


def test_smoke_names_what_differs_without_the_texts(retriever, retriever_config: BundleConfig) -> None:
    cases = (
        SimilarityCase(text="late", other="truck", cosine=1.0, tolerance=0.01),
        SimilarityCase(text="late", other="box", cosine=0.95, tolerance=0.05),
        SimilarityCase(text="late", other="truck", cosine=0.94, tolerance=0.05),
    )
    failures = load_embedder(retriever(retriever_config.model_copy(update={"similar": cases}))).smoke()
    assert [failure.split(":")[0] for failure in failures] == ["smoke case 2", "smoke case 3"]
    assert "cosine 0.940 (within 0.050) expected, found 1.000" in failures[1]
    assert "truck" not in " ".join(failures)


def test_parts_need_no_bundle_json(retriever, retriever_config: BundleConfig) -> None:
    folder = retriever()
    (folder / "bundle.json").unlink()
    assert load_embedder_parts(folder, retriever_config, threads=1).embed("late").vector.argmax() == 1
    with pytest.raises(IntegrityError, match=r"no file 'bundle\.json'"):
        load_embedder(folder)


@pytest.mark.parametrize("dimension", [None, 2, 4])
def test_another_dimension_is_refused(retriever, retriever_config: BundleConfig, dimension: int | None) -> None:
    with pytest.raises(IntegrityError, match=rf"dimension: .*shape \[1, 3\], bundle.json says {dimension}"):
        load_embedder(retriever(retriever_config.model_copy(update={"dimension": dimension})))


def test_a_vector_that_is_not_of_length_one_is_refused(retriever) -> None:
    with pytest.raises(IntegrityError, match="a vector of length 1 expected, found 0.866"):
        load_embedder(retriever(unit=False))


@pytest.mark.parametrize("weight", [np.nan, np.inf, 0.0])
def test_a_vector_without_a_direction_is_refused(retriever, weight: float) -> None:
    with pytest.raises(IntegrityError, match="a vector of length 1 expected, found nan"):
        load_embedder(retriever(weights=np.full((11, 3), weight)))


def test_a_classifiers_graph_is_refused(retriever) -> None:
    with pytest.raises(IntegrityError, match="outputs: embedding expected, found logits"):
        load_embedder(retriever(output="logits"))


def test_a_bundle_of_another_task_is_refused(retriever, retriever_config: BundleConfig) -> None:
    with pytest.raises(RefusedError, match="task: retrieve expected, found classify"):
        load_embedder(retriever(retriever_config.model_copy(update={"task": Task.CLASSIFY})))


def test_no_threads_is_bad_usage(retriever) -> None:
    with pytest.raises(UsageError, match="threads: at least 1"):
        load_embedder(retriever(), threads=0)


def test_a_model_shorter_than_max_tokens_is_refused_at_load(retriever, retriever_config: BundleConfig) -> None:
    assert load_embedder(retriever(positions=16)).embed("late " * 30).truncated
    with pytest.raises(IntegrityError, match="the model fails when it is run"):
        load_embedder(retriever(retriever_config.model_copy(update={"max_tokens": 32}), positions=16))
