"""Networks are timed side by side."""

import torch

from tests.networks import narrow
from visiongraft.compare.speed import measure_speeds

CPU = torch.device("cpu")


def test_seconds_are_those_of_one_image_and_ratios_are_to_the_reference() -> None:
    spec = narrow("resnet_pico").at(32)
    (alone,) = measure_speeds([spec], device=CPU, patience=0.0)
    (many,) = measure_speeds([spec], device=CPU, batch_size=16, patience=0.0)
    assert alone.rounds == many.rounds == 5
    assert 0 < many.seconds < alone.seconds
    large, small = measure_speeds([spec.at(256), spec], device=CPU, patience=0.0, reference=1)
    assert (small.ratio, small.quartiles) == (1.0, (1.0, 1.0))
    assert large.ratio > 2.0
    assert large.quartiles[0] <= large.ratio <= large.quartiles[1]
