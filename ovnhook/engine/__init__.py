"""Carries out what a domain asks for: reads, plans, commits, and again where somebody else was faster."""
