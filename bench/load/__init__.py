"""Load of the benchmarks: sites, guests, thousands of ports, and alternatives to compare with."""
