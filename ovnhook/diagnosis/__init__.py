"""What is wrong, in words. Pure."""
