"""Benchmarks of penstock beside its peers. Nothing here is imported by penstock; see README.md for the
method."""
