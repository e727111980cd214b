"""Tests of the host's own network, in network namespaces."""
