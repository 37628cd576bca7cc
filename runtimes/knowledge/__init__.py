"""Search over a knowledge pack: passages of procedures, found by meaning and by words, and cited verbatim.

    >>> from pathlib import Path
    >>> from runtimes.knowledge import answer, open_pack
    >>> pack = open_pack(Path("sop_assistant--edge--warehouse"), retriever=bundle_digest)
    >>> found = pack.search(embedder.embed(question).vector, question, on=today)
    >>> found.hits[0].passage.id, found.confidence
    ('wh-017/when-the-location-is-occupied', 0.87)
    >>> said = answer(found, today, threshold=pack.config.defer_threshold, guardrails=guardrails)
    >>> said.outcome, [passage.document for passage in said.citations]
    ('answered', ['WH-017'])

The factory writes the files of a pack (`layout` says which), puts `pack.json` beside them, and
encrypts them with `encrypt_files` where their data class asks for it. `open_pack` maps the
files, or decrypts them into memory, and refuses what `pack.json` does not say; signatures
are verified before, by whoever put the folder there. A pack may be shared by threads.

`disagreements` finds passages of different documents that state different values about the
same matter; `explained` gives the sentences too.
"""

from runtimes.knowledge.answers import CitedPassage, KnowledgeAnswer, WithheldPassage, answer
from runtimes.knowledge.conflicts import Disagreement, disagreements, explained
from runtimes.knowledge.layout import FILES
from runtimes.knowledge.opening import open_pack
from runtimes.knowledge.pack import Pack
from runtimes.knowledge.sealed import encrypt_files
from runtimes.knowledge.search import FEATURES, Found, Hit, Rankings, Scores

__all__ = [
    "FEATURES",
    "FILES",
    "CitedPassage",
    "Disagreement",
    "Found",
    "Hit",
    "KnowledgeAnswer",
    "Pack",
    "Rankings",
    "Scores",
    "WithheldPassage",
    "answer",
    "disagreements",
    "encrypt_files",
    "explained",
    "open_pack",
]
