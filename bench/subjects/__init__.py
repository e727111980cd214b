"""What is measured: a file for each subject of ``make bench``."""
