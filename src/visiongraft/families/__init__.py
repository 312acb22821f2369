"""The zoo: every network of the papers as a table of values."""
