"""Data sets in one `.npz` file, right and wrong."""

import io
import zipfile

import numpy as np
import pytest

from visiongraft.data.arrays import open_npz
from visiongraft.data.sources import open_data
from visiongraft.errors import DataError


def arrays(**changes):
    """Arrays that are right but for the changes; None leaves one out."""
    chance = np.random.default_rng(0)
    right = {
        "train_images": chance.integers(0, 256, (6, 8, 9, 3), np.uint8),
        "train_labels": np.array([0, 1, 2, 0, 1, 2]),
        "val_images": chance.integers(0, 256, (3, 8, 9, 3), np.uint8),
        "val_labels": np.array([2, 1, 0]),
    }
    return {name: values for name, values in (right | changes).items() if values is not None}


def write(folder, **changes):
    np.savez_compressed(folder / "set.npz", **arrays(**changes))
    return str(folder / "set.npz")


def refusal(path, **options):
    with pytest.raises(DataError) as error:
        open_data(path, **options)
    message = str(error.value)
    assert message.startswith(repr(path))
    assert len(message.splitlines()) == 1
    return message.removeprefix(repr(path))


def test_images_and_labels_come_out_as_they_went_in(tmp_path):
    data = open_data(write(tmp_path))
    assert np.array_equal(np.asarray(data.train.load(4)), arrays()["train_images"][4])
    assert data.val.labels.tolist() == [2, 1, 0]
    assert (data.classes, data.native, data.notes) == (("0", "1", "2"), (8, 9), ())


def test_the_layout_of_medmnist_is_read(tmp_path):
    labels = {name: arrays()[name].reshape(-1, 1).astype(np.uint8) for name in ("train_labels", "val_labels")}
    images = {name: arrays()[name][..., 0] for name in ("train_images", "val_images")}
    data = open_data(
        write(tmp_path, **labels, **images, test_images=images["val_images"], test_labels=labels["val_labels"])
    )
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.train.labels.dtype == np.int64
    assert data.train.load(0).mode == "RGB"


def test_classes_may_have_names(tmp_path):
    assert open_data(write(tmp_path, classes=np.array(["cat", "狗", "eel"]))).classes == ("cat", "狗", "eel")


def test_test_images_stand_in_for_val_and_it_is_said(tmp_path):
    right = arrays()
    path = write(
        tmp_path, val_images=None, val_labels=None, test_images=right["val_images"], test_labels=right["val_labels"]
    )
    data = open_data(path)
    assert len(data.val) == 3
    assert data.notes == (f"{path!r} comes without val_images: test_images take their place.",)


def test_scoring_needs_no_training_images(tmp_path):
    data = open_data(write(tmp_path, train_images=None), parts="val")
    assert (len(data.train), len(data.val), data.classes) == (0, 3, ("0", "1", "2"))
    named = write(tmp_path, train_images=None, train_labels=None, classes=np.array(["a", "b", "c", "d"]))
    assert open_data(named, parts="val").classes == ("a", "b", "c", "d")


def test_scoring_needs_no_training_labels_either(tmp_path):
    nothing = {"train_images": None, "train_labels": None}
    data = open_data(write(tmp_path, **nothing, val_labels=np.array([3, 1, 3])), parts="val")
    assert (data.classes, data.val.labels.tolist()) == (("0", "1", "2", "3"), [3, 1, 3])
    for labels in ([0, -1, 0], [0, 10**12, 0], []):
        message = refusal(write(tmp_path, **nothing, val_labels=np.array(labels, int)), parts="val")
        assert message == ": val_labels holds no numbers, or some below 0 or above 999999. Number from 0."


@pytest.mark.parametrize("name", ["train_images", "train_labels", "val_images", "val_labels"])
def test_a_missing_array_is_named_beside_those_that_are_there(tmp_path, name):
    message = refusal(write(tmp_path, **{name: None}))
    assert message.startswith(
        f": {name} is missing. Expected train_images, train_labels, val_images, val_labels; it holds"
    )
    assert message.count("_images") + message.count("_labels") == 4 + 3 + 1


@pytest.mark.parametrize("part", ["train", "val"])
def test_images_and_labels_of_other_lengths_are_refused(tmp_path, part):
    right = arrays()[f"{part}_labels"]
    message = refusal(write(tmp_path, **{f"{part}_labels": np.append(right, 0)}))
    assert message == (
        f": {part}_images holds {len(right)} images and {part}_labels {len(right) + 1} labels. "
        "Each image needs one label: save both from one list."
    )


def test_labels_out_of_range_are_refused(tmp_path):
    expected = "Expected 0 to 2, one number for each of the 3 classes."
    assert refusal(write(tmp_path, val_labels=np.array([0, 1, 3]))) == (
        f": val_labels go from 0 to 3. {expected} Leave such images out, or put some of their classes into train."
    )
    assert refusal(write(tmp_path, val_labels=np.array([0, 1, -1]))) == (
        f": val_labels go from -1 to 1. {expected} Number them from 0."
    )
    named = {"classes": np.array(["a", "b", "c"])}
    assert refusal(write(tmp_path, train_labels=np.array([0, 1, 2, 0, 1, 7]), **named)) == (
        f": train_labels go from 0 to 7. {expected} Correct them, or add the names that are missing to the array"
        " `classes`."
    )


def test_training_labels_that_leave_a_number_out_are_refused(tmp_path):
    message = refusal(write(tmp_path, train_labels=np.array([0, 1, 9, 0, 1, 10**12])))
    assert message == (
        ": train_labels are 4 different numbers from 0 to 1000000000000. Expected every number from 0 to 3, "
        "or the array `classes` that names those without images too. "
        "To renumber them: numpy.unique(labels, return_inverse=True)[1]."
    )
    message = refusal(write(tmp_path, train_labels=np.array([0, 1, -1, 0, 1, 2])))
    assert message == (  # whom names of classes would not help
        ": train_labels are 4 different numbers from -1 to 2. Expected every number from 0 to 3. Add 1."
    )


def test_labels_as_rows_with_a_one_get_the_remedy(tmp_path):
    message = refusal(write(tmp_path, train_labels=np.eye(6, dtype=np.int64)))
    assert message.endswith(
        "Expected (count,): one class number for each image. Of rows with a one in the class's place, save .argmax(1)."
    )


def test_labels_that_count_from_1_get_the_remedy(tmp_path):
    message = refusal(write(tmp_path, train_labels=np.array([1, 2, 3, 1, 2, 3]), val_labels=np.array([1, 2, 3])))
    assert message.startswith(": train_labels are 3 different numbers from 1 to 3.")
    assert message.endswith("Subtract 1.")
    assert refusal(write(tmp_path, train_labels=np.array([0, 1, -1, 0, 1, -1]))).endswith("Add 1.")


def test_a_named_class_may_lack_images(tmp_path):
    assert len(open_data(write(tmp_path, classes=np.array(["a", "b", "c", "d"]))).classes) == 4


def test_labels_that_are_no_class_numbers_are_refused(tmp_path):
    message = refusal(write(tmp_path, train_labels=np.zeros(6)))
    assert message == (
        ": train_labels is of float64. Expected integers, one class number for each image. Save it as int."
    )
    many = write(tmp_path, train_labels=np.zeros((6, 14), int))
    assert "train_labels is of shape (6, 14). Expected (count,): one class number" in refusal(many)


def test_images_of_another_type_or_shape_are_refused(tmp_path):
    floats = arrays()["train_images"].astype(np.float32)
    message = refusal(write(tmp_path, train_images=floats))
    assert message == (
        ": train_images is of float32. Expected uint8. Save it scaled to 0 to 255 and .astype(numpy.uint8)."
    )
    first = arrays()["train_images"].transpose(0, 3, 1, 2)
    message = refusal(write(tmp_path, train_images=first))
    assert "train_images is of shape (6, 3, 8, 9). Expected (count, height, width), or the same with" in message
    assert message.endswith("Move the channels to the end: train_images.transpose(0, 2, 3, 1).")
    flat = write(tmp_path, train_images=arrays()["train_images"].reshape(6, -1))
    assert "of shape (6, 216)" in refusal(flat)
    empty = write(tmp_path, train_images=np.zeros((0, 8, 9), np.uint8), train_labels=np.zeros(0, int))
    assert "holds no label" in refusal(empty)
    empty = write(tmp_path, val_images=np.zeros((0, 8, 9), np.uint8), val_labels=np.zeros(0, int))
    assert "val_images of shape (0, 8, 9) holds no pixel. Put images into it." in refusal(empty)


def test_one_class_is_refused(tmp_path):
    path = write(tmp_path, train_labels=np.zeros(6, int), val_labels=np.zeros(3, int))
    assert refusal(path) == ": it holds only one class. Put images of another into it, since two make a difference."


def test_empty_arrays_are_no_single_class(tmp_path):
    path = write(tmp_path, train_images=np.zeros((0, 8, 9, 3), np.uint8), train_labels=np.zeros(0, int))
    assert (
        refusal(path) == ": train_labels holds no label, and so there is no image to learn from. Put images into it."
    )


def test_labels_that_do_not_fit_into_64_bits_are_shown_as_they_are(tmp_path):
    path = write(tmp_path, val_labels=np.array([0, 1, 2**64 - 1], np.uint64))
    assert refusal(path) == f": val_labels go up to {2**64 - 1}. Number the classes from 0."


def test_names_of_classes_that_are_none_are_refused(tmp_path):
    assert "classes is of int64 and shape (3,). Save a list of strings." in refusal(
        write(tmp_path, classes=np.arange(3))
    )
    assert "classes names one class twice. Give each class its own name." in refusal(
        write(tmp_path, classes=np.array(["a", "a", "b"]))
    )


def test_python_objects_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = write(tmp_path, train_labels=np.array([Trap()] * 6, dtype=object))
    assert ": train_labels is of Python objects, which are never unpickled." in refusal(path)
    assert not (tmp_path / "sprung").exists()


def test_a_truncated_file_is_refused(tmp_path):
    path = write(tmp_path)
    data = (tmp_path / "set.npz").read_bytes()
    for share in (0, 0.01, 0.5, 0.99):
        (tmp_path / "set.npz").write_bytes(data[: int(len(data) * share)])
        assert refusal(path) == (" is not an .npz file, or it is cut short. Write it with numpy.savez_compressed.")


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "set.npz"
    path.write_text("images, labels")
    assert "is not an .npz file" in refusal(str(path))
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert refusal(str(path)) == (
        " holds a single array. Expected an .npz with train_images, train_labels, val_images, val_labels. "
        "Write it with numpy.savez_compressed."
    )


def test_what_cannot_be_opened_gets_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"cannot be opened: Is a directory\. Make it readable, or give another\."):
        open_npz(tmp_path)


def test_damaged_bytes_give_a_data_set_or_one_line(tmp_path):
    path = write(tmp_path)
    data = (tmp_path / "set.npz").read_bytes()
    chance = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for place in chance.integers(0, len(data), 3):
            damaged[place] = chance.integers(256)
        (tmp_path / "set.npz").write_bytes(damaged)
        try:
            open_data(path)
        except DataError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
    assert refused > 100


def test_an_array_that_declares_more_than_the_memory_is_refused(tmp_path):
    path = tmp_path / "set.npz"
    write(tmp_path)
    with np.load(path) as archive:
        kept = {name: archive[name] for name in archive}
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in kept.items():
            buffer = io.BytesIO()
            if name == "train_images":
                header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 1000, 1000)}
                np.lib.format.write_array_header_1_0(buffer, header)
            else:
                np.save(buffer, values)
            archive.writestr(f"{name}.npy", buffer.getvalue())
    assert "train_images" in refusal(str(path))
