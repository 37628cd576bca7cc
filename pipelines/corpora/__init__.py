"""From the lake, or from labelled files, to the corpus of a workflow.

    >>> card = build_corpus(spec, workflow="exception_triage", project=project, lake=lake, out=out, seed=7,
    ...                     data_classes=frozenset({DataClass.INTERNAL}))
    >>> card.difficulty.test_macro_f1
    0.8621

`spec` is what people write, `query` and `files` read, `rows` checks, `split` divides, `leakage` finds what is
there twice, `difficulty` asks a classical model, `card` tells it all, `build` does one after the other.
"""

from pipelines.corpora.build import build_corpus, read_card
from pipelines.corpora.card import DataCard, SplitCard
from pipelines.corpora.difficulty import Difficulty
from pipelines.corpora.leakage import Leak, find_leaks
from pipelines.corpora.spec import CorpusFiles, CorpusSpec, Split

__all__ = [
    "CorpusFiles",
    "CorpusSpec",
    "DataCard",
    "Difficulty",
    "Leak",
    "Split",
    "SplitCard",
    "build_corpus",
    "find_leaks",
    "read_card",
]
