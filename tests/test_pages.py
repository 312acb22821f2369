"""The examples in the pages and in the docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

from scripts.make_scaling_page import hours_table, memory_table

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/detectors.md",
        "docs/grafting.md",
        "docs/listings.md",
        "docs/networks.md",
        "docs/pretrained.md",
        "docs/timm.md",
    ],
)
def test_the_examples_of_a_page_are_true(page: str) -> None:
    found = doctest.testfile(str(REPOSITORY / page), module_relative=False)
    assert found.attempted > 5
    assert found.failed == 0


def test_the_examples_of_the_docstrings_are_true() -> None:
    source = REPOSITORY / "src"
    files = [path for path in sorted(source.rglob("*.py")) if ">>>" in path.read_text(encoding="utf-8")]
    assert files
    for path in files:
        name = ".".join(path.relative_to(source).with_suffix("").parts)
        found = doctest.testmod(importlib.import_module(name))
        assert found.attempted > 0, name
        assert found.failed == 0, name


def test_the_tables_of_the_page_on_scale_are_what_its_script_writes() -> None:
    page = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert hours_table() in page
    memory = memory_table(["coatnet_0", "coatnet_3"])  # the largest take seconds to build
    assert memory in page
