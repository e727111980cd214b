"""Benchmarks: what is measured and what it is compared to are run in turn."""
