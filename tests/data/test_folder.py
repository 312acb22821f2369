"""Folders of images, as users have them."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visiongraft.data.folder import list_folder, position
from visiongraft.data.images import UnreadableImage
from visiongraft.data.sources import open_data
from visiongraft.data.walk import images_under
from visiongraft.errors import DataError

PIXEL = Image.new("RGB", (1, 1), "red")


def fill(folder, *names):
    """Put an image under each name into a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIXEL.save(path, "PNG")


def numbered(count, prefix=""):
    return [f"{prefix}{number}.png" for number in range(count)]


def names(images):
    return {images.name_of(index) for index in range(len(images))}


def refusal(path, **options):
    with pytest.raises(DataError) as error:
        open_data(str(path), **options)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_folder_with_train_and_val_is_taken_as_it_is(tmp_path):
    fill(tmp_path, "train/b/1.png", "train/a/2.png", "train/a/1.png", "val/a/9.png", "val/b/8.png")
    data = open_data(str(tmp_path))
    assert data.classes == ("a", "b")
    assert [data.train.name_of(i) for i in range(3)] == [
        str(tmp_path / "train" / n) for n in ("a/1.png", "a/2.png", "b/1.png")
    ]
    assert data.train.labels.tolist() == [0, 0, 1]
    assert data.val.labels.tolist() == [0, 1]
    assert data.train.labels.dtype == np.int64
    assert data.train.load(2).getpixel((0, 0)) == (255, 0, 0)
    assert (data.name, data.notes, data.native) == (str(tmp_path), (), None)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_the_scored_part_may_have_any_usual_name(tmp_path, name):
    fill(tmp_path, "train/a/1.png", "train/b/1.png", f"{name}/a/9.png", f"{name}/b/8.png")
    assert names(open_data(str(tmp_path)).val) == {str(tmp_path / name / "a/9.png"), str(tmp_path / name / "b/8.png")}


def test_a_test_folder_in_place_of_val_is_noted(tmp_path):
    fill(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/9.png", "test/b/8.png")
    assert open_data(str(tmp_path)).notes == (f"{str(tmp_path)!r} comes without val/: test/ takes its place.",)
    (tmp_path / "test").rename(tmp_path / "valid")
    assert open_data(str(tmp_path)).notes == ()


def test_val_is_preferred_to_test(tmp_path):
    fill(tmp_path, *[f"{part}/{kind}/1.png" for part in ("train", "val", "test") for kind in "ab"])
    assert open_data(str(tmp_path)).val.name_of(0) == str(tmp_path / "val/a/1.png")


def test_without_a_split_a_fifth_is_held_out_and_said_so(tmp_path):
    fill(tmp_path, *numbered(200, "cat/"), *numbered(200, "dog/"))
    data = open_data(str(tmp_path))
    assert len(data.train) + len(data.val) == 400
    assert 55 <= len(data.val) <= 105
    assert not names(data.train) & names(data.val)
    assert set(data.val.labels.tolist()) == set(data.train.labels.tolist()) == {0, 1}
    assert f"{len(data.val)} images of 400 held out by file name" in data.notes[0]


def test_the_split_is_this_one_on_every_machine_and_for_ever():
    assert position("0.png") == pytest.approx(0x0F25CC56A524 / 2**48)  # `printf 0.png | sha256sum`
    held_out = [number for number in range(30) if position(f"{number}.png") < 0.2]
    assert held_out == [0, 6, 7, 8, 14, 18]


def test_files_that_are_added_or_removed_move_no_other(tmp_path):
    fill(tmp_path, *numbered(40, "cat/"), *numbered(40, "dog/"))
    before = open_data(str(tmp_path))
    fill(tmp_path, *numbered(100, "cat/new"), *numbered(7, "dog/deeper/"), *numbered(40, "eel/"))
    for number in range(0, 40, 3):
        (tmp_path / "dog" / f"{number}.png").unlink()
    after = open_data(str(tmp_path))
    remaining = names(after.train) | names(after.val)
    assert names(before.val) & remaining == names(after.val) & (names(before.train) | names(before.val))


def test_the_split_does_not_depend_on_where_the_folder_lies_or_what_the_class_is_called(tmp_path):
    fill(tmp_path / "here", *numbered(30, "a/"), *numbered(30, "b/"))
    fill(tmp_path / "there" / "deep", *numbered(30, "x/"), *numbered(30, "y/"))
    first, second = open_data(str(tmp_path / "here")), open_data(str(tmp_path / "there" / "deep"))
    assert {Path(n).name for n in names(first.val)} == {Path(n).name for n in names(second.val)}


def test_accents_count_the_same_on_every_file_system():
    assert position(unicodedata.normalize("NFD", "Äpfel été.jpg")) == position(
        unicodedata.normalize("NFC", "Äpfel été.jpg")
    )


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_small_class_is_on_both_sides(tmp_path, count):
    fill(tmp_path, *[f"{kind}/{kind}{number}.png" for kind in "abcdefgh" for number in range(count)])
    data = open_data(str(tmp_path))
    assert set(data.train.labels.tolist()) == set(data.val.labels.tolist()) == set(range(8))


def test_a_class_of_one_image_cannot_be_split(tmp_path):
    fill(tmp_path, *numbered(9, "cat/"), "dog/1.png")
    assert "Class 'dog' has only 1 image" in refusal(tmp_path)
    assert "At least 2 are needed" in refusal(tmp_path)


def test_train_without_val_is_split(tmp_path):
    fill(tmp_path, *numbered(20, "train/a/"), *numbered(20, "train/b/"))
    data = open_data(str(tmp_path))
    assert data.classes == ("a", "b")
    assert len(data.train) > len(data.val) > 0
    assert "comes without val/" in data.notes[0]


def test_val_without_train_can_be_scored_but_not_learnt(tmp_path):
    fill(tmp_path, "val/a/1.png", "val/b/1.png")
    assert "has val/ but no train/" in refusal(tmp_path)
    data = open_data(str(tmp_path), parts="val")
    assert (len(data.train), len(data.val), data.classes) == (0, 2, ("a", "b"))


def test_images_of_one_class_can_be_scored_where_nothing_is_learnt(tmp_path):
    fill(tmp_path, "val/a/1.png", "val/a/2.png")
    assert open_data(str(tmp_path), parts="val").classes == ("a",)


def test_only_the_scored_part_is_listed_where_only_that_is_wanted(tmp_path):
    fill(tmp_path, *numbered(20, "a/"), *numbered(20, "b/"))
    whole, val = open_data(str(tmp_path)), open_data(str(tmp_path), parts="val")
    assert names(val.val) == names(whole.val)
    assert len(val.train) == 0


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path, *numbered(9, "bus/"), *numbered(9, "train/"))
    assert open_data(str(tmp_path)).classes == ("bus", "train")


def test_images_deep_in_a_class_folder_and_in_capitals_are_found(tmp_path):
    fill(tmp_path, "train/a/2020/07/1.PNG", "train/a/2.Png", "train/b/1.JPEG", "val/a/1.png", "val/b/1.png")
    assert len(open_data(str(tmp_path)).train) == 3


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    fill(
        tmp_path,
        "a/1.png",
        "a/2.png",
        "b/1.png",
        "b/2.png",
        "a/._1.png",
        ".trash/3.png",
        "a/.cache/4.png",
        "__MACOSX/a/5.png",
    )
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "a" / ".DS_Store").touch()
    data = open_data(str(tmp_path))
    assert len(data.train) + len(data.val) == 4
    assert data.classes == ("a", "b")
    assert len(data.notes) == 1  # on the split


def test_other_files_among_the_images_are_counted(tmp_path):
    fill(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png")
    (tmp_path / "train" / "a" / "list.txt").touch()
    (tmp_path / "train" / "b" / "Thumbs.db").touch()
    data = open_data(str(tmp_path))
    assert len(data.train) == 2
    train = str(tmp_path / "train")
    assert data.notes == (f"Passed over 2 files (1 .txt, 1 .db) under {train!r}: no images by their names.",)


@pytest.mark.parametrize(("files", "held"), [((), "nothing"), (("1.png",), "1 image"), (("a.txt",), "1 file")])
def test_a_val_without_classes_is_a_failed_copy_and_not_its_absence(tmp_path, files, held):
    fill(tmp_path, "train/a/1.png", "train/b/1.png")
    (tmp_path / "val").mkdir()
    for name in files:
        fill(tmp_path, f"val/{name}") if name.endswith("png") else (tmp_path / "val" / name).touch()
    with pytest.raises(DataError, match=rf"val' holds {held}, and no folders of classes\. Fill it as train/ is f"):
        open_data(str(tmp_path))


def test_linked_folders_and_files_are_followed(tmp_path):
    fill(tmp_path / "store", "cats/1.png", "cats/2.png", "dog.png")
    fill(tmp_path / "data", "b/1.png")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "store" / "cats")
    (tmp_path / "data" / "b" / "2.png").symlink_to(tmp_path / "store" / "dog.png")
    data = open_data(str(tmp_path / "data"))
    assert data.classes == ("a", "b")
    assert len(data.train) == len(data.val) == 2


def test_a_file_that_vanishes_is_an_unreadable_image(tmp_path):
    fill(tmp_path, *numbered(5, "a/"), *numbered(5, "b/"))
    data = open_data(str(tmp_path))
    Path(data.train.name_of(0)).unlink()
    with pytest.raises(UnreadableImage, match="there is no such file"):
        data.train.load(0)


def test_strange_names_of_classes_and_files_work(tmp_path):
    fill(tmp_path, "猫/照片 一.png", "猫/照片 二.png", "🐕 dog/a b.png", "🐕 dog/c\nd.png")
    data = open_data(str(tmp_path))
    assert data.classes == ("猫", "🐕 dog")
    assert data.train.load(0).size == (1, 1)
    assert data.val.load(1).size == (1, 1)


def test_links_in_a_circle_end_and_show_no_image_twice(tmp_path):
    fill(tmp_path / "data", *numbered(3, "a/"), *numbered(3, "b/deep/"))
    (tmp_path / "data" / "a" / "self").symlink_to(".")
    (tmp_path / "data" / "a" / "up").symlink_to("..")
    (tmp_path / "data" / "a" / "top").symlink_to(tmp_path)
    (tmp_path / "data" / "b" / "deep" / "again").symlink_to("../../b")
    (tmp_path / "data" / "around").symlink_to(".")
    (tmp_path / "data" / "b" / "knot.png").symlink_to("knot.png")
    data = open_data(str(tmp_path / "data"))
    assert data.classes == ("a", "b")
    assert len(data.train) + len(data.val) == 7  # with the link that leads to itself, which is told when it is read


def test_a_circle_between_two_folders_outside_ends(tmp_path):
    fill(tmp_path, "one/1.png", "two/2.png", "data/b/3.png", "data/b/4.png")
    (tmp_path / "one" / "two").symlink_to("../two")
    (tmp_path / "two" / "one").symlink_to("../one")
    (tmp_path / "data" / "a").symlink_to("../one")
    data = open_data(str(tmp_path / "data"))
    found = {Path(name).relative_to(tmp_path / "data").as_posix() for name in names(data.train) | names(data.val)}
    assert found == {"a/1.png", "a/two/2.png", "b/3.png", "b/4.png"}


def test_a_folder_that_two_links_lead_to_is_read_by_both(tmp_path):
    fill(tmp_path, *numbered(4, "store/"))
    for part in ("train", "val"):
        for name in "ab":
            (tmp_path / "data" / part).mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / part / name).symlink_to(tmp_path / "store")
    assert len(open_data(str(tmp_path / "data")).train) == 8


def test_images_are_in_natural_order_and_files_before_folders(tmp_path):
    fill(tmp_path, "a/10.png", "a/9.png", "a/x2/1.png", "a/x10/1.png", "a/z.png", "a/٣.png", "a/01.png", "a/1.png")
    assert images_under(tmp_path / "a") == (
        ["01.png", "1.png", "٣.png", "9.png", "10.png", "z.png", "x2/1.png", "x10/1.png"],
        {},
    )


def test_a_name_that_is_no_unicode_is_split_and_read(tmp_path):
    fill(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    PIXEL.save(os.fsdecode(os.fsencode(tmp_path) + b"/a/caf\xe9.png"))
    data = open_data(str(tmp_path))
    assert len(data.train) == len(data.val) == 2
    assert all(data.val.load(index).size == (1, 1) for index in range(2))


def test_an_empty_folder_is_refused(tmp_path):
    assert refusal(tmp_path).startswith(
        f"{str(tmp_path)!r} holds nothing and no folders. Expected one folder for each class"
    )


def test_a_folder_of_images_without_classes_is_refused(tmp_path):
    fill(tmp_path, "1.png", "2.png")
    assert "holds 2 images and no folders. Expected one folder for each class" in refusal(tmp_path)


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    assert "holds 1 file but no image, and no folders" in refusal(tmp_path)


def test_one_class_is_refused(tmp_path):
    fill(tmp_path / "flat", *numbered(5, "cat/"))
    assert "holds only one class, 'cat'. At least two are needed" in refusal(tmp_path / "flat")
    fill(tmp_path / "split", "train/cat/1.png", "val/cat/1.png")
    assert "holds only one class, 'cat'" in refusal(tmp_path / "split")


def test_a_class_folder_without_images_is_named(tmp_path):
    fill(tmp_path, *numbered(5, "cat/"))
    (tmp_path / "dog").mkdir()
    assert f"The class folder {str(tmp_path / 'dog')!r} holds no file. Add images" in refusal(tmp_path)
    (tmp_path / "dog" / "notes.txt").touch()
    assert f"The class folder {str(tmp_path / 'dog')!r} holds 1 file but no image." in refusal(tmp_path)


def test_a_class_of_val_that_train_lacks_is_named(tmp_path):
    fill(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/1.png")
    assert "has a class 'c' that train/ lacks (1 in all)" in refusal(tmp_path)


def test_a_class_that_val_lacks_is_noted_and_moves_no_label(tmp_path):
    fill(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", "val/c/1.png")
    data = open_data(str(tmp_path))
    assert data.val.labels.tolist() == [2]
    assert data.notes == (f"{str(tmp_path / 'val')!r} lacks the folders of 2 classes, among them 'a'.",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_named(tmp_path):
    fill(tmp_path, *numbered(5, "cat/"), *numbered(5, "dog/"))
    (tmp_path / "dog").chmod(0)
    assert f"Cannot list the folder {str(tmp_path / 'dog')!r}: Permission denied. Make it" in refusal(tmp_path)


@pytest.mark.parametrize("split", [True, False])
def test_listing_a_folder_in_which_nothing_is_wrong_gives_what_opening_it_gives(tmp_path, split):
    for part in ("train/", "val/") if split else ("",):
        fill(tmp_path, *numbered(3, f"{part}cat/"), *numbered(40, f"{part}dog/"))
    opened, listed = open_data(str(tmp_path)), list_folder(tmp_path)
    assert listed.classes == opened.classes
    for ours, theirs in ((listed.train, opened.train), (listed.val, opened.val)):
        assert ours.files == theirs.files
        assert ours.labels.tolist() == theirs.labels.tolist()


def test_a_folder_is_listed_whatever_is_wrong_with_it(tmp_path):
    fill(tmp_path, "train/cat/1.png", "val/dog/1.png", "val/dog/2.png")
    (tmp_path / "train/eel").mkdir()
    (tmp_path / "train/cat/1.heic").write_bytes(b"of a telephone")
    listed = list_folder(tmp_path)
    train = str(tmp_path / "train")
    assert listed.notes == (f"Passed over 1 file (1 .heic) under {train!r}: no images by their names.",)
    assert listed.classes == ("cat", "dog", "eel")
    assert (listed.train.files, listed.val.files) == (("cat/1.png",), ("dog/1.png", "dog/2.png"))
    assert (listed.train.labels.tolist(), listed.val.labels.tolist()) == ([0], [1, 1])


def test_a_single_image_of_a_class_is_listed_to_learn_from(tmp_path):
    fill(tmp_path, "cat/0.png", *numbered(40, "dog/"))  # 0.png would be held out
    assert "cat/0.png" in list_folder(tmp_path).train.files


def test_a_folder_without_an_image_in_a_class_is_not_listed(tmp_path):
    fill(tmp_path, "1.png")
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError) as error:
        list_folder(tmp_path)
    assert str(error.value) == (
        f"{str(tmp_path)!r} holds no image in a folder of a class. Expected one folder for each class "
        "(photos/cat/1.jpg), or train/ and val/ with such folders inside."
    )
