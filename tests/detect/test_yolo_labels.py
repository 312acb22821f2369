"""YOLO's text files, as Ultralytics, Roboflow and others lay them out."""

import pytest
import yaml
from PIL import Image

from tests.detect.boxes import HEIGHT, NAMES, WIDTH, picture, write_images
from visiongraft.data.images import ORIENTATION
from visiongraft.detect.opening import list_detection, open_detection
from visiongraft.errors import DataError

BOX = "1 0.25 0.5 0.2 0.4"  # 6 12 .. 14 ... of 40 x 30: x 6 to 14, y 9 to 21
SHAPE = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"  # 4 3 20 15


def write_yolo(root, lines=(BOX, SHAPE), described=None):
    """Write a data set whose first image of each part has objects, and whose second has no file of labels."""
    for part in ("train", "val"):
        write_images(root / "images" / part, ["a.png", "b.png"])
        (root / "labels" / part).mkdir(parents=True, exist_ok=True)
        (root / "labels" / part / "a.txt").write_text("\n".join(lines) + "\n")
    described = described or {"train": "images/train", "val": "images/val", "names": dict(enumerate(NAMES))}
    (root / "data.yaml").write_text(yaml.safe_dump(described, allow_unicode=True), "utf-8")
    return root


def test_boxes_and_polygons_are_in_pixels(tmp_path):
    data = open_detection(write_yolo(tmp_path / "木"))
    assert data.layout == "yolo"
    assert data.categories == NAMES
    assert data.category_ids == (0, 1)
    assert data.train.files == ("images/train/a.png", "images/train/b.png")
    objects = data.train.objects(0)
    assert objects.boxes.ravel().tolist() == pytest.approx([6, 9, 14, 21, 4, 3, 20, 15])
    assert objects.labels.tolist() == [2, 1]
    assert objects.areas == pytest.approx([96, 192])
    assert objects.outlines[0] is None
    assert objects.outlines[1].mask((HEIGHT, WIDTH)).sum() == 192
    assert not data.has_masks
    assert data.train.empty.tolist() == [1]
    assert data.train.load(0).size == (WIDTH, HEIGHT)


def test_a_turned_image_has_the_size_that_it_has_upright(tmp_path):
    root = write_yolo(tmp_path / "set")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture(1, (HEIGHT, WIDTH)).save(root / "images" / "train" / "a.png", exif=exif)
    train = open_detection(root).train
    assert train.sizes.tolist() == [[HEIGHT, WIDTH]] * 2
    assert train.load(0).size == (WIDTH, HEIGHT)


def beside(root):
    """Lay it out as Roboflow does, whose paths lead one folder too far up."""
    for part in ("train", "valid"):
        write_images(root / part / "images", ["a.png", "b.png"])
        (root / part / "labels").mkdir(parents=True)
        (root / part / "labels" / "a.txt").write_text(BOX)
    return {"train": "../train/images", "val": "../valid/images", "nc": 2, "names": list(NAMES)}


def listed(root):
    write_yolo(root)
    for part in ("train", "val"):
        (root / f"{part}.txt").write_text(f"./images/{part}/a.png\nimages\\{part}\\b.png\n")
    return {"train": "train.txt", "val": ["val.txt"], "nc": 2, "names": list(NAMES)}


def elsewhere(root):
    write_yolo(root)
    return {"path": "../datasets/gone", "train": "images/train", "val": "images/val", "nc": 2}


@pytest.mark.parametrize("lay_out", [beside, listed, elsewhere])
def test_other_layouts_are_found(tmp_path, lay_out):
    (tmp_path / "set").mkdir()
    described = lay_out(tmp_path / "set")
    (tmp_path / "set" / "data.yaml").write_text(yaml.safe_dump(described, allow_unicode=True), "utf-8")
    data = open_detection(tmp_path / "set")
    assert (len(data.train), len(data.val)) == (2, 2)
    assert data.train.labels[0] == 2
    assert data.categories == (NAMES if "names" in described else ("0", "1"))


@pytest.mark.parametrize("divided", [True, False])
def test_without_a_yaml_the_categories_are_the_lines_of_classes_txt(tmp_path, divided):
    root = write_yolo(tmp_path / "set")
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n", "utf-8")
    if not divided:
        for kind in ("images", "labels"):
            for each in sorted((root / kind / "train").iterdir()):
                each.rename(root / kind / each.name)
                (root / kind / "val" / each.name).unlink(missing_ok=True)
            (root / kind / "train").rmdir()
            (root / kind / "val").rmdir()
    data = open_detection(root) if divided else list_detection(root)
    assert data.categories == NAMES
    assert (len(data.train), len(data.val)) == ((2, 2) if divided else (1, 1))
    assert len(data.train.labels) + len(data.val.labels) == (4 if divided else 2)


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("1 0.25 0.5 0.2", "bad_box", "has no box of four finite numbers ('1 0.25 0.5 0.2')"),
        ("1 0.25 x 0.2 0.1", "bad_box", "has no box of four finite numbers ('1 0.25 x 0.2 0.1')"),
        ("2 0.25 0.5 0.2 0.4", "unknown_category", "has a category 2 that is not listed"),
        ("cat 0.25 0.5 0.2 0.4", "unknown_category", "has a category 'cat' that is not listed"),
        ("1 0.25 0.5 0 0.4", "no_extent", "has a box without width or height (10 9 10 21)"),
        ("1 0.95 0.5 0.5 0.4", "outside", "has a box (28 9 48 21) that leaves its 40 x 30 pixels"),
        ("1 0.1 0.1 0.5 0.1 0.5 0.5 0.1", "bad_outline", "has a polygon of 7 coordinates, an odd number"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_file(tmp_path, line, kind, text):
    root = write_yolo(tmp_path / "set", lines=(BOX, "", line))
    faults = list_detection(root).faults
    assert [(each.kind, each.where, each.detail) for each in faults] == [(kind, "line 3 of 'a.txt'", text)] * 2
    with pytest.raises(DataError, match="data.yaml': line 3 of 'a.txt' of 'images/"):
        open_detection(root)
    assert len(open_detection(root, fix=("drop",)).train.labels) == 1


@pytest.mark.parametrize(
    ("described", "text"),
    [
        ({"train": "images/gone", "names": ["a"]}, r"there is no '.*images/gone', which train names. Mend the path."),
        ({"train": 5, "names": ["a"]}, "train is 5. Expected a folder, a text file, or a list of them."),
        ({"train": "images/train", "names": ["a", "a"]}, "two categories are called 'a'"),
        ({"train": "images/train", "names": "cat"}, "names is 'cat'. Expected a list of categories."),
        ({"train": "labels/train", "names": ["a"]}, "no image is in what train names"),
    ],
)
def test_a_description_that_leads_nowhere_is_refused_in_one_line(tmp_path, described, text):
    with pytest.raises(DataError, match=text) as raised:
        open_detection(write_yolo(tmp_path / "set", described=described))
    assert "\n" not in str(raised.value)


def test_a_damaged_description_is_refused_in_one_line(tmp_path):
    root = write_yolo(tmp_path / "set")
    (root / "data.yaml").write_text("names: [a, b\ntrain: images")
    with pytest.raises(DataError, match="data.yaml' is no yaml, or damaged: while parsing a flow sequence") as raised:
        open_detection(root)
    assert "\n" not in str(raised.value)


def test_a_yaml_that_describes_something_else_is_passed_over(tmp_path):
    root = write_yolo(tmp_path / "set")
    (root / "config.yaml").write_text("train: true\n")
    (root / "notes.yml").write_bytes(b"\xff: [")
    assert len(open_detection(root).train) == 2
    (root / "again.yaml").write_text((root / "data.yaml").read_text("utf-8"), "utf-8")
    with pytest.raises(DataError, match="has 2 files that describe data, among them 'again.yaml' and 'data.yaml'"):
        open_detection(root)
