"""Lading on real public data."""
