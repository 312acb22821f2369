"""Copies are found whatever became of their files, and other pictures are not taken for copies."""

import io

import numpy as np
import pytest
from PIL import Image

from scripts.measure_copies import CHANGES, as_jpeg, plain_pairs, scaled
from tests.scenes import scene
from visiongraft.data.duplicates import NEAR, are_flat, digest, equal_groups, near_pairs, perceptual_hashes, shrunk
from visiongraft.data.flowers import open_flowers


def photographs(count=300):
    val = open_flowers(parts="val").val
    return [val.load(index) for index in range(count)]


def hashes(images):
    return perceptual_hashes(np.stack([shrunk(each) for each in images]))


def apart(one, other):
    """Count the bits in which hashes differ, row by row."""
    return np.bitwise_count(one ^ other).sum(axis=1)


SIMILAR = [name for name in CHANGES if "quality 20" not in name and "cut off" not in name and name != "mirrored"]
"""Changes that leave the looks, as far as these small photographs are concerned."""


@pytest.mark.parametrize("change", SIMILAR)
def test_copies_of_photographs_look_nearly_the_same(change):
    images = photographs()
    bits = apart(hashes(images), hashes([CHANGES[change](each) for each in images]))
    assert (bits <= NEAR).mean() >= 0.98


def test_mirrored_and_turned_photographs_do_not():
    images = photographs(100)
    for turn in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90):
        bits = apart(hashes(images), hashes([each.transpose(turn) for each in images]))
        assert (bits <= NEAR).mean() <= 0.02


def test_different_photographs_are_not_taken_for_copies():
    found = near_pairs(hashes(photographs(748)))
    assert found.tolist() == [[698, 707]]  # one photograph of tulips, once with its colours changed


def test_bits_do_not_depend_on_brightness_and_contrast_where_nothing_is_clipped():
    gray = np.random.default_rng(0).uniform(50, 150, (5, 32, 32)).astype(np.float32)
    assert np.array_equal(perceptual_hashes(gray), perceptual_hashes(gray * 1.25 + 30))


def test_the_256_bits_are_halved_by_their_median():
    bits = np.bitwise_count(hashes([scene(seed) for seed in range(8)])).sum(axis=1)
    assert set(bits.tolist()) <= {127, 128}


def test_the_hash_is_that_of_a_cosine_transform_written_out():
    gray = np.random.default_rng(1).uniform(0, 255, (32, 32)).astype(np.float32)
    pixel = np.arange(32) + 0.5
    strengths = np.array(
        [
            [
                (gray * np.outer(np.cos(np.pi / 32 * u * pixel), np.cos(np.pi / 32 * v * pixel))).sum()
                for v in range(16)
            ]
            for u in range(16)
        ]
    ).reshape(-1)
    expected = np.packbits(strengths > np.median(strengths[1:])).view(np.uint16)
    assert np.array_equal(perceptual_hashes(gray[None])[0], expected)


def test_no_pair_that_differs_in_less_than_16_bits_is_missed():
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 2**16, (2000, 16), np.uint16)
    copies = originals.copy()
    for copy in copies:  # a bit in each of 15 rows
        rows = rng.permutation(16)[:15]
        copy[rows] ^= np.uint16(1) << rng.integers(0, 16, 15).astype(np.uint16)
    found = near_pairs(np.concatenate([originals, copies]))
    assert found.tolist() == [[index, index + 2000] for index in range(2000)]


def test_nearly_all_pairs_are_found_that_comparing_each_with_each_finds():
    images = photographs(200)
    both = hashes(images + [as_jpeg(scaled(each, 0.625), 30) for each in images])
    plain = plain_pairs(both)
    found = {(int(a), int(b)) for a, b in near_pairs(both)}
    assert found <= plain
    assert len(plain) > 150
    assert len(found) >= 0.97 * len(plain)


def test_as_many_bits_may_differ_as_near_says_and_no_more():
    one = np.random.default_rng(0).integers(0, 2**16, (1, 16), np.uint16)
    other, further = one.copy(), one.copy()
    other[0, :4] ^= np.uint16(0xFF)  # 8 bits in each of 4 rows
    further[0, :4] ^= np.uint16(0xFF)
    further[0, 5] ^= np.uint16(1)
    assert near_pairs(np.concatenate([one, other])).tolist() == [[0, 1]]
    assert near_pairs(np.concatenate([one, further])).tolist() == []


def test_pairs_are_found_once_though_they_share_many_rows():
    one = hashes([scene(1)])
    assert near_pairs(np.concatenate([one, hashes([scene(2)]), one])).tolist() == [[0, 2]]
    assert near_pairs(one).tolist() == []
    assert near_pairs(one[:0]).tolist() == []


def test_a_set_of_one_scene_is_searched_within_bounds(monkeypatch):
    monkeypatch.setattr("visiongraft.data.duplicates.MOST_NEIGHBOURS", 3)
    same = np.repeat(hashes([scene(1)]), 50, axis=0)
    assert len(near_pairs(same)) == 3 * 50 - 6
    monkeypatch.setattr("visiongraft.data.duplicates.MOST_PAIRS", 10)
    assert len(near_pairs(same)) == 10


def test_images_without_content_are_told_from_those_with_a_little():
    grays = [np.full((32, 32), 200.0), np.full((32, 32), 200.0), np.tile(np.repeat([120.0, 130.0], 16), (32, 1))]
    grays[1][0, 0] = 0.0
    assert are_flat(np.array([grays[0], grays[2]], np.float32)).tolist() == [True, False]
    assert not are_flat(np.array(grays[1:2], np.float32))[0]


def test_a_digest_is_of_the_pixels_alone():
    image = scene(3)
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    assert digest(Image.open(buffer).convert("RGB")) == digest(image)
    changed = image.copy()
    red, green, blue = image.getpixel((5, 5))
    changed.putpixel((5, 5), (red, green, blue ^ 1))
    assert digest(changed) != digest(image)


def test_the_same_bytes_in_another_shape_are_another_image():
    assert digest(Image.new("RGB", (4, 9))) != digest(Image.new("RGB", (9, 4)))


def test_equal_images_come_in_groups_in_their_order():
    digests = np.array([[5, 1], [2, 2], [5, 1], [9, 9], [2, 2], [5, 1], [5, 2]], np.uint64)
    assert [each.tolist() for each in equal_groups(digests, np.arange(7))] == [[0, 2, 5], [1, 4]]
    assert [each.tolist() for each in equal_groups(digests, np.array([1, 2, 4]))] == [[1, 4]]
    assert equal_groups(digests, np.zeros(0, np.int64)) == []
