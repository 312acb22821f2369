"""What a comparison found, in a sentence and in numbers."""

import pytest

from visiongraft.compare.statistics import Difference, Estimate
from visiongraft.compare.table import answer, points


class Row:
    """As much of a row as a sentence needs."""

    failures = ()

    def __init__(self, mean: float, low: float, high: float) -> None:
        self.name = "botnet50"
        estimate = Estimate(mean, low, high)
        self.difference = Difference(estimate, estimate, 0.0)


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (
            (0.012, 0.004, 0.020),
            "On photos, botnet50 beats resnet50 by 1.2 points of top-1, 95% interval 0.4 to 2.0.",
        ),
        (
            (-0.012, -0.020, -0.004),
            "On photos, botnet50 is behind resnet50 by 1.2 points of top-1, 95% interval 0.4 to 2.0.",
        ),
        (
            (0.012, 0.0002, 0.024),
            "On photos, botnet50 beats resnet50 by 1.20 points of top-1, 95% interval 0.02 to 2.40.",
        ),
        (
            (0.003, -0.008, 0.014),
            "On photos, no difference between botnet50 and resnet50 can be claimed: it is 0.3 points ahead, 95%"
            " interval \N{MINUS SIGN}0.8 to 1.4.",
        ),
        (
            (-0.003, -0.014, 0.0),
            "On photos, no difference between botnet50 and resnet50 can be claimed: it is 0.3 points behind, 95%"
            " interval \N{MINUS SIGN}1.4 to 0.0.",
        ),
        (
            (0.0, -0.01, 0.01),
            "On photos, no difference between botnet50 and resnet50 can be claimed: it is level with it, 95% interval"
            " \N{MINUS SIGN}1.0 to 1.0.",
        ),
    ],
)
def test_the_answer_is_one_plain_sentence(interval: tuple[float, float, float], words: str) -> None:
    assert answer(Row(*interval), "resnet50", "photos", None) == words


def test_points_have_a_true_minus_and_no_negative_nothing() -> None:
    assert [points(each) for each in (0.0123, -0.0123, -0.0001, 0.0)] == ["1.2", "\N{MINUS SIGN}1.2", "0.0", "0.0"]
    assert points(-0.0004, 2) == "\N{MINUS SIGN}0.04"


def test_a_score_that_is_a_share_has_an_interval_of_shares(stage) -> None:
    found = stage(botnet_pico=(40, 40, 30)).run()
    assert found.rows[1].score.high == 1.0
    assert found.rows[1].score.low < 0.7


def test_with_several_comparisons_each_interval_is_wider(stage) -> None:
    played = stage(botnet_pico=(30, 32, 33))
    found = played.run()
    alone = stage(botnet_pico=(30, 32, 33))
    alone.path = played.path.with_name("alone")
    pair = alone.run(names=("resnet_pico", "botnet_pico"))
    one, other = (each.rows[1].difference.estimate for each in (pair, found))
    assert one.mean == other.mean
    assert other.low < one.low and other.high > one.high
