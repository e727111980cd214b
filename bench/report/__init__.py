"""Measurements, as people and programs read them: a table, a chart, records."""
