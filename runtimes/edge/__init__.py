"""The edge runtime: a site that answers by itself, or defers and remembers.

`service.Site` is the core: policy, engine, outbox. `http` puts it on a local port, `cli` is
`lading-site`. `outbox` is the site's durable, hash-chained memory; `flush` and `line` bring
what the site deferred to the centre, exactly once.

The serving process loads what sync has activated and verified; it never imports tuf,
sigstore or model_signing.
"""
