"""Networks are timed in turn, and compared within each turn."""

import pytest
import torch

from tests.networks import narrow
from visiongraft.compare import speed
from visiongraft.compare.speed import measure_speeds

CPU = torch.device("cpu")


def test_ratios_are_to_the_reference_and_of_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine gets slower from call to call: ratios within a round feel little of it."""
    calls = iter(range(1000))
    turns: list[str] = []

    def seconds(network, images, device) -> float:
        turns.append(network.spec.name)
        return (1 + next(calls) / 100) * {"resnet_pico": 1.0, "convmixer_pico": 2.0}[network.spec.name]

    monkeypatch.setattr(speed, "_seconds", seconds)
    specs = [narrow("resnet_pico").at(32), narrow("convmixer_pico").at(32)]
    first, second = measure_speeds(specs, device=CPU)
    assert turns == ["resnet_pico", "convmixer_pico"] * 31
    assert (first.ratio, first.quartiles, first.rounds) == (1.0, (1.0, 1.0), 31)
    assert 2.0 < second.ratio < 2.03
    assert second.quartiles[0] <= second.ratio <= second.quartiles[1]
    other, same = measure_speeds(specs, device=CPU, reference=1)
    assert same.ratio == 1.0
    assert other.ratio == pytest.approx(0.5, abs=0.01)


def test_seconds_are_those_of_one_image_and_patience_ends_the_rounds() -> None:
    spec = narrow("resnet_pico").at(32)
    (alone,) = measure_speeds([spec], device=CPU, patience=0.0)
    (many,) = measure_speeds([spec], device=CPU, batch_size=16, patience=0.0)
    assert alone.rounds == many.rounds == 5
    assert 0 < many.seconds < alone.seconds
