"""Subjects of ``make bench``, a module for each."""
