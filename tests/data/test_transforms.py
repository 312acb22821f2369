"""What a network is shown of an image."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import adjust_brightness, adjust_contrast, adjust_saturation

from visiongraft.data.transforms import (
    EvalTransform,
    TrainTransform,
    Transform,
    _middle,
    jitter_colors,
    rotate,
    to_tensor,
)
from visiongraft.errors import DataError
from visiongraft.preprocessing import Preprocessing, normalize


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def ramp(width, height):
    """Red tells the column and green the row."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (80, 80), (333, 127), (31, 500), (256, 256), (257, 255)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("side", "crop"), [(64, 0.875), (224, 0.95), (96, 1.0)])
def test_a_square_is_what_torchvision_cuts_out(size, interpolation, side, crop):
    pre = Preprocessing(image=(side, side), interpolation=interpolation, crop=crop)
    torchvisions = transforms.Compose(
        [
            transforms.Resize(int(side / crop), transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(side),
            transforms.PILToTensor(),
        ]
    )
    assert torch.equal(EvalTransform(pre)(noise(*size)), torchvisions(noise(*size)))


def test_an_image_of_the_right_size_is_passed_on_untouched():
    image = noise(48, 32)
    pixels = EvalTransform(Preprocessing(image=(32, 48)))(image)
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(image))


@pytest.mark.parametrize("image", [(32, 64), (64, 32), (50, 47)])
@pytest.mark.parametrize("size", [(100, 100), (90, 200), (200, 90), (7, 5), (64, 33), (1, 1)])
@pytest.mark.parametrize("crop", [0.875, 1.0])
def test_any_shape_is_filled_from_any_image_without_a_margin(image, size, crop):
    white = Image.new("RGB", size, "white")
    pixels = EvalTransform(Preprocessing(image=image, crop=crop))(white)
    assert pixels.shape == (3, *image)
    assert pixels.min() == 255  # a crop that leaves the image would be filled with black


def test_a_wide_crop_keeps_the_shape_of_things():
    pixels = EvalTransform(Preprocessing(image=(50, 100), crop=1.0, interpolation="bilinear"))(ramp(200, 200))
    across = pixels[0, 25, 90] - pixels[0, 25, 10].int()
    down = pixels[1, 45, 50] - pixels[1, 5, 50].int()
    assert (across, down) == (160, 80)  # 2 source pixels a step in both directions
    assert 95 <= pixels[1, 25, 50] <= 105  # and centred


def test_equal_generators_cut_out_equal_parts_and_others_do_not():
    train = TrainTransform(Preprocessing(image=(32, 32)))
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(train(noise(60, 40)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def crops(train, size, count=2000):
    """Read off which parts were cut out of images whose colors tell the place: left, top, right, bottom, flipped."""
    torch.manual_seed(0)
    found = []
    for _ in range(count):
        pixels = train(ramp(*size)).int()
        red, green = pixels[0, 0], pixels[1, :, 0]
        found.append((red.min(), green.min(), red.max() + 1, green.max() + 1, red[0] > red[-1]))
    return np.array(found, float).T


def test_crops_have_the_areas_shapes_places_and_flips_that_were_asked_for():
    size = (120, 100)
    train = TrainTransform(Preprocessing(image=(64, 64), interpolation="bilinear"), scale=(0.3, 0.6))
    left, top, right, bottom, flipped = crops(train, size)
    # The first and last pixel of a resized crop are averages, so an edge is known to about a source pixel.
    shares = (right - left) * (bottom - top) / (size[0] * size[1])
    assert 0.27 < shares.min() < 0.33
    assert 0.55 < shares.max() < 0.65
    assert abs(shares.mean() - 0.45) < 0.02
    shapes = (right - left) / (bottom - top)
    assert 0.70 < shapes.min() < 0.80
    assert 1.27 < shapes.max() < 1.40
    assert abs(np.log(shapes).mean()) < 0.02
    for low, high, side in ((left, right, size[0]), (top, bottom, size[1])):
        assert low.min() <= 1
        assert high.max() >= side - 1
        assert abs((low + high).mean() / 2 - side / 2) < 1.5
    assert 0.46 < flipped.mean() < 0.54


def test_the_mean_crop_is_that_of_torchvision():
    size = (120, 100)
    ours = crops(TrainTransform(Preprocessing(image=(64, 64), interpolation="bilinear")), size)
    theirs = v2.Compose([v2.RandomResizedCrop(64, scale=(0.35, 1.0)), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    assert np.abs(ours.mean(axis=1) - crops(theirs, size).mean(axis=1)).max() < 1.2


def test_wide_networks_are_shown_wide_parts():
    pre = Preprocessing(image=(32, 64), interpolation="bilinear")
    left, top, right, bottom, _ = crops(TrainTransform(pre, scale=(0.2, 0.4)), (200, 200), count=500)
    assert abs(np.log((right - left) / (bottom - top) / 2).mean()) < 0.05


def test_an_image_too_narrow_for_any_crop_gives_its_middle():
    train = TrainTransform(Preprocessing(image=(32, 32), interpolation="bilinear"), scale=(1.0, 1.0))
    left, top, right, bottom, _ = crops(train, (20, 200), count=50)
    assert (left.max(), right.min()) == (0, 20)
    assert np.all(np.abs((top + bottom) / 2 - 100) < 2)
    assert np.all(bottom - top < 30)


def test_flips_can_be_switched_off():
    *_, flipped = crops(TrainTransform(Preprocessing(image=(32, 32)), flip=0.0), (64, 64), count=50)
    assert not flipped.any()


def test_both_are_transforms():
    assert isinstance(EvalTransform(Preprocessing()), Transform)
    assert isinstance(TrainTransform(Preprocessing()), Transform)


def test_normalised_pixels_are_those_of_torchvision_in_the_format_they_came_in():
    pre = Preprocessing()
    batch = torch.stack([to_tensor(noise(8, 6, seed)) for seed in range(3)]).contiguous(
        memory_format=torch.channels_last
    )
    expected = transforms.Normalize(pre.mean, pre.std)(batch.float() / 255)
    ours = normalize(batch, pre)
    assert torch.allclose(ours, expected, atol=1e-6)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert batch.dtype == torch.uint8


def test_a_batch_without_images_can_be_normalised():
    assert normalize(torch.empty(0, 3, 4, 4, dtype=torch.uint8), Preprocessing()).shape == (0, 3, 4, 4)


def test_a_preprocessing_survives_json():
    pre = Preprocessing((64, 96), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear", 0.9)
    assert Preprocessing.from_dict(json.loads(json.dumps(pre.to_dict()))) == pre


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": None}, r"Missing here: \['crop'\]; unknown: none"),
        ({"size": 3}, r"Missing here: none; unknown: \['size'\]"),
        ({"image": [64]}, "A preprocessing cannot be read from"),
        ({"image": [64.5, 64]}, "A preprocessing cannot be read from"),
        ({"image": "64"}, "A preprocessing cannot be read from"),
        ({"image": [0, 64]}, r"Images of \(0, 64\) pixels cannot be shown"),
        ({"mean": [0.5, 0.5]}, "A preprocessing cannot be read from"),
        ({"mean": ["a", "b", "c"]}, "A preprocessing cannot be read from"),
        ({"std": [0.5, 0.5, 0.0]}, "A std is above 0"),
        ({"mean": [float("nan"), 0.5, 0.5]}, "Pixels cannot be normalised by mean"),
        ({"crop": 1.5}, r"A central crop of 1.5 cannot be taken. Expected a share in \(0, 1\]"),
        ({"crop": [1]}, "A preprocessing cannot be read from"),
        ({"interpolation": "cubic"}, r"Interpolation 'cubic' is unknown. Expected one of \['bicubic', 'bilinear'\]"),
        ({"interpolation": []}, r"Interpolation \[\] is unknown"),
    ],
)
def test_a_document_that_is_no_preprocessing_is_refused(change, message):
    document = Preprocessing().to_dict() | change
    document = {key: value for key, value in document.items() if value is not None}
    with pytest.raises(DataError, match=message) as refusal:
        Preprocessing.from_dict(document)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    "change", [{"scale": (0.0, 1.0)}, {"scale": (0.9, 0.5)}, {"ratio": (2.0, 1.0)}, {"flip": 1.5}]
)
def test_ranges_that_are_none_are_refused(change):
    with pytest.raises(DataError, match="is no"):
        replace(TrainTransform(Preprocessing()), **change)


def test_colours_are_jittered_image_by_image_around_what_they_were() -> None:
    torch.manual_seed(0)
    picture = torch.tensor([200.0, 100.0, 50.0]).view(1, 3, 1, 1).expand(4000, 3, 2, 2)
    found = jitter_colors(picture, 0.2)
    assert torch.equal(jitter_colors(picture, 0.0), picture)
    assert len(found[:, :, 0, 0].unique(dim=0)) > 1000
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.tensor([200.0, 100.0, 50.0]), atol=2.0, rtol=0)
    brightness = jitter_colors(torch.full((4000, 3, 2, 2), 100.0), 0.2) / 100
    assert 0.79 < float(brightness.min()) < 0.85
    assert 1.15 < float(brightness.max()) < 1.21


def test_jittered_gray_stays_gray_and_within_bytes() -> None:
    torch.manual_seed(0)
    gray = torch.randint(0, 256, (50, 1, 4, 4)).float().expand(-1, 3, -1, -1)
    found = jitter_colors(gray, 1.0)
    torch.testing.assert_close(found[:, 0], found[:, 2], atol=1e-3, rtol=0)
    assert found.min() >= 0
    assert found.max() <= 255


def test_jitter_is_what_torchvision_does_with_the_same_factors() -> None:
    pixels = torch.rand(1, 3, 5, 7) * 255
    torch.manual_seed(1)
    saturation, contrast, brightness = (1.0 + 0.3 * (2.0 * torch.rand(3, 1) - 1.0)).flatten().tolist()
    torch.manual_seed(1)
    found = jitter_colors(pixels, 0.3)
    expected = adjust_saturation(pixels / 255, saturation)
    expected = adjust_brightness(adjust_contrast(expected, contrast), brightness) * 255
    # torchvision rounds its shares of red, green and blue, and clamps after each change, which few of these need.
    close = (found - expected).abs() < 1.0
    assert close.float().mean() > 0.9


def test_images_are_turned_one_by_one_by_at_most_the_angle_asked_for() -> None:
    torch.manual_seed(0)
    side = 65
    y, x = torch.meshgrid(torch.arange(side) - 32.0, torch.arange(side) - 32.0, indexing="ij")
    bar = (255.0 * torch.exp(-(y**2) / 8)).expand(200, 3, side, side)  # a level bar through the middle
    assert rotate(bar, 0.0) is bar
    turned = rotate(bar, 30.0)[:, 0] * (x**2 + y**2 < 30**2)
    # The direction of a bar is half the angle of its second moments.
    along, across, both = ((turned * each).sum((1, 2)) for each in (x**2, y**2, x * y))
    angles = torch.rad2deg(0.5 * torch.atan2(2 * both, along - across))
    assert angles.abs().max() < 31
    assert angles.min() < -25
    assert angles.max() > 25
    assert angles.mean().abs() < 5


def test_a_fine_pattern_keeps_its_contrast_when_it_is_turned() -> None:
    pattern = 127.0 + 100.0 * torch.sin(torch.arange(64) * 1.7).expand(200, 3, 64, 64)
    torch.manual_seed(0)
    middle = (slice(None), slice(None), slice(20, 44), slice(20, 44))
    kept = rotate(pattern, 15.0)[middle].var() / pattern[middle].var()
    assert 0.8 < kept < 1.1  # a bilinear filter leaves 0.65


def test_colours_end_within_the_range_of_pixels_whether_they_are_changed_or_not() -> None:
    pixels = torch.tensor([-30.0, 100.0, 290.0]).expand(2, 3, 4, 3)
    for strength in (0.0, 0.3):
        found = jitter_colors(pixels, strength)
        assert 0.0 <= found.min() <= found.max() <= 255.0


def test_half_precision_around_it_does_not_shift_what_is_turned() -> None:
    pixels = torch.rand(4, 3, 224, 224) * 255
    torch.manual_seed(0)
    expected = rotate(pixels, 15.0)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        found = rotate(pixels, 15.0)
    assert torch.equal(found, expected)


def test_a_turn_of_a_wide_image_is_a_turn_and_no_skew() -> None:
    picture = torch.zeros(40, 3, 20, 60)
    picture[:, :, 4:16, 24:36] = 255.0  # a square keeps its area and stays in the middle
    torch.manual_seed(0)
    turned = rotate(picture, 45.0)[:, 0]
    torch.testing.assert_close(turned.sum((1, 2)), picture[:, 0].sum((1, 2)), rtol=0.03, atol=0)
    columns = torch.arange(60.0)
    spread = (turned.sum(1) * (columns - 29.5) ** 2).sum(1) / turned.sum((1, 2))
    torch.testing.assert_close(spread, torch.full((40,), 143 / 12), rtol=0.05, atol=0)  # of a square: no angle matters


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000)])
def test_a_thread_of_an_image_does_not_grow_into_a_wall(size):
    image = Image.new("RGB", size, (10, 200, 30))
    resized = EvalTransform(Preprocessing((64, 64)))._resize(_middle(image, 64, 64))
    assert resized.width * resized.height < 10_000_000
    assert EvalTransform(Preprocessing((64, 64)))(image).shape == (3, 64, 64)
