"""torchvision's data sets, read by torchvision's own classes from small copies of their layouts."""

import bz2
import gzip
import importlib.util
import json
import pickle
import struct

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from visiongraft.data.published import PUBLISHED
from visiongraft.data.sources import open_data
from visiongraft.errors import DataError, MissingExtra

NO_SCIPY = importlib.util.find_spec("scipy") is None


def picture(path, color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), color).save(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def make_mnist(root, name):
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 10)):
        pixels = np.arange(count, dtype=np.uint8).repeat(28 * 28)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + pixels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())


def make_usps(root):
    for name, count in (("usps.bz2", 20), ("usps.t.bz2", 10)):
        lines = [
            f"{number % 10 + 1} " + " ".join(f"{i}:{number / 20}" for i in range(1, 257)) for number in range(count)
        ]
        (root / name).write_bytes(bz2.compress("\n".join(lines).encode()))


def make_food101(root):
    for part, count in (("train", 4), ("test", 2)):
        listed = {kind: [f"{kind}/{part}{number}" for number in range(count)] for kind in ("apple_pie", "waffles")}
        text(root / "food-101/meta" / f"{part}.json", json.dumps(listed))
        for name in [name for names in listed.values() for name in names]:
            picture(root / "food-101/images" / f"{name}.jpg")


def make_pets(root):
    for part, count in (("trainval", 4), ("test", 2)):
        names = [
            (f"{kind}_{part}{n}", label)
            for label, kind in enumerate(("Abyssinian", "great_dane"), 1)
            for n in range(count)
        ]
        text(
            root / "oxford-iiit-pet/annotations" / f"{part}.txt",
            "".join(f"{name} {label} 1 1\n" for name, label in names),
        )
        for name, _ in names:
            picture(root / "oxford-iiit-pet/images" / f"{name}.jpg")


def make_dtd(root):
    for part, count in (("train", 4), ("val", 2)):
        names = [f"{kind}/{kind}_{part}{number}.jpg" for kind in ("banded", "dotted") for number in range(count)]
        text(root / "dtd/dtd/labels" / f"{part}1.txt", "\n".join(names))
        for name in names:
            picture(root / "dtd/dtd/images" / name)


def make_gtsrb(root):
    rows = ["Filename;Width;Height;ClassId"]
    for label in range(2):
        for number in range(4):
            picture(root / "gtsrb/GTSRB/Training" / f"{label:05d}" / f"{number}.ppm")
        for number in range(2):
            picture(root / "gtsrb/GTSRB/Final_Test/Images" / f"{label}{number}.ppm")
            rows.append(f"{label}{number}.ppm;6;4;{label}")
    text(root / "gtsrb/GT-final_test.csv", "\n".join(rows))


def make_aircraft(root):
    data = root / "fgvc-aircraft-2013b/data"
    text(data / "variants.txt", "707-320\nA300\n")
    for part, count in (("trainval", 4), ("test", 2)):
        rows = [(f"{part}{kind[0]}{number}", kind) for kind in ("707-320", "A300") for number in range(count)]
        text(data / f"images_variant_{part}.txt", "\n".join(f"{name} {kind}" for name, kind in rows))
        for name, _ in rows:
            picture(data / "images" / f"{name}.jpg")


def make_folders(root, parts, classes, suffix):
    for part, count in parts:
        for kind in classes:
            for number in range(count):
                picture(root / part / kind / f"{number}{suffix}")


def make_stl10(root, monkeypatch):
    monkeypatch.setattr(
        datasets.STL10, "train_list", [["train_X.bin", None], ["train_y.bin", None], ["train_y.bin", None]]
    )
    monkeypatch.setattr(datasets.STL10, "test_list", [["test_X.bin", None], ["test_y.bin", None]])
    folder = root / "stl10_binary"
    text(folder / "class_names.txt", "\n".join(f"class {number}" for number in range(10)))
    for part, count in (("train", 20), ("test", 10)):
        pixels = np.zeros((count, 3, 96, 96), np.uint8)
        pixels[:, 2] = 200  # blue
        (folder / f"{part}_X.bin").write_bytes(pixels.tobytes())
        (folder / f"{part}_y.bin").write_bytes((np.arange(count) % 10 + 1).astype(np.uint8).tobytes())
    text(folder / "fold_indices.txt", "")


def make_cifar(root, monkeypatch, kind, folder, key):
    """Write the original format; the checksums of the originals are switched off for it."""
    monkeypatch.setattr(kind, "train_list", [["train", None]])
    monkeypatch.setattr(kind, "test_list", [["test", None]])
    monkeypatch.setattr(kind, "meta", {"filename": "meta", "key": "names", "md5": None})
    (root / folder).mkdir()
    for part, count in (("train", 20), ("test", 10)):
        pixels = np.zeros((count, 3, 32, 32), np.uint8)
        pixels[:, 0] = 200  # red
        entry = {"data": pixels.reshape(count, -1), key: [number % 10 for number in range(count)]}
        (root / folder / part).write_bytes(pickle.dumps(entry))
    (root / folder / "meta").write_bytes(pickle.dumps({"names": [f"class {number}" for number in range(10)]}))


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashionmnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_the_mnist_family_is_read_into_memory(tmp_path, name, folder):
    make_mnist(tmp_path, folder)
    data = open_data(name, data_dir=tmp_path)
    assert (len(data.train), len(data.val), len(data.classes), data.native) == (20, 10, 10, (28, 28))
    assert data.train.load(7).getpixel((3, 3)) == (7, 7, 7)
    assert data.train.labels.tolist() == list(range(10)) * 2


def test_usps_is_read(tmp_path):
    make_usps(tmp_path)
    data = open_data("usps", data_dir=tmp_path, download="if_missing")  # nothing is missing, so nothing is fetched
    assert (len(data.train), len(data.val), data.classes[9]) == (20, 10, "9")
    assert data.val.labels.tolist() == list(range(10))


@pytest.mark.parametrize(
    ("name", "kind", "folder", "key"),
    [
        ("cifar10", datasets.CIFAR10, "cifar-10-batches-py", "labels"),
        ("cifar100", datasets.CIFAR100, "cifar-100-python", "fine_labels"),
    ],
)
def test_cifar_is_read_into_memory_with_its_colors_in_order(tmp_path, monkeypatch, name, kind, folder, key):
    make_cifar(tmp_path, monkeypatch, kind, folder, key)
    data = open_data(name, data_dir=tmp_path)
    assert (len(data.train), len(data.val), data.native, data.classes[3]) == (20, 10, (32, 32), "class 3")
    assert data.val.load(3).getpixel((5, 5)) == (200, 0, 0)
    assert data.val.name_of(3) == "val[3]"


def test_stl10_is_turned_to_channels_last(tmp_path, monkeypatch):
    make_stl10(tmp_path, monkeypatch)
    data = open_data("stl10", data_dir=tmp_path)
    assert (len(data.train), len(data.val), data.native) == (20, 10, (96, 96))
    assert data.train.load(0).getpixel((5, 5)) == (0, 0, 200)
    assert data.train.labels.tolist() == list(range(10)) * 2


def test_a_file_of_cifar_that_is_not_the_authors_is_not_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, _ in [*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list]:
        (folder / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="is not there, or damaged"):
        open_data("cifar10", data_dir=tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "make", "classes"),
    [
        ("food101", make_food101, ("apple_pie", "waffles")),
        ("oxfordiiitpet", make_pets, ("Abyssinian", "Great Dane")),
        ("dtd", make_dtd, ("banded", "dotted")),
        ("gtsrb", make_gtsrb, ("0", "1")),
        ("fgvcaircraft", make_aircraft, ("707-320", "A300")),
        (
            "country211",
            lambda root: make_folders(root / "country211", [("train", 4), ("valid", 2)], ("AD", "AE"), ".jpg"),
            ("AD", "AE"),
        ),
        (
            "renderedsst2",
            lambda root: make_folders(
                root / "rendered-sst2", [("train", 4), ("valid", 2)], ("negative", "positive"), ".png"
            ),
            ("negative", "positive"),
        ),
        (
            "imagenette",
            lambda root: make_folders(
                root / "imagenette2", [("train", 4), ("val", 2)], ("n01440764", "n02102040"), ".jpeg"
            ),
            ("tench", "English springer"),
        ),
    ],
)
def test_sets_of_files_are_read_from_their_files(tmp_path, name, make, classes):
    make(tmp_path)
    data = open_data(name, data_dir=tmp_path)
    assert data.classes == classes
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    assert data.val.labels.tolist() == [0] * 2 + [1] * 2
    assert all(images.load(index).size == (6, 4) for images in (data.train, data.val) for index in range(len(images)))
    val = open_data(name, data_dir=tmp_path, parts="val")
    assert (len(val.train), val.val.files, val.val.labels.tolist()) == (0, data.val.files, data.val.labels.tolist())


def test_eurosat_which_has_no_split_is_split_by_file_name(tmp_path):
    make_folders(tmp_path / "eurosat", [("2750", 20)], ("Forest", "River"), ".jpg")
    data = open_data("eurosat", data_dir=tmp_path)
    assert data.classes == ("Forest", "River")
    assert len(data.train) + len(data.val) == 40
    assert data.notes == (f"eurosat has no split of its own: {len(data.val)} images of 40 held out by file name.",)
    make_folders(tmp_path / "plain", [(".", 20)], ("Forest", "River"), ".jpg")
    assert open_data(str(tmp_path / "plain")).val.files == data.val.files


def test_sun397_which_has_no_split_is_split_by_file_name(tmp_path):
    text(tmp_path / "SUN397/ClassName.txt", "/a/abbey\n/z/zoo\n")
    for kind in ("a/abbey", "z/zoo"):
        for number in range(10):
            picture(tmp_path / "SUN397" / kind / f"sun_{number}.jpg")
    data = open_data("sun397", data_dir=tmp_path)
    assert data.classes == ("abbey", "zoo")
    assert set(data.val.labels.tolist()) == {0, 1}


def test_imagenet_is_read_from_its_folders(tmp_path):
    make_folders(tmp_path, [("train", 3), ("val", 2)], ("n01440764", "n01443537"), ".JPEG")
    data = open_data("imagenet", data_dir=tmp_path)
    assert (data.name, data.classes, len(data.train), len(data.val)) == ("imagenet", ("n01440764", "n01443537"), 6, 4)


def test_imagenet_can_be_scored_without_its_train_folder(tmp_path):
    make_folders(tmp_path, [("val", 2)], ("n01440764", "n01443537"), ".JPEG")
    assert len(open_data("imagenet", data_dir=tmp_path, parts="val").val) == 4
    with pytest.raises(DataError, match=r"imagenet is not in .*: there is no train/ with a folder for each class"):
        open_data("imagenet", data_dir=tmp_path)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_set_that_is_not_there_says_where_it_was_looked_for_and_how_to_fetch_it(tmp_path, name):
    with pytest.raises(DataError) as refusal:
        open_data(name, data_dir=tmp_path)
    message = str(refusal.value)
    assert message.startswith(f"Looked for {name} in {str(tmp_path)!r}: it is not there, or damaged. ")
    assert "To fetch it, add --download if_missing." in message
    assert "download=" not in message, "torchvision's own advice is none for the command line"
    assert len(message.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not NO_SCIPY, reason="scipy is installed")
def test_a_library_that_torchvision_lacks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        datasets.SVHN, "split_list", {"test": ["", "test.mat", None], "train": ["", "train.mat", None]}
    )
    (tmp_path / "test.mat").touch()
    with pytest.raises(MissingExtra, match="svhn needs scipy. Install it with: pip install scipy"):
        open_data("svhn", data_dir=tmp_path)


def test_parts_that_disagree_on_the_classes_are_refused(tmp_path):
    make_dtd(tmp_path)
    text(tmp_path / "dtd/dtd/labels/train1.txt", "banded/banded_train0.jpg\nstriped/x.jpg\n")
    with pytest.raises(
        DataError, match="Looked for dtd in .*: its parts have other classes.*Remove .* --download if_missing"
    ):
        open_data("dtd", data_dir=tmp_path)


def test_a_damaged_set_is_one_line(tmp_path):
    make_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(gzip.compress(b"no pixels"))
    with pytest.raises(DataError, match="Looked for mnist in .*: it is not there, or damaged"):
        open_data("mnist", data_dir=tmp_path)
