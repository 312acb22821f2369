"""What `--data` takes, and the flowers that it takes when nothing is said."""

import csv
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from visiongraft.data import flowers
from visiongraft.data.sets import ArrayImages, FileImages, ImageSet
from visiongraft.data.sources import data_names, open_data
from visiongraft.errors import DataError


@pytest.fixture(scope="module")
def bundled():
    return open_data()


def test_nothing_said_means_the_bundled_flowers(bundled):
    assert bundled.name == "flowers"
    assert bundled.classes == ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    assert (len(bundled.train), len(bundled.val), bundled.native) == (2922, 748, (64, 64))
    assert Counter(bundled.train.labels.tolist()) == {0: 503, 1: 715, 2: 532, 3: 529, 4: 643}
    assert Counter(bundled.val.labels.tolist()) == {0: 130, 1: 183, 2: 109, 3: 170, 4: 156}


def test_the_flowers_can_be_asked_for_by_name_and_in_part(bundled):
    val = open_data("Flowers", parts="val")
    assert len(val.train) == 0
    assert val.native == (64, 64)
    assert np.array_equal(val.val.pixels, bundled.val.pixels)
    assert np.array_equal(val.val.labels, bundled.val.labels)


def test_two_flowers_of_val_are_also_learnt_as_in_the_source_and_no_more(bundled):
    learnt = {pixels.tobytes() for pixels in bundled.train.pixels}
    assert len(learnt & {pixels.tobytes() for pixels in bundled.val.pixels}) == 2  # docs/data.md says so


def test_the_flowers_are_photographs_in_color(bundled):
    pixels = bundled.val.pixels
    assert pixels.std(axis=(0, 1, 2)).min() > 50
    assert np.abs(pixels[..., 0].astype(int) - pixels[..., 2]).mean() > 20
    assert bundled.val.load(0).mode == "RGB"
    assert bundled.val.name_of(17).startswith("val/daisy/")
    assert "CC BY 2.0" in bundled.notes[0]


def test_every_bundled_photograph_has_its_photographer():
    table = files("visiongraft.data").joinpath("flowers64.tsv").read_text(encoding="utf-8")
    comments = [line for line in table.splitlines() if line.startswith("#")]
    assert "CC BY 2.0" in comments[0]
    assert "cut to the centred square, shrunk to 64 x 64" in comments[1]
    rows = [row for row in csv.reader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE) if row[0][0] != "#"]
    assert all(len(row) == 3 and row[1] and row[2].startswith("https://www.flickr.com/") for row in rows)
    with (
        files("visiongraft.data").joinpath("flowers64.zip").open("rb") as stream,
        flowers.zipfile.ZipFile(stream) as archive,
    ):
        assert sorted(archive.namelist()) == archive.namelist() == sorted(row[0] for row in rows)
        assert all(entry.compress_type == flowers.zipfile.ZIP_STORED for entry in archive.infolist())


def test_the_two_kinds_of_sets_are_image_sets(bundled, tmp_path):
    assert isinstance(bundled.train, ImageSet)
    assert isinstance(FileImages(tmp_path, (), np.zeros(0, np.int64)), ImageSet)


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_arrays_of_any_channels_are_given_as_rgb(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, *channels), np.uint8)
    image = ArrayImages("train", pixels, np.zeros(2, np.int64)).load(1)
    assert (image.mode, image.size) == ("RGB", (7, 5))
    color = pixels.reshape(2, 5, 7, -1)[1]
    assert np.array_equal(
        np.asarray(image), color[:, :, :3] if channels in [(3,), (4,)] else np.repeat(color, 3, axis=2)
    )


def test_an_unknown_name_gets_the_nearest_known_ones():
    with pytest.raises(DataError, match=r"^'cifar11' is no folder and no known data set\. Did you mean 'cifar10'"):
        open_data("cifar11")
    with pytest.raises(DataError, match=r"Known are: .*cifar10, cifar100,.* flowers, .*imagenet, "):
        open_data("xyzzy")
    assert data_names() == sorted(data_names())


def test_a_path_that_is_not_there_is_not_taken_for_a_name(tmp_path):
    with pytest.raises(DataError, match=r"^There is no '.*nowhere'\. Expected a folder, an \.npz file, or the name"):
        open_data(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="There is no 'digits.npz'"):
        open_data("digits.npz")


def test_an_empty_name_does_not_mean_this_folder():
    with pytest.raises(DataError, match="--data is empty"):
        open_data("")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "photos.zip").touch()
    with pytest.raises(DataError, match=r"photos.zip' is a file. Expected a folder, an \.npz file"):
        open_data(str(tmp_path / "photos.zip"))


def test_a_data_dir_without_a_use_is_not_ignored(tmp_path):
    with pytest.raises(
        DataError, match="--data-dir says where a data set by name lies, and 'flowers' has no use for it"
    ):
        open_data(data_dir=tmp_path)
    with pytest.raises(DataError, match="has no use for it"):
        open_data(str(tmp_path), data_dir=tmp_path)


def test_a_published_set_without_a_place_asks_for_one():
    with pytest.raises(DataError, match=r"Where are the files of cifar10\? Say it with --data-dir FOLDER"):
        open_data("CIFAR10")


def test_imagenet_without_a_place_asks_for_its_folders_and_promises_no_download():
    with pytest.raises(DataError, match=r"Where are the files of imagenet\?") as refusal:
        open_data("imagenet")
    assert "Say it with --data-dir FOLDER; it holds train/ and val/. (For a folder" in str(refusal.value)
    assert "--download" not in str(refusal.value)


def test_a_folder_called_like_a_published_set_can_be_reached(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10").mkdir()
    with pytest.raises(DataError, match="'cifar10' holds nothing"):
        open_data("./cifar10")
