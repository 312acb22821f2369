"""Numbers as a person reads them."""

import pytest

from visiongraft.explain import words


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50.0%"), (1.0, "100.0%"), (0.0, "0.0%"), (0.99996, ">99.9%"), (0.0001, "<0.1%"), (None, "–")],
)
def test_a_share_is_only_called_all_or_nothing_when_it_is(share, text):
    assert words.percent(share) == text


def test_a_share_is_written_with_as_many_digits_as_asked():
    assert (words.percent(0.12345, 2), words.percent(0.126, 0), words.percent(0.001, 0)) == ("12.35%", "13%", "<1%")


@pytest.mark.parametrize(
    ("number", "text"),
    [(999, "999"), (1000, "1.00 k"), (79_640_000, "79.6 M"), (999_999, "1.00 M"), (4_089_184_256, "4.09 G")],
)
def test_a_large_count_has_three_digits(number, text):
    assert words.short_count(number) == text


def test_a_file_size_is_in_bytes():
    assert (words.file_size(512), words.file_size(5_509_988)) == ("512 B", "5.51 MB")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.34, "2.3 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (179, "2 min 59 s"), (11520, "3 h 12 min")],
)
def test_a_duration_has_its_two_largest_units(seconds, text):
    assert words.duration(seconds) == text
