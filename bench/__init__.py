"""Benchmarks, with their baselines measured in turn."""
