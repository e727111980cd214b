"""The services of the API, a file for each."""
