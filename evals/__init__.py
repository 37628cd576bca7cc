"""Evidence: what a bundle can do, measured through the very engine that sites run.

    >>> report = accuracy.measure(bundle, corpus, profile=profile, bundle_digest=digest,
    ...                           references={"unquantized": predicted}, policy=policy, taken=now())
    >>> report.verdict, [gate.reason for gate in report.gates]

`accuracy` and `latency` return the reports of `fleet_manifests.evidence`; `calibration`
turns scores into confidence and finds the defer threshold; `evaluate` scores a bundle on
rows of one's own. The decisions are pure functions: `statistics` (intervals of paired
differences), `percentiles` (how many queries a percentile needs) and `gates` (pass, fail,
or inconclusive when the evidence does not say). `report` is the page that people see, made of
`plots`, `pareto`, `tables` and `words`; `markdown` says the same for Dagster.
"""
