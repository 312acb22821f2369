"""From a spec and a data set to weights with a score."""
