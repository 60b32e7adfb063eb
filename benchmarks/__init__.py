"""Benchmarks of pelton beside its peers. Nothing here is imported by pelton; see README.md for the
method."""
