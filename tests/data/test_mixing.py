"""Mixed, erased and padded images, and the order of an epoch."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures import stripes
from visiongraft.data.augment import Augmented, RandPolicy, TrivialPolicy, parse_policy
from visiongraft.data.erasing import AREA, cutout, erase
from visiongraft.data.loader import Samples, collate
from visiongraft.data.mixing import Blend, Mixing
from visiongraft.data.order import Order
from visiongraft.data.sampling import Draw, Share, StepSampler
from visiongraft.data.sets import ArrayImages
from visiongraft.data.transforms import PaddedCrop, Rows, TrainTransform
from visiongraft.data.views import cut_out
from visiongraft.preprocessing import Interpolation, Preprocessing

IMAGE = (20, 12)


def plain(count: int) -> torch.Tensor:
    """Give images that hold their own number everywhere."""
    return torch.arange(count).float()[:, None, None, None].expand(count, 3, *IMAGE).clone()


def test_the_labels_of_cutmix_are_the_areas_that_were_really_pasted() -> None:
    boxes = set()
    for seed in range(60):
        blend = Mixing(cutmix=1.0).blend(seed, IMAGE)
        assert blend is not None
        assert blend.box is not None
        pixels = blend.images(plain(4))
        own = (pixels == plain(4)).float().mean((1, 2, 3))
        targets = blend.targets(torch.tensor([0, 1, 2, 3]), 4)
        torch.testing.assert_close(targets.diagonal(), own)
        for row, partner in enumerate((1, 0, 3, 2)):
            torch.testing.assert_close(targets[row, partner], 1 - own[row])
            assert set(pixels[row].unique().tolist()) <= {float(row), float(partner)}
        boxes.add(blend.box)
    assert len(boxes) > 40
    assert any(box[0] == 0 for box in boxes)  # some are cut at the edge
    assert any(box[3] == IMAGE[1] for box in boxes)


def test_mixup_mixes_pixels_and_labels_by_one_share() -> None:
    blend = Mixing(mixup=0.8).blend(3, IMAGE)
    assert blend is not None
    assert blend.box is None
    pixels = blend.images(plain(4))
    torch.testing.assert_close(pixels[2, 0, 0, 0], torch.tensor(2 * blend.share + 3 * (1 - blend.share)))
    targets = blend.targets(torch.tensor([1, 1, 0, 1]), 2)
    torch.testing.assert_close(
        targets, torch.tensor([[0, 1], [0, 1], [blend.share, 1 - blend.share], [1 - blend.share, blend.share]])
    )


def test_how_often_and_which_way_a_batch_is_mixed_follows_the_probabilities() -> None:
    def kinds(mixing: Mixing) -> list[str]:
        found = [mixing.blend(seed, IMAGE) for seed in range(1000)]
        return ["none" if each is None else "mixup" if each.box is None else "cutmix" for each in found]

    both = kinds(Mixing(0.8, 1.0, probability=0.6, switch=0.25))
    assert both.count("none") == pytest.approx(400, abs=60)
    assert both.count("cutmix") == pytest.approx(150, abs=45)
    assert set(kinds(Mixing(0.8, 0.0, switch=1.0))) == {"mixup"}
    assert set(kinds(Mixing(0.0, 0.8, switch=0.0))) == {"cutmix"}
    assert set(kinds(Mixing())) == {"none"}


def test_shares_of_mixup_have_the_spread_of_their_beta_distribution() -> None:
    for concentration in (0.2, 1.0):
        shares = [Mixing(mixup=concentration).blend(seed, IMAGE).share for seed in range(2000)]
        assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
        assert np.var(shares) == pytest.approx(1 / (4 * (2 * concentration + 1)), rel=0.1)


@pytest.mark.parametrize("blend", [Blend(0.7), Blend(0.8, (2, 3, 8, 11))])
def test_an_image_has_the_same_partner_however_a_batch_is_cut(blend: Blend) -> None:
    pixels = torch.randn(12, 3, *IMAGE)
    whole = blend.images(pixels)
    for parts in (2, 3, 6):
        assert torch.equal(torch.cat([blend.images(part) for part in pixels.chunk(parts)]), whole)
    odd = blend.images(pixels[:5])
    assert torch.equal(odd[:4], whole[:4])
    assert torch.equal(odd[4], pixels[4])


def test_mixing_leaves_the_pixels_that_it_was_given() -> None:
    pixels = plain(2)
    Blend(0.5, (0, 0, 4, 4)).images(pixels)
    assert torch.equal(pixels, plain(2))


def test_cutout_takes_a_square_that_the_edge_may_cut() -> None:
    torch.manual_seed(0)
    hidden = cutout(torch.ones(400, 3, 32, 32), 8) == 0
    assert torch.equal(hidden[:, 0], hidden[:, 2])
    areas = hidden[:, 0].sum((1, 2))
    assert areas.max() == 64
    assert areas.min() >= 16
    assert (areas == 64).float().mean() == pytest.approx((25 / 32) ** 2, abs=0.08)
    for each in hidden[areas == 64, 0][:20]:
        rows, columns = each.any(1), each.any(0)
        assert (rows.sum(), columns.sum()) == (8, 8)
    assert hidden[:, 0, 0].any()
    assert hidden[:, 0, -1].any()


@pytest.mark.parametrize("fill", ["pixel", "const"])
def test_erasing_hides_a_rectangle_of_some_images(fill: str) -> None:
    torch.manual_seed(0)
    pixels = torch.full((600, 3, 40, 40), 7.0)
    found = erase(pixels, 0.25, fill)
    hidden = (found != 7.0).any(1)
    some = hidden.any((1, 2))
    assert some.float().mean() == pytest.approx(0.25, abs=0.06)
    shares = hidden[some].float().mean((1, 2))
    assert shares.min() > AREA[0] * 0.6
    assert shares.max() <= AREA[1] * 1.1
    one = hidden[some][0]
    assert one.sum() == one.any(0).sum() * one.any(1).sum()
    values = found[:, 0][hidden]
    assert values.std() == pytest.approx(1.0, abs=0.1) if fill == "pixel" else bool((values == 0).all())


def test_what_is_erased_does_not_depend_on_how_a_batch_is_cut() -> None:
    pixels = torch.randn(12, 3, 16, 16)

    def hidden(part: torch.Tensor, first: int) -> torch.Tensor:
        torch.manual_seed(5)
        rows = Rows(12, first)
        return erase(cutout(part, 4, rows), 0.5, "pixel", rows)

    torch.testing.assert_close(torch.cat([hidden(pixels[:4], 0), hidden(pixels[4:], 4)]), hidden(pixels, 0))


def test_what_is_off_changes_and_draws_nothing() -> None:
    pixels = torch.randn(4, 3, 8, 8)
    before = torch.get_rng_state()
    assert erase(cutout(pixels, 0), 0.0, "pixel") is pixels
    assert torch.equal(torch.get_rng_state(), before)


def padded(padding: int, seed: int = 0, **more) -> Samples:
    images, labels = stripes(20)
    return Samples(
        ArrayImages("train", images, labels), PaddedCrop(Preprocessing((24, 24)), padding, **more), seed=seed
    )


def test_a_padded_crop_shows_a_shifted_image_on_black_alone_and_in_batches() -> None:
    samples = padded(4)
    draws = [Draw(1, index) for index in range(20)]
    batch = samples.__getitems__(draws)
    together = cut_out(batch.images, batch.views)
    alone = collate([samples[draw] for draw in draws], image=(24, 24)).images
    torch.testing.assert_close(together, alone.float(), atol=1e-3, rtol=0)
    shifts = set()
    for index, shown in enumerate(alone):
        whole = np.pad(samples.images.pixels[index], ((4, 4), (4, 4), (0, 0)))
        for mirrored in (False, True):
            for top in range(9):
                for left in range(9):
                    part = whole[top : top + 24, left : left + 24]
                    part = part[:, ::-1] if mirrored else part
                    if np.array_equal(part, shown.permute(1, 2, 0).numpy()):
                        shifts.add((top, left))
    assert len(shifts) >= 15
    assert {top for top, _ in shifts} | {left for _, left in shifts} == set(range(9))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("side", [12, 16, 40])
def test_a_padded_crop_of_pictures_that_are_resized_is_the_same_alone_and_in_batches(
    side: int, interpolation: Interpolation
) -> None:
    pixels = np.random.default_rng(0).integers(90, 166, (20, 24, 24, 3), np.uint8)
    images = ArrayImages("train", pixels, np.zeros(20, np.int64))
    samples = Samples(images, PaddedCrop(Preprocessing((side, side), interpolation=interpolation), 3), seed=1)
    draws = [Draw(1, index) for index in range(20)]
    batch = samples.__getitems__(draws)
    together = cut_out(batch.images, batch.views)
    alone = collate([samples[draw] for draw in draws], image=(side, side)).images.float()
    assert torch.equal(together.amax(1) == 0, alone.amax(1) == 0)  # the margin is black, and nothing else is
    assert (together - alone).abs().max() < 1.2  # Pillow rounds twice


def test_a_padded_crop_of_another_size_is_resized_first() -> None:
    image = Image.new("RGB", (100, 50), (200, 100, 50))
    torch.manual_seed(0)
    shown = PaddedCrop(Preprocessing((24, 24)), 2)(image)
    assert shown.shape == (3, 24, 24)
    assert (shown[0] == 200).float().mean() > 0.8


def test_policies_are_read_as_timm_writes_them() -> None:
    assert parse_policy("none") is None
    assert parse_policy("trivial") == TrivialPolicy()
    assert parse_policy("rand-m9-mstd0.5-inc1") == RandPolicy(9.0, 0.5, 2, 0.5)
    assert parse_policy("rand-m15-n3-p1") == RandPolicy(10.0, 0.0, 3, 1.0)


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-n2", "trivial"])
def test_a_policy_changes_images_and_follows_from_the_draw_alone(policy: str) -> None:
    images, labels = stripes(16)
    crop = TrainTransform(Preprocessing((24, 24)), scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
    found = parse_policy(policy)
    assert found is not None
    plain, changed = (
        Samples(ArrayImages("train", images, labels), each, seed=2) for each in (crop, Augmented(crop, found))
    )
    draws = [Draw(0, index) for index in range(16)]
    first = changed.__getitems__(draws)
    torch.rand(5)
    random.random()
    again = [changed[draw] for draw in reversed(draws)][::-1]
    assert all(torch.equal(one.image, other.image) for one, other in zip(first, again, strict=True))
    differ = [not torch.equal(one.image, plain[draw].image) for one, draw in zip(first, draws, strict=True)]
    assert sum(differ) > 5
    other = [changed[Draw(1, index)].image for index in range(16)]
    assert any(not torch.equal(one.image, each) for one, each in zip(first, other, strict=True))


def test_a_probability_of_0_and_a_magnitude_of_0_leave_images_alone_or_nearly() -> None:
    image = Image.fromarray(stripes(1)[0][0])
    crop = TrainTransform(Preprocessing((24, 24)), scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
    for _ in range(10):
        assert torch.equal(Augmented(crop, RandPolicy(10.0, 0.0, 2, 0.0))(image), crop(image))


def epoch(order: Order, batch_size: int, *, number: int = 0, seed: int = 0) -> list[list[Draw]]:
    sampler = StepSampler(order.size, batch_size=batch_size, epochs=number + 1, seed=seed, order=order)
    return list(sampler)[number * sampler.steps_per_epoch :]


def test_balanced_sampling_shows_each_class_as_often_as_any_other() -> None:
    labels = np.repeat([0, 1, 2, 4], [60, 25, 10, 5])
    seen = [draw for batch in epoch(Order(100, labels=labels), 10) for draw in batch]
    counts = np.bincount(labels[[draw.index for draw in seen]])
    assert counts.tolist() == [25, 25, 25, 0, 25]
    per_image = np.bincount([draw.index for draw in seen], minlength=100)
    for label in (0, 1, 2, 4):
        mine = per_image[labels == label]
        assert mine.max() - mine.min() <= 1
    assert len(set(seen)) == 100  # those that come again are drawn anew
    other = [draw.index for batch in epoch(Order(100, labels=labels), 10, number=1) for draw in batch]
    assert set(other) != {draw.index for draw in seen}
    assert [draw.index for draw in seen] != sorted(draw.index for draw in seen)


def test_what_is_left_over_of_an_epoch_goes_to_different_classes() -> None:
    labels = np.repeat([0, 1, 2], [90, 5, 6])
    favoured = set()
    for number in range(8):
        seen = [draw.index for batch in epoch(Order(101, labels=labels), 101, number=number) for draw in batch]
        counts = np.bincount(labels[seen])
        assert sorted(counts.tolist()) == [33, 34, 34]
        favoured.add(int(counts.argmin()))
    assert len(favoured) > 1


def test_repeated_images_share_a_batch_and_are_drawn_anew_beside_others() -> None:
    batches = epoch(Order(60, repeats=3), 12)
    assert len(batches) == 5
    for batch in batches:
        counts = np.bincount([draw.index for draw in batch])
        assert sorted(counts[counts > 0].tolist()) == [3] * 4
        assert len(set(batch)) == 12
        assert all(one.index != other.index for one, other in zip(batch[::2], batch[1::2], strict=True))
    assert len({draw.index for batch in batches for draw in batch}) == 20


@pytest.mark.parametrize("order", [Order(40, repeats=2), Order(40, labels=np.arange(40) % 3)])
def test_any_order_is_the_same_from_any_step_and_for_any_devices(order: Order) -> None:
    whole = list(StepSampler(40, batch_size=8, epochs=3, seed=1, order=order))
    assert list(StepSampler(40, batch_size=8, epochs=3, seed=1, order=order, first_step=7)) == whole[7:]
    parts = [
        list(StepSampler(40, batch_size=8, epochs=3, seed=1, order=order, share=Share(device, 2))) for device in (0, 1)
    ]
    assert [one + other for one, other in zip(*parts, strict=True)] == whole


def test_copies_of_an_image_look_different() -> None:
    samples = padded(4)
    first, again = samples[Draw(0, 3)], samples[Draw(0, 3, 1)]
    assert not torch.equal(first.image, again.image)
