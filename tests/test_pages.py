"""The examples in the pages give what the pages say."""

import doctest
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("page", ["README.md", "docs/networks.md"])
def test_the_examples_of_a_page_are_true(page: str) -> None:
    found = doctest.testfile(str(REPOSITORY / page), module_relative=False)
    assert found.attempted > 5
    assert found.failed == 0
