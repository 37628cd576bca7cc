"""The central runtime: answers what sites defer, or queues it for a person.

`service.Centre` is the core, `store` its books (deferrals, human queue, tokens, hash-chained
audit), `http` the API for sites, `cli` is `lading-central`. It consumes the same fleet
manifest as a site, through the same sync and the same engine.
"""
