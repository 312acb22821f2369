"""A budget becomes epochs: every run gets the same share of the time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.pictures import SIDE, write_folder, write_npz
from visiongraft.compare import budget
from visiongraft.compare.budget import Pace, as_budget, measure_paces, parse_budget, share_out
from visiongraft.data.sources import open_data
from visiongraft.errors import GraftError
from visiongraft.families.zoo import get_spec
from visiongraft.train.classification import Classifying
from visiongraft.train.ledger import Listener
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder

RECIPE = Recipe(val_every=4)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("20m", 1200), ("1.5h", 5400), ("1h30m", 5400), (" 2D ", 172800)]
)
def test_a_budget_is_a_time_with_its_unit(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["20", "m", "20 minutes", "-5m", "0s", "1h30", "1e3s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(
        GraftError, match=rf"--budget takes a time with its unit, as 90s, 20m or 1.5h, and got '{text}'"
    ):
        parse_budget(text)


def test_a_run_lasts_as_long_as_its_steps_and_its_validations() -> None:
    pace = Pace((1.0, 1.0, 1.0), steps=10, score_seconds=2.0)
    assert pace.seconds(1, RECIPE) == 10 + 2
    assert pace.seconds(9, RECIPE) == 90 + 4 * 2  # after epochs 1, 4, 8 and 9


def test_growing_images_cost_the_mean_of_their_areas() -> None:
    sides = (0.5, 0.75, 1.0)
    pace = Pace(tuple(side**2 for side in sides), steps=1, score_seconds=0.0)
    assert pace.seconds(1000, RECIPE) / 1000 == pytest.approx((1.0**3 - 0.5**3) / 3 / 0.5)  # the integral
    assert pace.seconds(1, RECIPE) == 0.25  # a single epoch has the first size


def test_the_most_epochs_that_fit_are_taken() -> None:
    pace = Pace((1.0, 1.0, 1.0), steps=10, score_seconds=2.0)
    for seconds in (12.0, 23.9, 24.0, 98.0, 1e6):
        epochs = pace.epochs_within(seconds, RECIPE)
        assert pace.seconds(epochs, RECIPE) <= seconds < pace.seconds(epochs + 1, RECIPE)
    assert pace.epochs_within(11.0, RECIPE) == 0


def test_each_run_gets_the_same_share_and_so_a_slow_network_fewer_epochs() -> None:
    paces = {"fast": Pace((1.0,) * 3, 1, 0.0), "slow": Pace((3.0,) * 3, 1, 0.0)}
    assert share_out(60.0, paces, 2, RECIPE) == {"fast": 15, "slow": 5}


def test_a_budget_that_is_too_small_is_refused_with_the_one_that_is_needed() -> None:
    paces = {"fast": Pace((1.0,) * 3, 1, 0.0), "slow": Pace((30.0,) * 3, 1, 0.0)}
    with pytest.raises(GraftError) as refusal:
        share_out(60.0, paces, 3, RECIPE)
    assert str(refusal.value) == (
        "--budget 60s is too small: an epoch of slow, the slowest, takes about 30.0 s, and each of the 6 runs gets"
        " 10.0 s. Give at least --budget 3m, or fewer models or seeds."
    )
    assert share_out(parse_budget("3m"), paces, 3, RECIPE)["slow"] == 1


@pytest.mark.parametrize(("seconds", "text"), [(0.3, "1s"), (99.5, "100s"), (100, "2m"), (7200, "120m")])
def test_a_time_that_is_asked_for_is_rounded_up(seconds: float, text: str) -> None:
    assert as_budget(seconds) == text
    assert parse_budget(text) >= seconds


@pytest.mark.parametrize("batch_size", [16, 64])
def test_networks_are_timed_in_turn_on_a_part_of_the_data(tmp_path: Path, batch_size: int) -> None:
    data = open_data(write_npz(tmp_path / "stripes.npz"))
    specs = [get_spec(name).at(SIDE) for name in ("resnet_pico", "convmixer_pico")]
    turns: list[str] = []
    recipe = replace(RECIPE, batch_size=batch_size)
    paces = measure_paces(specs, data, recipe, device=torch.device("cpu"), on_network=turns.append)
    assert turns == ["resnet_pico", "convmixer_pico"] * 3
    for pace in paces.values():
        assert pace.steps == 64 // batch_size
        assert all(seconds > 0 for seconds in (*pace.step_seconds, pace.score_seconds))


Heard = Callable[[int, int], bool]
"""Whether a listener hears of a step, by its number from 1 and the steps of each epoch."""


class Clock:
    """A clock that nobody winds but `played`."""

    def __init__(self) -> None:
        self.now = 1e6  # for as long the machine has been up

    def __call__(self) -> float:
        return self.now

    def play(self, heard: Heard, at_once: float, per_step: tuple[float, ...]) -> Callable[..., object]:
        """Give a training of known steps, of which some are heard, and whose first one costs more at once."""

        def train(job: Classifying, _: RunFolder, *, listener: Listener, **__: object) -> object:
            recipe = job.recipe
            count = len(job.data.train) // recipe.batch_size
            self.now += at_once
            for number in range(1, count * recipe.epochs + 1):
                self.now += per_step[(number - 1) // count]
                if heard(number, count):
                    listener.step(number, count * recipe.epochs, 1.0)
                if number % count == 0:
                    self.now += 100.0  # the validation
                    listener.epoch({"epoch": number // count, "step": number})
            return SimpleNamespace(stopped=False, evaluation=SimpleNamespace(seconds=1.0, images=8))

        return train


@pytest.mark.parametrize(
    ("heard", "device", "images", "first"),
    [
        (lambda *_: True, "cpu", 64, 1.0),
        (lambda number, _: number != 1, "cpu", 64, 1.0),  # no image of the first step could be read
        (lambda number, each: number % each != 0, "cpu", 64, 1.0),  # nor of the last one of an epoch
        (
            lambda number, each: number % each == 0,
            "cpu",
            64,
            2.0,
        ),  # of the first size nothing is known, and the next is taken
        (lambda number, each: 0 in (number % 10, number % each), "cuda", 640, 1.0),  # as a GPU tells it
        (
            lambda number, each: 0 in (number % 10, number % each),
            "cuda",
            64,
            2.0,
        ),  # where four batches are all that there is
    ],
)
def test_a_step_is_timed_right_whichever_steps_are_heard(
    heard: Heard, device: str, images: int, first: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_data(write_npz(tmp_path / "stripes.npz", train=images))
    clock = Clock()
    monkeypatch.setattr(budget, "perf_counter", clock)
    monkeypatch.setattr(budget, "train", clock.play(heard, 500.0, (1.0, 2.0, 3.0)))
    recipe, specs = replace(RECIPE, batch_size=16), [get_spec("resnet_pico").at(SIDE)]
    (pace,) = measure_paces(specs, data, recipe, device=torch.device(device)).values()
    assert pace.step_seconds == pytest.approx((first, 2.0, 3.0))


def test_ctrl_c_ends_the_timing_where_an_image_could_not_be_read_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = SimpleNamespace(stopped=True, unreadable=("an image",))
    monkeypatch.setattr(budget, "train", lambda *_, **__: stopped)
    data, specs = open_data(write_npz(tmp_path / "stripes.npz")), [get_spec("resnet_pico").at(SIDE)]
    with pytest.raises(KeyboardInterrupt):
        measure_paces(specs, data, replace(RECIPE, batch_size=16), device=torch.device("cpu"))


def test_files_are_timed_as_well(tmp_path: Path) -> None:
    data = open_data(write_folder(tmp_path / "stripes"))
    specs = [get_spec("resnet_pico").at(SIDE)]
    paces = measure_paces(specs, data, replace(RECIPE, batch_size=8), device=torch.device("cpu"))
    assert paces["resnet_pico"].steps == 4
