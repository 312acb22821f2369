"""Several networks, several seeds, one recipe and one budget: which is better, and how sure that is."""
