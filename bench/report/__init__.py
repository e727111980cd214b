"""Results as a table, a chart and JSON records."""
