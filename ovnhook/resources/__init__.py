"""Resources of a cloud: their values, rules and rows in the northbound database. Pure."""
