"""Foundations without any resource kind: errors, deadlines, configuration, text."""
