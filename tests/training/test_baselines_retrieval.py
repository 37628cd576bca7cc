"""The baselines of a retriever: whole rankings, honest scores, a weight that the test split did not choose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_manifests import DataError, UsageError
from training.arguments import RetrieveArguments
from training.baselines_retrieval import rank_baselines
from training.bases import ResolvedBase
from training.library import read_library

pytestmark = pytest.mark.integration

MODELS = {"frozen_dense", "bm25", "frozen_fused"}


@pytest.fixture(scope="module")
def ranked(
    library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("baselines") / "out"
    rank_baselines(library, base, out, retrieve_arguments)
    return out


def test_a_reader_of_the_frozen_base_gives_the_same(
    ranked: Path, library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path
) -> None:
    from training.frozen import reader

    def twice(texts: Sequence[str]) -> NDArray[np.float32]:
        return 2 * reader(base, retrieve_arguments)(texts)

    rank_baselines(library, base, tmp_path / "out", retrieve_arguments, frozen=twice)
    assert read(tmp_path / "out") == read(ranked)


def read(path: Path) -> dict[str, dict[str, dict[str, list[str]]]]:
    found: dict[str, dict[str, dict[str, list[str]]]] = json.loads((path / "rankings.json").read_text())
    return found


def test_every_question_of_both_splits_has_a_ranking(ranked: Path, library: Path) -> None:
    corpus = read_library(library)
    ids = {passage.id for passage in corpus.passages}
    rankings = read(ranked)
    assert set(rankings) == MODELS
    for model, splits in rankings.items():
        for split, questions in (("validation", corpus.validation), ("test", corpus.test)):
            assert set(splits[split]) == {question.id for question in questions}
            for places in splits[split].values():
                assert len(set(places)) == len(places)
                assert set(places) <= ids
                if model != "bm25":
                    assert len(places) == len(ids)


def test_scores_are_those_of_the_rankings(ranked: Path, library: Path) -> None:
    """Reciprocal rank and recall by hand."""
    scores = json.loads((ranked / "scores.json").read_text())
    corpus = read_library(library)
    for model, splits in read(ranked).items():
        for split, questions in (("validation", corpus.validation), ("test", corpus.test)):
            firsts = []
            for question in questions:
                (right,) = (corpus.passages[place].id for place in question.relevant)
                places = splits[split][question.id]
                firsts.append(places.index(right) + 1 if right in places else None)
            found = scores[model][split]
            assert found["n"] == 40
            assert found["mrr"] == pytest.approx(sum(1 / first for first in firsts if first) / 40)
            assert found["recall_at_5"] == pytest.approx(sum(bool(first and first <= 5) for first in firsts) / 40)
            assert 0 <= found["ndcg_at_10"] <= 1
    assert 0 <= scores["frozen_fused"]["dense_weight"] <= 1


def test_no_more_than_a_hundred_passages_are_kept(
    base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path, library: Path
) -> None:
    folder = shutil.copytree(library, tmp_path / "library")
    lines = (folder / "passages.jsonl").read_text().splitlines()
    more = [
        json.dumps(json.loads(line) | {"id": f"z{n}-{number}"}) for number in range(3) for n, line in enumerate(lines)
    ]
    (folder / "passages.jsonl").write_text("\n".join([*lines, *more]))
    rank_baselines(folder, base, tmp_path / "out", retrieve_arguments)
    lengths = {len(places) for splits in read(tmp_path / "out").values() for places in splits["test"].values()}
    assert max(lengths) == 100


def test_the_test_split_does_not_choose_the_weight(
    ranked: Path, library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path
) -> None:
    folder = shutil.copytree(library, tmp_path / "library")
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    moved = [row | {"relevant": other["relevant"]} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in moved))
    rank_baselines(folder, base, tmp_path / "out", retrieve_arguments)
    assert (tmp_path / "out" / "rankings.json").read_bytes() == (ranked / "rankings.json").read_bytes()


def test_a_bad_corpus_leaves_nothing(
    library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path
) -> None:
    folder = shutil.copytree(library, tmp_path / "library")
    (folder / "test.jsonl").unlink()
    with pytest.raises(DataError, match=r"test\.jsonl: expected a corpus file"):
        rank_baselines(folder, base, tmp_path / "out", retrieve_arguments)
    too_long = retrieve_arguments.model_copy(update={"max_tokens": 65})
    with pytest.raises(UsageError, match="max_tokens: expected at most 64"):
        rank_baselines(library, base, tmp_path / "out", too_long)
    assert not (tmp_path / "out").exists()
