"""A step's loss is what its recipe says, and does not depend on how its batch is cut."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm.loss
import torch
from torch import Tensor

from tests.pictures import stripes, write_folder, write_npz
from visiongraft.data.augment import Augmented, RandPolicy
from visiongraft.data.loader import Batch, Samples
from visiongraft.data.sampling import Draw, Share
from visiongraft.data.sets import ArrayImages, ImageData
from visiongraft.data.sources import open_data
from visiongraft.data.transforms import PaddedCrop, TrainTransform
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.recipe import Recipe
from visiongraft.train.step import Lesson, balanced_weights, lesson_on, order_of, taken_at_once, training_transform

PLAIN = Recipe(batch_size=12, rotation=0.0, color_jitter=0.0, label_smoothing=0.0, drop_path=0.0)
PRE = Preprocessing((24, 24))


def batch(count: int = 12) -> Batch:
    images, labels = stripes(count)
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels), torch.arange(count), ())


def part_of(whole: Batch, begin: int, end: int) -> Batch:
    views = whole.views and whole.views._replace(parts=whole.views.parts[begin:end])
    return Batch(whole.images[begin:end], whole.labels[begin:end], whole.indices[begin:end], (), views)


class Looker:
    """A network whose logits are the mean colours of an image's corners; it remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, pixels: Tensor) -> Tensor:
        self.seen.append(pixels)
        return torch.stack([pixels[:, :, :9].mean((1, 2, 3)), pixels[:, :, 9:, :7].mean((1, 2, 3))], dim=1)


BUSY = replace(
    PLAIN,
    rotation=20.0,
    color_jitter=0.3,
    cutout=5,
    reprob=0.5,
    mixup=0.5,
    cutmix=1.0,
    multi_scale=0.3,
    label_smoothing=0.1,
)


@pytest.mark.parametrize("step", [0, 1, 2, 3])
@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
def test_the_parts_of_a_batch_are_seen_as_in_the_whole(step: int, loss: str) -> None:
    recipe, whole = replace(BUSY, loss=loss), batch()
    alone = Looker()
    wanted = Lesson(recipe, PRE, smallest=8).loss(alone, whole, step=step)
    for devices, parts in ((1, 3), (2, 1), (2, 3)):
        looker, losses = Looker(), []
        for part in range(parts):
            for device in range(devices):
                share = Share(device, devices, parts)
                first, size = share.first(part, 12), 12 // share.of
                lesson = Lesson(recipe, PRE, share, smallest=8)
                losses.append(lesson.loss(looker, part_of(whole, first, first + size), step=step, part=part))
        torch.testing.assert_close(torch.stack(losses).mean(), wanted)
        torch.testing.assert_close(torch.cat(looker.seen), alone.seen[0])


def test_what_is_drawn_differs_from_step_to_step_and_seed_to_seed() -> None:
    def seen(seed: int, step: int) -> Tensor:
        looker = Looker()
        Lesson(replace(BUSY, seed=seed, multi_scale=0.0), PRE).loss(looker, batch(), step=step)
        return looker.seen[0]

    assert torch.equal(seen(0, 1), seen(0, 1))
    assert not torch.equal(seen(0, 1), seen(0, 2))
    assert not torch.equal(seen(0, 1), seen(1, 1))


@pytest.mark.parametrize("cropped", [False, True])
def test_the_size_of_a_steps_images_is_drawn_in_eights_around_the_epochs(cropped: bool) -> None:
    pre = Preprocessing((64, 48))
    images, labels = stripes(4)
    made = Samples(ArrayImages("train", images, labels), TrainTransform(pre)).__getitems__([Draw(0, 1), Draw(0, 2)])
    assert isinstance(made, Batch)
    if not cropped:
        made = made._replace(images=torch.zeros(2, 3, 64, 48, dtype=torch.uint8), views=None)
    looker, lesson = Looker(), Lesson(replace(PLAIN, multi_scale=0.25), pre, smallest=41)
    for step in range(40):
        lesson.loss(looker, made, step=step)
    sizes = {tuple(each.shape[2:]) for each in looker.seen}
    assert {height for height, _ in sizes} == {48, 56, 64, 72, 80}
    assert {width for _, width in sizes} == {41, 48, 56}
    looker.seen.clear()
    replace(lesson, recipe=PLAIN).loss(looker, made, step=0)
    assert looker.seen[0].shape[2:] == (64, 48)


def given(logits: Tensor):
    return lambda _: logits


LOGITS = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_timms(smoothing: float) -> None:
    found = Lesson(replace(PLAIN, loss="bce", label_smoothing=smoothing), PRE).loss(given(LOGITS), batch(), step=0)
    wanted = timm.loss.BinaryCrossEntropy(smoothing=smoothing)(LOGITS, batch().labels)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixed_labels_are_smoothed_shares(smoothing: float) -> None:
    recipe = replace(PLAIN, mixup=0.5, label_smoothing=smoothing)
    lesson = Lesson(recipe, PRE)
    looker = Looker()
    lesson.loss(looker, batch(), step=5)
    plain = Looker()
    Lesson(PLAIN, PRE).loss(plain, batch(), step=5)
    first, second = plain.seen[0][:2]
    share = ((looker.seen[0][0] - second) / (first - second)).nanmedian()
    targets = torch.tensor([[share, 1 - share], [1 - share, share]]).repeat(6, 1)
    targets = targets * (1 - smoothing) + smoothing / 2
    wanted = -(targets * LOGITS.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(lesson.loss(given(LOGITS), batch(), step=5), wanted, atol=1e-5, rtol=1e-5)


def unbalanced(tmp_path: Path) -> ImageData:
    data = open_data(write_npz(tmp_path / "stripes.npz"))
    labels = np.repeat([0, 1], [9, 3])
    pictures = data.train
    assert isinstance(pictures, ArrayImages)
    return replace(
        data, train=ArrayImages("train", pictures.pixels[:12], labels), classes=("upright", "lying", "none")
    )


def test_balanced_weights_let_the_images_of_all_classes_count_alike(tmp_path: Path) -> None:
    data = unbalanced(tmp_path)
    weights = balanced_weights(data)
    assert weights[:2] == pytest.approx((12 / (2 * 9), 12 / (2 * 3)))
    assert 9 * weights[0] == pytest.approx(3 * weights[1])
    recipe = replace(PLAIN, class_weights="balanced")
    lesson = lesson_on(data, recipe, PRE, share=Share(), smallest=1)
    labels = torch.from_numpy(data.train.labels)
    logits = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    found = lesson.loss(given(logits), batch()._replace(labels=labels), step=0)
    each = -logits.log_softmax(1)[torch.arange(12), labels]
    wanted = (each[labels == 0].mean() + each[labels == 1].mean()) / 2
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
@pytest.mark.parametrize(("balance", "wanted"), [("none", (0.9, 0.1)), ("balanced", (0.5, 0.5))])
def test_balanced_weights_move_the_best_answer_that_is_the_same_for_all_images(
    loss: str, balance: str, wanted: tuple[float, float], tmp_path: Path
) -> None:
    labels = np.repeat([0, 1], [9, 1])
    pictures = ArrayImages("train", np.zeros((10, 24, 24, 3), np.uint8), labels)
    data = replace(unbalanced(tmp_path), train=pictures, classes=("frequent", "rare"))
    recipe = replace(PLAIN, loss=loss, class_weights=balance, batch_size=10)
    lesson = lesson_on(data, recipe, PRE, share=Share(), smallest=1)
    share = torch.tensor(wanted)
    answer = (share.log() if loss == "cross_entropy" else share.logit()).requires_grad_()
    images = batch(10)._replace(labels=torch.from_numpy(labels))
    found = lesson.loss(lambda pixels: answer.expand(len(pixels), 2), images, step=0)
    (slope,) = torch.autograd.grad(found, answer)
    assert slope.abs().max() < 1e-6  # both losses are convex: where nothing pulls, no answer is better


def test_of_binary_cross_entropy_a_weight_scales_all_that_an_image_costs(tmp_path: Path) -> None:
    data = unbalanced(tmp_path)
    recipe = replace(PLAIN, loss="bce", class_weights="balanced", label_smoothing=0.1)
    labels = torch.from_numpy(data.train.labels)
    logits = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    lesson = lesson_on(data, recipe, PRE, share=Share(), smallest=1)
    found = lesson.loss(given(logits), batch()._replace(labels=labels), step=0)
    plain = timm.loss.BinaryCrossEntropy(smoothing=0.1, reduction="none")(logits, labels).mean(1)
    torch.testing.assert_close(found, (plain[labels == 0].mean() + plain[labels == 1].mean()) / 2)


def test_a_recipe_says_the_order_of_an_epoch(tmp_path: Path) -> None:
    data = unbalanced(tmp_path)
    assert order_of(data, PLAIN).labels is None
    assert order_of(data, replace(PLAIN, aug_repeats=3)).repeats == 3
    assert order_of(data, replace(PLAIN, sampler="balanced")).labels is data.train.labels


def test_a_recipe_says_what_is_done_to_an_image() -> None:
    found = training_transform(replace(PLAIN, crop_scale=0.5, crop_ratio=2.0, flip=0.1), PRE)
    assert found == TrainTransform(PRE, (0.5, 1.0), (0.5, 2.0), 0.1)
    assert training_transform(Recipe(), PRE) == TrainTransform(PRE, (0.25, 1.0), (3 / 4, 4 / 3), 0.5)
    padded = PaddedCrop(PRE, 4, 0.5)
    assert training_transform(replace(PLAIN, crop_padding=4), PRE) == padded
    changed = training_transform(replace(PLAIN, crop_padding=4, aa="rand-m5-n1-p1"), PRE)
    assert changed == Augmented(padded, RandPolicy(5.0, 0.0, 1, 1.0))


def test_single_images_are_worked_on_beside_the_training_even_where_they_are_in_memory(tmp_path: Path) -> None:
    data = open_data(write_npz(tmp_path / "stripes.npz"))
    assert taken_at_once(data, PLAIN)
    assert not taken_at_once(data, replace(PLAIN, aa="trivial"))
    assert not taken_at_once(open_data(write_folder(tmp_path / "stripes")), PLAIN)
