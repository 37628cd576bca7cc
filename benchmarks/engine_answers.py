"""How near the answers of int8 builds are to those of the exported fp32 model, on a built project's workflow.

A classifier: the share of texts with another label (flips), over test and validation texts, as they are and disturbed.
A retriever: the neighbours in common among ten, and the loss of nDCG@10 with its paired bootstrap interval, by the
vectors alone. A lexical head is left out on all sides (`benchmarks.engines`).

    python -m benchmarks.engine_answers --project DIR --workflow exception_triage
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import engines
from benchmarks.engines import MAX_TOKENS, Side
from evals.disturbances import disturbed
from evals.questions import read_questions
from pipelines.corpora.library import PASSAGES_FILE, read_passages
from pipelines.steps.models import rows
from pipelines.store import Store
from quantize.folder import output_of, tokenize

FLIPS_GOAL, NEIGHBOURS_GOAL, LOSS_GOAL = 0.013, 0.93, 0.003
FIRST = 10
RESAMPLES = 10_000
RECIPES = ("int8-lean", "int8")


def main(argv: Sequence[str] | None = None) -> None:
    """Build all sides, let them answer, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--workflow", default="exception_triage")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), help="builds of ours, such as openvino-int8")
    arguments = parser.parse_args(argv)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    store = Store(arguments.project / ".lading/store")
    corpus = store.latest("corpus", arguments.workflow).path
    with tempfile.TemporaryDirectory() as folder:
        exported = engines.bare(store.latest("onnx_model", arguments.workflow).path, Path(folder))
        if output_of(exported) == "logits":
            flips(exported, corpus, Path(folder), arguments.recipes)
        else:
            neighbours(exported, corpus, Path(folder), arguments.recipes)


def _sides(exported: Path, texts: Sequence[str], work: Path, recipes: Sequence[str]) -> list[Side]:
    """fp32 first, then ours and theirs."""
    sides = [engines.fp32(exported), *(engines.ours(exported, work / name, texts, name) for name in recipes)]
    other = engines.openvino(exported, texts)
    return [*sides, engines.optimum(exported, work), *([other] if other else [])]


def _outputs(side: Side, exported: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """What a side's graph gives for each text alone: [texts, n]."""
    ids = tokenize(exported / "tokenizer.json", texts, MAX_TOKENS)
    return np.concatenate([side.graph(np.array([row], np.int64)) for row in ids])


def flips(exported: Path, corpus: Path, work: Path, recipes: Sequence[str]) -> None:
    """The share of texts to which a build gives another label than fp32."""
    training, *splits = ([row["text"] for row in rows(corpus, split)] for split in ("train", "test", "validation"))
    plain = [text for some in splits for text in some]
    texts = [*plain, *disturbed(plain, most=len(plain)).texts]
    reference, *sides = _sides(exported, training, work, recipes)
    truth = _outputs(reference, exported, texts)
    print(f"{len(texts)} texts, half of them disturbed; against fp32")
    for side in sides:
        found = _outputs(side, exported, texts)
        share = float((found.argmax(1) != truth.argmax(1)).mean())
        off = float(np.sqrt(((found - truth) ** 2).mean()))
        goal = f"  goal {FLIPS_GOAL}: {'met' if share <= FLIPS_GOAL else 'missed'}" if side is sides[0] else ""
        print(f"{side.name:>12}  flips {share:.4f}  error of a logit {off:.3f} (root mean square){goal}")


def neighbours(exported: Path, corpus: Path, work: Path, recipes: Sequence[str]) -> None:
    """Neighbours in common with fp32, and what is lost of nDCG@10."""
    passages = read_passages(corpus / PASSAGES_FILE, PASSAGES_FILE)
    questions = read_questions(corpus, "test").questions
    training = [question.text for question in read_questions(corpus, "train").questions]
    contents = [passage.content for passage in passages]
    places = {passage.id: place for place, passage in enumerate(passages)}
    relevant = [{places[name] for name in question.relevant if name in places} for question in questions]
    asked = [question.text for question in questions]
    reference, *sides = _sides(exported, [*training, *contents], work, recipes)

    def ranked(side: Side) -> NDArray[np.intp]:
        vectors, wanted = (_outputs(side, exported, texts) for texts in (contents, asked))
        return np.argsort(-(wanted @ vectors.T), axis=1, kind="stable")[:, :FIRST]

    best = ranked(reference)
    gains = _ndcg(best, relevant)
    print(f"{len(questions)} questions, {len(passages)} passages; nDCG@10 of fp32 {gains.mean():.4f}")
    for side in sides:
        found = ranked(side)
        common = float(
            np.mean([len(set(a) & set(b)) / FIRST for a, b in zip(best.tolist(), found.tolist(), strict=True)])
        )
        loss = gains - _ndcg(found, relevant)
        low, high = _interval(loss)
        met = common >= NEIGHBOURS_GOAL and loss.mean() <= LOSS_GOAL
        goal = f"  goals {NEIGHBOURS_GOAL}, {LOSS_GOAL}: {'met' if met else 'missed'}" if side is sides[0] else ""
        print(f"{side.name:>12}  in common {common:.4f}  loss {loss.mean():+.4f} ({low:+.4f} to {high:+.4f}){goal}")


def _ndcg(ranks: NDArray[np.intp], relevant: Sequence[set[int]]) -> NDArray[np.float64]:
    """nDCG@10 of each question, every relevant passage worth the same (Järvelin and Kekäläinen 2002)."""
    worth = 1 / np.log2(np.arange(FIRST) + 2)
    hits = np.array([[place in wanted for place in row] for row, wanted in zip(ranks.tolist(), relevant, strict=True)])
    ideal = np.array([worth[: len(wanted)].sum() for wanted in relevant])
    scores: NDArray[np.float64] = (hits * worth).sum(1) / np.maximum(ideal, 1e-12)
    return scores


def _interval(loss: NDArray[np.float64]) -> tuple[float, float]:
    """Paired bootstrap over questions, 95 %, percentiles."""
    drawn = np.random.default_rng(0).integers(0, len(loss), (RESAMPLES, len(loss)))
    low, high = np.quantile(loss[drawn].mean(1), (0.025, 0.975))
    return float(low), float(high)


if __name__ == "__main__":
    main()
