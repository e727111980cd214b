"""Drain: migration of all domains off a host."""
