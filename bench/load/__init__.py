"""What is measured on: sites, guests, ports by the thousand, and others to compare with."""
