"""Promise 4: what is drawn for a sample is a function of (seed, epoch, index)."""

import os
import random
import signal
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from visiongraft.data.flowers import open_flowers
from visiongraft.data.loader import Batch, Failure, Sample, Samples, collate, make_loader
from visiongraft.data.sampling import Draw, ScoringSampler, Share, StepSampler, mix
from visiongraft.data.sets import ArrayImages, FileImages
from visiongraft.data.transforms import EvalTransform, TrainTransform
from visiongraft.data.views import Views, cut_out
from visiongraft.errors import DataError
from visiongraft.preprocessing import Preprocessing

PRE = Preprocessing(image=(8, 8))
COUNT = 21


@dataclass(frozen=True)
class Drawing:
    """A transform that also draws from Python and numpy, as many do."""

    pre: Preprocessing

    def __call__(self, image):
        return TrainTransform(self.pre)(image.rotate(random.random() * 90 + np.random.uniform(0, 90)))


@dataclass(frozen=True)
class Failing:
    """A transform with a fault."""

    pre: Preprocessing

    def __call__(self, image):
        raise ZeroDivisionError


def images(count=COUNT):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 12, 10, 3), np.uint8)
    return ArrayImages("train", pixels, np.arange(count) % 3)


def samples(seed=0, transform=Drawing):
    return Samples(images(), transform(PRE), seed=seed)


either = pytest.mark.parametrize("transform", [Drawing, TrainTransform])
"""A transform that is applied to one image after another, and one whose views are shown a batch at once."""


def shown(batch):
    return batch.images.clone() if batch.views is None else cut_out(batch.images, batch.views)


def learning(drawn, *, batch_size=4, workers=0, **more):
    """Load what a run of four epochs learns from."""
    sampler = StepSampler(len(drawn), batch_size=batch_size, epochs=4, seed=drawn.seed, **more)
    return make_loader(drawn, sampler, workers=workers)


def scoring(drawn, *, batch_size, workers=0):
    """Load what is scored."""
    return make_loader(drawn, ScoringSampler(len(drawn), batch_size=batch_size), workers=workers)


def seen(loader):
    """Keep all that comes."""
    return [(shown(batch), batch.labels.tolist(), batch.indices.tolist()) for batch in loader]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a, c) and b == d and e == f for (a, b, e), (c, d, f) in zip(first, second, strict=True)
    )


@either
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_with_any_number_of_workers(workers, transform):
    drawn = samples(transform=transform)
    assert same(seen(learning(drawn)), seen(learning(drawn, workers=workers)))


@either
@pytest.mark.parametrize("first_step", [5, 10, 13])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_starts_again_sees_what_it_would_have_seen(workers, first_step, transform):
    drawn = samples(transform=transform)
    through = seen(learning(drawn, workers=workers))
    assert len(through) == 20
    torch.manual_seed(1234)  # a new process has other global states
    random.seed(5)
    assert same(through[first_step:], seen(learning(drawn, workers=workers, first_step=first_step)))


@either
@pytest.mark.parametrize(("devices", "parts"), [(2, 1), (1, 2), (2, 2)])
def test_devices_and_parts_share_each_batch_without_gap_or_repeat(devices, parts, transform):
    drawn = samples(transform=transform)
    whole = seen(learning(drawn))
    shares = [seen(learning(drawn, share=Share(device, devices, parts))) for device in range(devices)]
    for step, (pixels, _, indices) in enumerate(whole):
        pieces = [shares[device][step * parts + part] for part in range(parts) for device in range(devices)]
        assert sum((piece[2] for piece in pieces), []) == indices
        assert torch.equal(torch.cat([piece[0] for piece in pieces]), pixels)


def test_a_part_knows_its_place_in_the_batch():
    drawn = samples()
    (_, _, whole), *_ = seen(learning(drawn, batch_size=12))
    for device in range(2):
        share = Share(device, 2, 3)
        for part, (_, _, indices) in zip(range(3), seen(learning(drawn, batch_size=12, share=share)), strict=False):
            first = share.first(part, 12)
            assert whole[first : first + 2] == indices


def test_parts_of_one_image_are_refused_unless_several_devices_make_up_for_it():
    with pytest.raises(DataError) as refusal:
        learning(samples(), batch_size=4, share=Share(parts=4))
    assert str(refusal.value) == (
        "A batch of 4 images in 4 parts leaves parts of one image, which cannot be normalised over a batch. Use"
        " --batch-size 8 or more, or a smaller --grad-accum-steps."
    )
    with pytest.raises(DataError, match=r"1 image in 1 part leaves .* over a batch\. Use --batch-size 2 or more\.$"):
        learning(samples(), batch_size=1)
    assert len(learning(samples(), batch_size=4, share=Share(0, 4))) == 4 * (COUNT // 4)


def test_a_batch_that_cannot_be_cut_into_equal_parts_is_refused():
    with pytest.raises(DataError) as refusal:
        learning(samples(), batch_size=10, share=Share(0, 2, 2))
    assert str(refusal.value) == (
        "A batch of 10 images cannot be cut into equal parts for 2 devices with 2 parts each. "
        "Use a --batch-size that 4 divides."
    )


def test_every_seed_epoch_and_index_draws_something_else():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 99, 99, 3), np.uint8).repeat(4, axis=0)
    same_pixels = ArrayImages("train", pixels, np.zeros(4, np.int64))
    drawn = {
        Samples(same_pixels, TrainTransform(PRE), seed=seed)[Draw(epoch, index)].image.numpy().tobytes()
        for seed in range(4)
        for epoch in range(4)
        for index in range(4)
    }
    assert len(drawn) == 4 * 4 * 4


def test_a_sample_does_not_depend_on_its_batch():
    batch = samples().__getitems__([Draw(2, 5), Draw(2, 9)])
    assert torch.equal(batch[1].image, samples()[Draw(2, 9)].image)


def test_orders_are_permutations_that_differ_between_epochs_and_seeds():
    orders = []
    for seed, epoch in [(0, 0), (0, 1), (1, 0), (0, 0)]:
        sampler = StepSampler(100, batch_size=10, epochs=2, seed=seed)
        draws = [draw for draws in list(sampler)[10 * epoch : 10 * epoch + 10] for draw in draws]
        orders.append([draw.index for draw in draws])
        assert sorted(orders[-1]) == list(range(100))
        assert {draw.epoch for draw in draws} == {epoch}
    assert orders[0] == orders[3]
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize("devices", [1, 2, 3, 9])
def test_devices_score_every_image_once_in_the_batches_of_one(devices):
    alone = list(ScoringSampler(COUNT, batch_size=4))
    shares = [list(ScoringSampler(COUNT, batch_size=4, share=Share(each, devices))) for each in range(devices)]
    assert [shares[place % devices][place // devices] for place in range(len(alone))] == alone
    assert sum(map(len, shares)) == len(alone)
    assert [draw.index for draws in alone for draw in draws] == list(range(COUNT))


def test_order_and_samples_do_not_share_their_draws():
    assert mix("order", 0, 1) != mix("sample", 0, 1)
    assert len({mix("sample", a, b, c) for a in range(-3, 9) for b in range(12) for c in range(12)}) == 12**3
    assert mix("sample", 2**70, 0, 0) < 2**64


def test_the_sequential_order_is_the_stored_one():
    loader = scoring(Samples(images(), EvalTransform(PRE)), batch_size=8)
    assert torch.cat([batch.indices for batch in loader]).tolist() == list(range(COUNT))
    assert torch.cat([batch.labels for batch in loader]).tolist() == [index % 3 for index in range(COUNT)]


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_generators_alone(workers):
    loader = learning(samples(), workers=workers)
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    expected = torch.rand(2).tolist(), random.random(), np.random.rand()
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    list(loader)
    assert (torch.rand(2).tolist(), random.random(), np.random.rand()) == expected


def test_the_generators_are_restored_even_when_a_change_fails():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        Samples(images(), Failing(PRE))[Draw(0, 0)]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_holds_bytes_in_channels_last_order():
    batch = next(iter(learning(samples())))
    assert isinstance(batch, Batch)
    assert (batch.images.shape, batch.images.dtype) == ((4, 3, 8, 8), torch.uint8)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert (batch.labels.dtype, batch.indices.dtype, batch.failures) == (torch.int64, torch.int64, ())


def test_the_last_batch_is_left_out_of_learning_and_kept_in_scoring():
    assert [len(batch.labels) for batch in learning(samples(), batch_size=8)] == [8, 8] * 4
    assert [len(batch.labels) for batch in scoring(samples(), batch_size=8)] == [8, 8, 5]


def test_a_batch_larger_than_the_data_names_the_largest():
    with pytest.raises(DataError) as refusal:
        learning(samples(), batch_size=22)
    assert str(refusal.value) == (
        "A batch of 22 images is larger than the data. "
        "The largest that it can fill is 21: use --batch-size 21 or less."
    )
    assert len(learning(samples(), batch_size=21)) == 4
    assert len(scoring(samples(), batch_size=22)) == 1
    with pytest.raises(DataError, match="A batch of 0 images is none"):
        scoring(samples(), batch_size=0)


def files(folder, broken):
    """Ten images of which some are cut short."""
    for number in range(10):
        path = folder / f"{number}.png"
        Image.effect_noise((20, 20), 99).save(path)
        if number in broken:
            path.write_bytes(path.read_bytes()[:60])
    return FileImages(folder, tuple(f"{number}.png" for number in range(10)), np.arange(10))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_listed_and_the_others_are_kept(tmp_path, workers):
    loader = scoring(Samples(files(tmp_path, {1, 6}), TrainTransform(PRE)), batch_size=5, workers=workers)
    first, second = list(loader)
    assert first.indices.tolist() == first.labels.tolist() == [0, 2, 3, 4]
    assert len(first.images) == 4
    assert second.indices.tolist() == [5, 7, 8, 9]
    (failure,) = second.failures
    assert isinstance(failure, Failure)
    assert (failure.index, failure.name) == (6, str(tmp_path / "6.png"))
    assert failure.reason.startswith("it is damaged")


def test_a_batch_in_which_all_images_fail_has_none(tmp_path):
    loader = scoring(Samples(files(tmp_path, range(10)), EvalTransform(PRE)), batch_size=5)
    for batch in loader:
        assert batch.images.shape == (0, 3, 8, 8)
        assert len(batch.labels) == len(batch.indices) == 0
        assert [failure.index for failure in batch.failures] in ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])


def test_a_broken_image_does_not_change_what_is_drawn_for_the_others(tmp_path):
    whole = Samples(files(tmp_path, ()), TrainTransform(PRE))
    expected = whole[Draw(0, 4)].image
    (tmp_path / "3.png").write_bytes(b"")
    failed, drawn = whole.__getitems__([Draw(0, 3), Draw(0, 4)])
    assert isinstance(failed, Failure)
    assert torch.equal(drawn.image, expected)


def test_collate_keeps_every_pixel_in_its_place():
    pixels = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    batch = collate([Sample(pixels[0], 7, 1), Failure(4, "a.jpg", "empty"), Sample(pixels[1], 8, 2)], image=(4, 5))
    assert torch.equal(batch.images, pixels)
    assert batch.labels.tolist() == [7, 8]
    assert batch.failures == (Failure(4, "a.jpg", "empty"),)


def test_an_interrupt_does_not_end_the_workers():
    loader = learning(samples(), workers=1)
    batches = iter(loader)
    next(batches)
    for worker in batches._workers:
        os.kill(worker.pid, signal.SIGINT)
    time.sleep(0.2)
    assert len(list(batches)) == 19


def test_images_grow_with_the_epochs_and_keep_the_last_size() -> None:
    sizes = [(8, 8), (12, 16)]
    samples = Samples(images(), [TrainTransform(PRE.at(size)) for size in sizes])
    batches = list(learning(samples))
    for place, size in ((0, (8, 8)), (5, (12, 16)), (19, (12, 16))):
        assert batches[place].views.size == size
        assert shown(batches[place]).shape == (4, 3, *size)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(15, 20), (24, 24), (60, 50)])
@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 1), (30, 40, 3), (30, 40, 4)])
def test_pictures_in_memory_are_shown_as_their_transform_shows_them_one_by_one(size, interpolation, shape):
    pixels = np.random.default_rng(0).integers(60, 196, (64, *shape), np.uint8)  # far from black and white
    images = ArrayImages("train", pixels, np.arange(64) % 7)
    whole = Samples(images, TrainTransform(Preprocessing(size, interpolation=interpolation)), seed=3)
    draws = [Draw(2, index) for index in range(64)]
    batch = collate(whole.__getitems__(draws), image=size)
    expected = collate([whole[draw] for draw in draws], image=size)
    assert torch.equal(batch.labels, expected.labels)
    assert torch.equal(batch.indices, expected.indices)
    found = cut_out(batch.images, batch.views)
    assert found.is_contiguous(memory_format=torch.channels_last)
    # Pillow rounds to whole numbers after each of its two steps.
    assert (found - expected.images).abs().max() < 1.7


def test_photographs_are_shown_as_their_transform_shows_them_but_for_what_pillow_clips():
    photos = Samples(open_flowers(parts="val").val, TrainTransform(Preprocessing((48, 48))))
    draws = [Draw(0, index) for index in range(100)]
    batch = photos.__getitems__(draws)
    expected = collate([photos[draw] for draw in draws], image=(48, 48)).images
    differences = (cut_out(batch.images, batch.views) - expected).abs()
    assert differences.mean() < 0.3
    assert (differences > 1.5).float().mean() < 0.005


def test_large_pictures_and_transforms_of_other_makes_go_one_by_one():
    class Negative(TrainTransform):
        def __call__(self, image):
            return 255 - super().__call__(image)

    large = Samples(images(), TrainTransform(PRE.at((5, 5))))
    inverted = Samples(images(), Negative(PRE))
    for drawn in (large, inverted):
        made = drawn.__getitems__([Draw(0, 1), Draw(0, 2)])
        assert all(torch.equal(each.image, drawn[Draw(0, each.index)].image) for each in made)


def test_what_a_filter_shoots_over_is_cut_at_black_and_white():
    edge = torch.tensor([0, 255], dtype=torch.uint8).repeat_interleave(20).expand(1, 3, 9, 40)
    shown = cut_out(edge, Views(torch.tensor([[10.0, 0.0, 30.0, 9.0, 0.0]]), (9, 70), "bicubic"))
    assert (shown.min(), shown.max()) == (0.0, 255.0)


def test_a_view_of_the_whole_picture_at_its_size_is_the_picture():
    pixels = torch.randint(0, 256, (2, 3, 12, 10), dtype=torch.uint8)
    parts = torch.tensor([[0.0, 0.0, 10.0, 12.0, 0.0], [0.0, 0.0, 10.0, 12.0, 1.0]])
    shown = cut_out(pixels, Views(parts, (12, 10), "bicubic"))
    assert torch.equal(shown, torch.stack([pixels[0], pixels[1].flip(2)]).float())


def test_half_precision_around_it_does_not_change_what_is_shown():
    pixels = torch.randint(0, 256, (2, 3, 12, 10), dtype=torch.uint8)
    views = Views(torch.tensor([[1.0, 2.0, 8.0, 11.0, 0.0]]).expand(2, 5), (9, 9), "bilinear")
    with torch.autocast("cpu", torch.bfloat16):
        found = cut_out(pixels, views)
    assert torch.equal(found, cut_out(pixels, views))


def test_drawing_views_leaves_the_generators_as_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Samples(images(), TrainTransform(PRE)).__getitems__([Draw(0, 1)])
    assert torch.equal(torch.rand(3), expected)
