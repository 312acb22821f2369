"""Scores of classes and images, against numbers worked out by hand."""

import numpy as np
import pytest

from visiongraft.explain.scores import (
    ConfusedPair,
    class_scores,
    confused_pairs,
    confusion_cells,
    mean_share,
    score_interval,
    surest_hits,
    worst_mistakes,
)
from visiongraft.train.evaluate import Evaluation

CLASSES = ("ant", "bee", "cat")

CONFUSION = np.array([[3, 1, 0], [1, 2, 0], [1, 1, 0]])
"""Of four ants one was taken for a bee, of three bees one for an ant; nothing at all was taken for a cat."""


def judged(probabilities: list[list[float]], labels: list[int], indices: list[int] | None = None) -> Evaluation:
    places = np.array(range(len(labels)) if indices is None else indices, np.int64)
    return Evaluation(np.array(probabilities, np.float32), np.array(labels, np.int64), places, 1.0, (), 1.0)


def test_scores_of_a_class_are_those_worked_out_by_hand():
    ant, bee, _ = class_scores(CONFUSION, CLASSES)
    assert (ant.images, ant.recall, ant.precision) == (4, 3 / 4, 3 / 5)
    assert ant.f1 == pytest.approx(2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5))
    assert (ant.taken_for, ant.times) == ("bee", 1)
    assert (bee.images, bee.recall, bee.precision, bee.taken_for) == (3, 2 / 3, 2 / 4, "ant")


def test_a_class_that_was_never_predicted_has_no_precision_and_an_f1_of_zero():
    cat = class_scores(CONFUSION, CLASSES)[2]
    assert (cat.images, cat.recall, cat.precision, cat.f1) == (2, 0.0, None, 0.0)


def test_a_class_without_images_has_no_recall_and_is_taken_for_nothing():
    absent, other = class_scores(np.array([[0, 0], [1, 2]]), ("absent", "other"))
    assert (absent.recall, absent.precision, absent.taken_for, absent.times) == (None, 0.0, None, 0)
    assert (other.taken_for, other.times) == ("absent", 1)


def test_a_mean_leaves_out_what_does_not_exist():
    assert mean_share([0.5, None, 0.0]) == 0.25
    assert mean_share([None]) is None


def test_cells_hold_counts_and_shares_of_their_row():
    cells = confusion_cells(np.array([[3, 1], [0, 0]]))
    assert cells == (((3, 0.75), (1, 0.25)), ((0, 0.0), (0, 0.0)))


def test_confused_pairs_come_by_count_and_then_by_share_without_what_is_right():
    confusion = np.array([[90, 0, 5], [2, 0, 0], [0, 2, 30]])
    assert confused_pairs(confusion, CLASSES, 10) == (
        ConfusedPair("ant", "cat", 5, 95),
        ConfusedPair("bee", "ant", 2, 2),
        ConfusedPair("cat", "bee", 2, 32),
    )
    assert len(confused_pairs(confusion, CLASSES, 2)) == 2


def test_worst_mistakes_come_by_confidence_and_of_equal_ones_the_least_thought_of_truth_first():
    found = judged(
        [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8], [0.9, 0.05, 0.05], [0.1, 0.6, 0.3]],
        [1, 0, 0, 0, 0],
        [50, 51, 52, 53, 54],
    )
    mistakes = worst_mistakes(found, CLASSES, 10)
    assert [each.index for each in mistakes] == [52, 51, 54, 50]
    assert (mistakes[1].true, mistakes[1].predicted) == ("ant", "bee")
    assert (mistakes[1].confidence, mistakes[1].chance) == (pytest.approx(0.8), pytest.approx(0.1))
    assert worst_mistakes(found, CLASSES, 1) == mistakes[:1]


def test_surest_hits_come_by_class_and_leave_out_a_class_without_any():
    found = judged([[0.5, 0.4, 0.1], [0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]], [0, 0, 1, 2])
    hits = surest_hits(found, CLASSES, 1)
    assert [(name, [each.index for each in verdicts]) for name, verdicts in hits] == [("ant", [1]), ("cat", [3])]


def test_the_interval_is_that_of_wilson():
    assert score_interval(0.8, 10) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert score_interval(1.0, 5)[1] == 1.0
    assert score_interval(0.0, 5)[0] == 0.0
