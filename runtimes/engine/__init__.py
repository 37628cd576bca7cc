"""The engine runs a bundle: text in, label and confidence out. It needs no torch.

    >>> from pathlib import Path
    >>> from runtimes.engine import load, decide
    >>> engine = load(Path("exception_triage--edge-x86-vnni"))
    >>> answer = engine.classify("pallet 3 of 5 missing, carrier says delivered in full")
    >>> answer.label, answer.confidence
    ('short_shipment', 0.93)
    >>> decide(answer, engine.config.calibration.defer_threshold)
    Decision(answered=True, code='confident', reason='confidence 0.930 reaches the threshold 0.710')

`load` reads `bundle.json` and checks that the files beside it are what it says: inputs,
number of labels, finite scores. It does not verify signatures: that is done before, by
whoever put the folder there. `load_parts` is the same for a build that has no
`bundle.json` yet, so that what is measured is what runs. `Engine.smoke` runs the bundle's
own cases. An engine may be shared by threads.

`decide` says whether an answer may be given here or is deferred; it is a pure function.
`runtimes.engine.host` describes the machine.
"""

from runtimes.engine.engine import Answer, Engine, load, load_parts
from runtimes.engine.guard import Decision, decide

__all__ = ["Answer", "Decision", "Engine", "decide", "load", "load_parts"]
