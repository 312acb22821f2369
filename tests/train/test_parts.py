"""Where images cannot be read, a step learns from the others, however many processes take it."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.once import Once
from tests.train.pair import MISSING, rows, train_together
from tests.train.test_step import BUSY, PRE, Looker, batch, part_of
from visiongraft.cli.main import main
from visiongraft.data.loader import Batch
from visiongraft.data.sampling import Share
from visiongraft.train.parts import Turn, turns_of
from visiongraft.train.run import RunFolder
from visiongraft.train.state import read_state
from visiongraft.train.step import Lesson


def without(whole: Batch, gone: set[int]) -> Batch:
    """Give a batch of which some images could not be read."""
    kept = [place for place in range(len(whole.labels)) if place not in gone]
    return Batch(whole.images[kept], whole.labels[kept], whole.indices[kept], (), places=tuple(kept))


@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
@pytest.mark.parametrize("gone", [{1}, {0, 5, 6}, {4, 5, 6, 7}, {3, 10, 11}], ids=str)
def test_the_parts_of_a_batch_with_missing_images_add_up_to_the_whole(gone: set[int], loss: str) -> None:
    recipe, whole = replace(BUSY, loss=loss), batch()
    alone = Looker()
    wanted = Lesson(recipe, PRE, smallest=8).loss(alone, without(whole, gone), step=1)
    for devices, parts in ((1, 3), (2, 1), (2, 3)):
        looker, size = Looker(), 12 // (devices * parts)
        cut = {}
        for device in range(devices):
            for part in range(parts):
                first = Share(device, devices, parts).first(part, 12)
                here = {place - first for place in gone if first <= place < first + size}
                cut[device, part] = without(part_of(whole, first, first + size), here)
        counts = [[len(cut[device, part].labels) for part in range(parts)] for device in range(devices)]
        found = torch.zeros(())
        for part in range(parts):
            for device in range(devices):
                for turn in turns_of(counts, device):
                    if turn.part == part and turn.images:
                        lesson = Lesson(recipe, PRE, Share(device, devices, parts), smallest=8)
                        found += lesson.loss(looker, cut[device, part], step=1, part=part) * turn.weight / devices
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(torch.cat(looker.seen), alone.seen[0])


def test_all_devices_take_the_same_parts_and_the_last_of_them_ends_the_step() -> None:
    counts = [[4, 0, 1], [2, 3, 0]]
    assert turns_of(counts, 0) == [Turn(0, 4, 8 / 9, last=False), Turn(1, 0, 0.0, last=True)]
    assert turns_of(counts, 1) == [Turn(0, 2, 4 / 9, last=False), Turn(1, 3, 6 / 9, last=True)]
    assert turns_of([[1, 0]], 0) == []
    assert turns_of([[8]] * 8, 3) == [Turn(0, 8, 1.0, last=True)]


def test_one_black_image_stands_in_for_none() -> None:
    found = without(batch(), set(range(12))).blank()
    assert found.images.shape == (1, 3, 24, 24)
    assert found.images.is_contiguous(memory_format=torch.channels_last)
    assert not found.images.any()


@dataclass(frozen=True)
class Both:
    """Runs on the same damaged images, of one process and of two."""

    one: RunFolder
    two: RunFolder


@pytest.fixture(scope="module")
def both(once: Once) -> Both:
    pair = once("two processes", train_together)
    alone = once("missing images", partial(train_alone, pair / "spoilt"))
    return Both(RunFolder(alone / "one"), RunFolder(pair / "missing"))


def train_alone(data: Path, place: Path) -> None:
    """Train as the pair did, in this process."""
    assert main(["train", "--data", str(data), "--output", str(place / "one"), *MISSING.split()]) == 0


def test_two_processes_take_the_steps_of_one_where_images_cannot_be_read(both: Both) -> None:
    for one, two in zip(rows(both.one), rows(both.two), strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)
        assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-3)
    assert sorted(both.two.unreadable.read_text().splitlines()) == sorted(both.one.unreadable.read_text().splitlines())
    assert len(both.one.unreadable.read_text().splitlines()) == 1 + 5


def test_their_weights_are_moved_as_far_as_those_of_one(both: Both) -> None:
    """Neither gradients that are clipped nor Adam's would show that they were too long."""
    one, two = (read_state(each)[0].tensors["network"] for each in (both.one, both.two))
    for name, each in one.items():
        torch.testing.assert_close(two[name], each, rtol=1e-4, atol=1e-5, msg=name)
