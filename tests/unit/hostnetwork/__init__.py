"""Tests of the host's own network: what is pure."""
