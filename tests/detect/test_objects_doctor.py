"""What `graft doctor` finds in data with boxes."""

import json

import pytest
from PIL import Image

from tests.detect.boxes import document, picture, write_coco
from visiongraft.cli.main import main
from visiongraft.data.images import ORIENTATION
from visiongraft.detect.doctor import examine_detection
from visiongraft.detect.opening import list_detection


def spoil(content, **changes):
    content["annotations"][0].update(changes)
    return content


def findings(root):
    found = examine_detection(list_detection(root)).findings
    assert len({each.kind for each in found}) == len(found)
    for each in found:
        assert not (each.what + each.remedy).endswith(".")
    return {each.kind: each for each in found}


USUAL = {"background", "few"}
"""What is found in the tiny set when nothing is wrong with it."""


def test_nothing_is_found_where_nothing_is_wrong(tmp_path):
    found = findings(write_coco(tmp_path / "set"))
    assert set(found) == USUAL
    assert found["background"].what == "Images without any object: 2 of 6 (33.3%)"
    assert found["background"].places.tolist() == [2, 5]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"bbox": [1, 2, 0, 4]}, "no_extent"),
        ({"bbox": [1, 2, 90, 4]}, "outside"),
        ({"category_id": 99}, "unknown_category"),
        ({"image_id": 99}, "unknown_image"),
        ({"segmentation": [[1, 2, 3]]}, "bad_outline"),
        ({"bbox": "x"}, "bad_box"),
        ({"id": 200}, "repeated_id"),
    ],
)
def test_faults_of_the_file_are_grave_and_name_the_object(tmp_path, changes, kind):
    found = findings(write_coco(tmp_path / "set", spoil(document(), **changes)))
    assert found[kind].severity == "grave"
    assert len(found[kind].faults) == 1
    assert "annotation " in found[kind].faults[0].where
    assert "until then a training refuses the data" in found[kind].remedy


def test_crowds_copies_and_hollow_shapes_are_counted(tmp_path):
    content = spoil(document(), iscrowd=1)
    content["annotations"].append({**content["annotations"][1], "id": 900})
    content["annotations"][2]["segmentation"] = [[10.1, 5.1, 10.2, 5.1, 10.2, 5.2]]
    found = findings(write_coco(tmp_path / "set", content))
    assert found["crowd"].what == "Objects that are crowds, or difficult: 1 of 7 (14.3%)"
    assert found["repeated_object"].places.tolist() == [1]
    assert found["hollow_shape"].what == "Shapes that cover no pixel: 1 of 7 (14.3%)"


@pytest.mark.parametrize(("part", "kind"), [("train", "nothing_to_learn_from"), ("val", "nothing_to_be_scored_on")])
def test_a_part_that_shows_nothing_but_crowds_is_grave(tmp_path, part, kind):
    content = document(start={"train": 1, "val": 11}[part])
    for each in content["annotations"]:
        each["iscrowd"] = 1
    found = findings(write_coco(tmp_path / "set", **{part: content}))[kind]
    assert found.severity == "grave"
    assert found.what == f"There is no object to {kind[11:].replace('_', ' ')} in 3 images"


def test_boxes_of_a_pixel_are_told(tmp_path):
    found = findings(write_coco(tmp_path / "set", spoil(document(), bbox=[5, 5, 1, 9])))
    assert found["tiny"].what == "Boxes of less than 2 pixels in width or height: 1"
    assert found["tiny"].places.tolist() == [0]


def test_objects_without_a_shape_are_told_where_others_have_one(tmp_path):
    found = findings(write_coco(tmp_path / "set", spoil(document(), segmentation=[])))
    assert found["shapeless"].places.tolist() == [0]


def test_categories_that_are_missing_somewhere_are_named(tmp_path):
    content = document()
    content["categories"].append({"id": 9, "name": "bird"})
    content["annotations"] = content["annotations"][:2]
    found = findings(write_coco(tmp_path / "set", content))
    assert found["val_only"].what == "Categories that val has and train lacks: 1 of 3 (33.3%): 'dog'"
    assert found["unused"].what == "Categories without any object: 1 of 3 (33.3%): 'bird'"


def test_images_of_another_size_are_told_from_those_that_lie_on_their_side(tmp_path):
    content = document()
    content["images"][1].update(width=30, height=40)
    root = write_coco(tmp_path / "set", content)
    picture(0, (20, 10)).save(root / "train2017" / "1.png")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture(5, (30, 40)).save(root / "train2017" / "2.png", exif=exif)
    found = findings(root)
    assert found["resized"].details == {0: "it has 20 x 10 pixels, its annotations are for 40 x 30"}
    assert found["lying"].places.tolist() == [1]


def test_copies_between_train_and_val_are_found(tmp_path):
    root = write_coco(tmp_path / "set")
    (root / "val2017" / "11.png").write_bytes((root / "train2017" / "2.png").read_bytes())
    (root / "train2017" / "3.png").write_bytes((root / "train2017" / "1.png").read_bytes())
    found = findings(root)
    assert found["leaked"].places.tolist() == [1]
    assert found["repeated"].what == "Images that equal another one to the last pixel: 1 of 6 (16.7%)"


def test_the_command_tells_faults_in_a_line_each_and_exits_with_one(tmp_path, capsys):
    root = write_coco(tmp_path / "set", spoil(document(), bbox=[1, 2, 0, 4]))
    assert main(["doctor", "--data", str(root), "--workers", "0", "--list", str(tmp_path / "odd.csv")]) == 1
    out, err = capsys.readouterr()
    assert "images     3 to learn from, 3 to be scored on, in COCO's json" in out
    assert "boxes      8 to 8 pixels at the longer side, median 8" in out
    assert "objects    2 to learn from, 3 to be scored on, all with a shape" in out
    assert (
        "grave     Boxes without width or height: 1. Draw them again, or remove them, or train with --fix drop: until "
        "then a training refuses the data. It is 1.png: annotation 100 has a box without width or height (1 2 1 6)."
    ) in out
    assert "1 finding is grave" in err
    rows = (tmp_path / "odd.csv").read_text("utf-8").splitlines()
    assert rows[1].startswith("no_extent,grave,1.png,,,,annotation 100 has a box")


def test_a_program_is_given_the_same(tmp_path, capsys):
    root = write_coco(tmp_path / "set")
    assert main(["doctor", "--data", str(root), "--workers", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["layout"] == "coco"
    assert told["objects"]["train"] == {"all": 3, "crowd": 0, "images_without": 1}
    assert told["masks"] is True
    assert told["longer_sides"] == [8, 8, 8]
    assert {each["kind"] for each in told["findings"]} == USUAL


def test_data_that_cannot_be_told_is_refused_with_exit_code_two(tmp_path, capsys):
    root = write_coco(tmp_path / "set")
    (root / "annotations" / "instances_train2017.json").write_text('{"images": [')
    assert main(["doctor", "--data", str(root)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("graft: ")
    assert "is no json, or damaged" in err
    assert err.count("\n") == 1
