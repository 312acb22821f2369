"""Things are timed in turn, and compared within each turn."""

import pytest
import torch

from visiongraft import turns
from visiongraft.turns import FEWEST_ROUNDS, ROUNDS, take_turns

CPU = torch.device("cpu")


def test_ratios_are_of_one_round_whatever_the_machine_does_between_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine gets slower from call to call: ratios within a round feel little of it."""
    calls = iter(range(1000))
    monkeypatch.setattr(turns, "_seconds", lambda thing, device: (1 + next(calls) / 100) * thing())
    found = take_turns([lambda: 1.0, lambda: 2.0], device=CPU)
    assert found.rounds == ROUNDS
    assert found.ratios(0, to=0) == (1.0, 1.0, 1.0)
    low, middle, high = found.ratios(1, to=0)
    assert 1.97 < low <= middle <= high < 2.03
    assert found.ratios(0, to=1)[1] == pytest.approx(0.5, abs=0.01)
    assert found.median(1) > 2.0 * 1.2


def test_every_second_round_goes_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[float] = []
    monkeypatch.setattr(turns, "_seconds", lambda thing, device: order.append(thing()) or thing())
    found = take_turns([lambda: 1.0, lambda: 2.0, lambda: 3.0], device=CPU, rounds=4, patience=60.0)
    assert order == [1.0, 2.0, 3.0, 3.0, 2.0, 1.0] * 2
    assert found.seconds.tolist() == [[1.0, 2.0, 3.0]] * 4


def test_patience_ends_the_rounds_and_calls_are_counted_one_by_one() -> None:
    called = 0

    def call() -> None:
        nonlocal called
        called += 1

    found = take_turns([call], device=CPU, patience=0.0)
    assert found.rounds == FEWEST_ROUNDS
    assert called == 4 * FEWEST_ROUNDS  # one untimed, three timed
    assert 0.0 < found.median(0) < 0.001
