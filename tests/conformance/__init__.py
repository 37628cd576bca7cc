"""Entry points that speak the protocols of public conformance suites over our own code."""
