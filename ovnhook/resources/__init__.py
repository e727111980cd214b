"""What a cloud is made of, with its rules and its rows in the northbound database. Pure."""
