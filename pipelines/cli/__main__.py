"""`python -m pipelines.cli` is `lading`."""

from pipelines.cli import main

main()
