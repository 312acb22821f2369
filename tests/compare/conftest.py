"""What several tests of comparisons use."""

from tests.compare.played import stage  # noqa: F401 - a fixture is found by its name
