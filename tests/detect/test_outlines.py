"""Shapes of objects, as files write them and as pixels."""

import sys

import numpy as np
import pytest

from visiongraft.detect.outlines import BadOutlineError, Polygons, RunLengths, box_of, read_outline
from visiongraft.errors import MissingExtra

pycocotools = pytest.importorskip("pycocotools.mask")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools 2.0.11

SIZE = (9, 7)


def blob(seed=0, size=SIZE):
    return (np.random.default_rng(seed).random(size) < 0.4).astype(np.uint8)


@pytest.mark.parametrize("seed", range(8))
def test_run_lengths_say_of_a_mask_what_pycocotools_says(seed):
    mask = blob(seed)
    theirs = pycocotools.encode(np.asfortranarray(mask))
    ours = RunLengths.of(mask)
    assert pycocotools.frPyObjects(ours.coco(), *SIZE)["counts"] == theirs["counts"]
    assert ours.area == pycocotools.area(theirs)
    x, y, width, height = pycocotools.toBbox(theirs).tolist()
    assert ours.box == (x, y, x + width, y + height)
    read = read_outline({"size": list(SIZE), "counts": theirs["counts"].decode()}, SIZE)
    assert np.array_equal(read.runs, ours.runs)
    assert np.array_equal(read.mask(SIZE), mask)


def test_long_runs_are_uncompressed_as_pycocotools_compresses_them():
    mask = np.zeros((500, 700), np.uint8)
    mask[100:400, 20:650] = 1
    mask[::3, 300:310] ^= 1
    theirs = pycocotools.encode(np.asfortranarray(mask))
    read = read_outline({"size": [500, 700], "counts": theirs["counts"].decode()}, (500, 700))
    assert np.array_equal(read.mask((500, 700)), mask)


@pytest.mark.parametrize(
    "mask",
    [np.zeros(SIZE, np.uint8), np.ones(SIZE, np.uint8), np.eye(*SIZE, 3, np.uint8), np.eye(*SIZE, -8, np.uint8)],
)
def test_masks_with_whole_edges_and_empty_ones_go_there_and_back(mask):
    runs = RunLengths.of(mask)
    assert np.array_equal(runs.mask(SIZE), mask)
    assert runs.area == mask.sum()


def test_polygons_are_drawn_together_as_pycocotools_draws_them():
    rings = [[0.5, 0.5, 5.2, 1.0, 3.0, 6.4], [2, 2, 7, 2, 7, 9, 2, 9]]
    ours = read_outline(rings, SIZE)
    theirs = pycocotools.decode(pycocotools.merge(pycocotools.frPyObjects(rings, *SIZE)))
    assert np.array_equal(ours.mask(SIZE), theirs)
    assert ours.box == (0.5, 0.5, 7, 9)
    assert ours.coco() == rings


def test_polygons_without_pycocotools_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingExtra) as raised:
        read_outline([[1, 1, 4, 1, 4, 4, 1, 4]], SIZE).mask(SIZE)
    assert str(raised.value) == "Polygons need pycocotools. Install it with: pip install 'visiongraft[detect]'"
    assert RunLengths.of(blob()).mask(SIZE).shape == SIZE


def test_the_area_of_a_square_is_its_side_squared():
    assert read_outline([[1, 1, 4, 1, 4, 4, 1, 4]], SIZE).area == 9


def test_one_polygon_may_come_without_the_list_around_it():
    assert isinstance(read_outline([1, 1, 4, 1, 4, 4], SIZE), Polygons)


@pytest.mark.parametrize("entry", [None, [], {}])
def test_nothing_is_no_shape(entry):
    assert read_outline(entry, SIZE) is None


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ([[1, 1, 4, 1, 4, 4, 2]], "has a polygon of 7 coordinates, an odd number"),
        ([[1, 1, 4, 4]], "has a polygon of 2 points, and at least 3 have an inside"),
        ([[]], "has a polygon of 0 points, and at least 3 have an inside"),
        ([[1, 1, 2, 2, 3, 3]], "has a polygon without an inside, whose points lie on a line or on one another"),
        ([[1, 1, "x", 2, 3, 3]], "has a polygon that is no list of numbers ([1, 1, 'x', 2, 3, 3])"),
        ([[1, 1, 1e9, 2, 3, 3]], "has a polygon that goes to 1e+09, far from its image of 7 x 9"),
        ([[1, 1, float("nan"), 2, 3, 3]], "has a polygon that goes to nan, far from its image of 7 x 9"),
        ([1, 2, 3], "has a polygon of 3 coordinates, an odd number"),
        ("abc", "has a segmentation that is neither polygons nor run lengths ('abc')"),
        ({"size": [7, 9], "counts": [63]}, "has run lengths for a size of [7, 9], and its image has [9, 7]"),
        ({"size": [9, 7], "counts": [60]}, "has run lengths of 60 pixels, and its image has 63"),
        ({"size": [9, 7], "counts": [64, -1]}, "has run lengths of 63 pixels, and its image has 63"),
        ({"size": [9, 7], "counts": "1" * 3}, "has run lengths of 3 pixels, and its image has 63"),
        ({"size": [9, 7], "counts": "P"}, "has run lengths whose text is cut off"),
        ({"size": [9, 7], "counts": "\x01"}, "has run lengths whose text is damaged"),
        ({"size": [9, 7], "counts": "P" * 50}, "has run lengths whose text is damaged"),
        ({"size": [9, 7]}, "has run lengths that are neither text nor whole numbers (None)"),
    ],
)
def test_a_shape_that_is_none_is_said_in_words(entry, text):
    with pytest.raises(BadOutlineError) as raised:
        read_outline(entry, SIZE)
    assert str(raised.value) == text


def test_what_is_sound_beside_a_bad_polygon_is_handed_on():
    with pytest.raises(BadOutlineError) as raised:
        read_outline([[1, 1, 4, 1, 4, 4], [1, 1, 2]], SIZE)
    assert raised.value.rest.coco() == [[1, 1, 4, 1, 4, 4]]


def test_the_box_of_nothing_is_at_the_corner():
    assert box_of(np.zeros(SIZE, np.uint8)) == (0, 0, 0, 0)
