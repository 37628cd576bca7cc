"""Figures, as ratios against a baseline that is measured in the same run. Nothing here is asserted in tests."""
