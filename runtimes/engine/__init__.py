"""The engine runs a bundle: text in, label and confidence or an embedding out. It needs no torch.

    >>> from pathlib import Path
    >>> from runtimes.engine import decide, load, load_embedder
    >>> engine = load(Path("exception_triage--edge-x86-vnni"))
    >>> answer = engine.classify("pallet 3 of 5 missing, carrier says delivered in full")
    >>> answer.label, answer.confidence
    ('short_shipment', 0.93)
    >>> decide(answer, engine.config.calibration.defer_threshold)
    Decision(answered=True, code='confident', reason='confidence 0.930 reaches the threshold 0.710')
    >>> embedder = load_embedder(Path("sop_assistant--edge-x86-vnni"))
    >>> embedder.embed("pallet 3 of 5 missing").vector @ embedder.embed("two pallets did not come").vector
    0.62

`load` reads `bundle.json` and checks that the files beside it are what it says: task, inputs,
number of labels or length of an embedding, finite numbers. It does not verify signatures: that
is done before, by whoever put the folder there. `load_any` takes a bundle of whatever task;
`query` is one request of it and `smoke` runs the bundle's own cases. `load_parts` and
`load_embedder_parts` are the same for a build that has no `bundle.json` yet, so that what is
measured is what runs. An engine may be shared by threads.

`decide` says whether an answer may be given here or is deferred; it is a pure function.
`runtimes.engine.host` describes the machine.
"""

from runtimes.engine.confidence import Confidence, load_confidence
from runtimes.engine.embedder import Embedder, Embedding
from runtimes.engine.engine import Answer, Engine
from runtimes.engine.guard import Decision, decide
from runtimes.engine.loading import load, load_any, load_embedder, load_embedder_parts, load_parts

__all__ = [
    "Answer",
    "Confidence",
    "Decision",
    "Embedder",
    "Embedding",
    "Engine",
    "decide",
    "load",
    "load_any",
    "load_confidence",
    "load_embedder",
    "load_embedder_parts",
    "load_parts",
]
