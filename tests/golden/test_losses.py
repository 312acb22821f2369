"""Training steps give the losses that they gave before. `make_losses.py` beside this file made the numbers."""

import json

import pytest

from tests.golden.make_losses import FILE, NETWORKS, OPTIMISERS, train
from visiongraft.spec import Backbone

GOLDEN = json.loads(FILE.read_text())


@pytest.mark.parametrize("opt", OPTIMISERS)
@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_ten_steps_of_training_give_the_losses_that_they_gave_before(spec: Backbone, opt: str) -> None:
    assert train(spec, opt) == pytest.approx(GOLDEN[f"{spec.name}, {opt}"], rel=1e-6)


def test_every_golden_loss_belongs_to_a_network_that_is_trained() -> None:
    assert GOLDEN.keys() == {f"{spec.name}, {opt}" for spec in NETWORKS for opt in OPTIMISERS}
