"""COCO's json, as it should be and as it comes."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.detect.boxes import HEIGHT, NAMES, WIDTH, document, picture, write_coco, write_images, write_json
from visiongraft.data.images import ORIENTATION, UnreadableImage
from visiongraft.detect.opening import is_detection, list_detection, open_detection
from visiongraft.errors import DataError


def opened_with(tmp_path, change, **choices):
    """Open a data set whose json to learn from was changed."""
    content = document()
    change(content)
    return open_detection(write_coco(tmp_path / "set", content), **choices)


def refusal_of(tmp_path, change, **choices):
    with pytest.raises(DataError) as raised:
        opened_with(tmp_path, change, **choices)
    text = str(raised.value)
    assert "\n" not in text
    return text.replace(f"{tmp_path}/set/", "").replace(str(tmp_path / "set"), "SET")


def test_boxes_labels_and_shapes_are_those_of_the_file(tmp_path):
    data = open_detection(write_coco(tmp_path / "set"))
    assert data.categories == NAMES
    assert data.category_ids == (3, 7)
    assert (len(data.train), len(data.val)) == (3, 3)
    second = data.train.objects(1)
    assert second.boxes.tolist() == [[4, 5, 12, 13], [10, 5, 18, 13]]
    assert second.labels.tolist() == [1, 2]
    assert second.keys == (200, 201)
    assert second.areas.tolist() == [64, 64]
    assert second.masks().shape == (2, HEIGHT, WIDTH)
    assert second.masks()[0, 5:13, 4:12].all()
    assert second.masks()[0].sum() == 64
    assert data.has_masks
    assert data.train.empty.tolist() == [2]
    assert data.train.load(0).size == (WIDTH, HEIGHT)
    assert data.notes == data.faults == ()


def roboflow(root):
    for part, start in (("train", 1), ("valid", 11), ("test", 21)):
        names = [f"{start + number}.png" for number in range(3)]
        write_images(root / part, names)
        write_json(root / part / "_annotations.coco.json", document(start=start))


def bundled(root):
    write_images(root / "images", [f"{start}.png" for start in (1, 2, 3, 11, 12, 13)])
    write_json(root / "instances_train.json", document())
    write_json(root / "instances_val.json", document(start=11))
    write_json(root / "instances_test.json", document(start=21))


def with_prefixes(root):
    write_images(root, ["images/train/1.png", "images/train/2.png", "images/train/3.png"])
    write_images(root, ["images/val/11.png", "images/val/12.png", "images/val/13.png"])
    write_json(root / "annotations/train.json", document(prefix="images\\train\\"))
    write_json(root / "annotations/val.json", document(start=11, prefix="images/val/"))
    write_json(root / "annotations/captions_val2017.json", {"images": []})


@pytest.mark.parametrize("lay_out", [roboflow, bundled, with_prefixes])
def test_other_layouts_give_the_same(tmp_path, lay_out):
    root = tmp_path / "ёлка 木"
    lay_out(root)
    assert is_detection(root)
    data = open_detection(root)
    assert [len(data.train), len(data.val), len(data.train.labels)] == [3, 3, 3]
    assert data.train.load(2).size == (WIDTH, HEIGHT)
    assert data.val.ids == (11, 12, 13)


def test_without_val_a_fifth_is_held_out_by_the_names_of_the_files(tmp_path):
    content = document(20)
    write_images(tmp_path / "images", [f"{number + 1}.png" for number in range(20)])
    write_json(tmp_path / "annotations" / "instances_default.json", content)
    data = open_detection(tmp_path)
    assert len(data.train) + len(data.val) == 20
    assert 1 <= len(data.val) <= 10
    assert not set(data.train.ids) & set(data.val.ids)
    assert data.notes[0].endswith(f"comes without val: {len(data.val)} images of 20 held out by file name.")
    for index, key in enumerate(data.val.ids):
        assert len(data.val.objects(index).labels) == key % 20
    shutil.copyfile(tmp_path / "images/1.png", tmp_path / "images/other.png")
    content["images"].append({"id": 99, "file_name": "other.png", "height": HEIGHT, "width": WIDTH})
    write_json(tmp_path / "annotations" / "instances_default.json", content)
    assert {*open_detection(tmp_path).val.ids} - {99} == {*data.val.ids}


def test_test_takes_the_place_of_val_and_is_noted(tmp_path):
    roboflow(tmp_path)
    shutil.rmtree(tmp_path / "valid")
    data = open_detection(tmp_path)
    assert data.val.ids == (21, 22, 23)
    assert data.notes == (f"{str(tmp_path)!r} comes without val: test takes its place.",)


def test_only_val_is_opened_where_no_more_is_asked_for(tmp_path):
    root = write_coco(tmp_path / "set")
    (root / "annotations/instances_train2017.json").write_text("no json")
    data = open_detection(root, parts="val")
    assert (len(data.train), len(data.val)) == (0, 3)


def test_categories_of_val_are_known_by_their_names(tmp_path):
    val = document(start=11)
    val["categories"] = [{"id": 1, "name": NAMES[1]}, {"id": 2, "name": NAMES[0]}, {"id": 5, "name": "unused"}]
    for each in val["annotations"]:
        each["category_id"] = {3: 2, 7: 1}[each["category_id"]]
    data = open_detection(write_coco(tmp_path / "set", val=val))
    assert data.val.labels.tolist() == [1, 1, 2]


def test_a_file_without_sizes_and_areas_has_them_measured(tmp_path):
    def strip(content):
        for each in content["images"]:
            del each["height"], each["width"]
        for each in content["annotations"]:
            del each["area"], each["bbox"]

    data = opened_with(tmp_path, strip)
    assert data.train.sizes.tolist() == [[HEIGHT, WIDTH]] * 3
    assert data.train.areas.tolist() == [64, 64, 64]
    assert data.train.boxes[0].tolist() == [4, 5, 12, 13]


def test_boxes_that_leave_their_image_by_rounding_are_cut_off_without_a_word(tmp_path):
    data = opened_with(tmp_path, lambda content: content["annotations"][0].update(bbox=[-0.4, 0, 40.9, 8]))
    assert data.train.boxes[0].tolist() == [0, 0, 40, 8]


FIRST = "'annotations/instances_train2017.json': annotation 100 of '1.png' "
MENDED = (
    "; 1 fault in all. `graft doctor --data SET` lists it; --fix drop mends it while reading, and changes no file."
)

FAULTS = {
    "no width": (
        lambda content: content["annotations"][0].update(bbox=[3, 4, 0, 9]),
        FIRST + "has a box without width or height (3 4 3 13)" + MENDED,
    ),
    "negative": (
        lambda content: content["annotations"][0].update(bbox=[3, 4, 5, -9]),
        FIRST + "has a box without width or height (3 4 8 -5)" + MENDED,
    ),
    "three numbers": (
        lambda content: content["annotations"][0].update(bbox=[3, 4, 5]),
        FIRST + "has no box of four finite numbers ('[3, 4, 5]')" + MENDED,
    ),
    "nan": (
        lambda content: content["annotations"][0].update(bbox=[3, float("nan"), 5, 6]),
        FIRST + "has no box of four finite numbers ('[3, nan, 5, 6]')" + MENDED,
    ),
    "outside": (
        lambda content: content["annotations"][0].update(bbox=[30, 4, 50, 9]),
        FIRST + "has a box (30 4 80 13) that leaves its 40 x 30 pixels" + MENDED.replace("--fix drop", "--fix clip"),
    ),
    "category": (
        lambda content: content["annotations"][0].update(category_id=5),
        FIRST + "has a category 5 that is not listed" + MENDED,
    ),
    "image": (
        lambda content: content["annotations"][0].update(image_id=77),
        FIRST.replace(" of '1.png'", "") + "is of an image 77 that is not listed" + MENDED,
    ),
    "polygon": (
        lambda content: content["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5]]),
        FIRST + "has a polygon of 5 coordinates, an odd number" + MENDED,
    ),
    "the same again": (
        lambda content: content["annotations"].append(content["annotations"][0]),
        FIRST + "comes again" + MENDED,
    ),
    "too large a number": (
        lambda content: content["annotations"][0].update(bbox=[3, 4, 10**400, 6.5]),
        FIRST + f"has no box of four finite numbers ('[3, 4, 1{'0' * 31}...)" + MENDED,
    ),
    "missing file": (
        lambda content: content["images"][0].update(file_name="gone.png"),
        "'annotations/instances_train2017.json': image 1 of 'gone.png' is not there: no 'train2017/gone.png'" + MENDED,
    ),
    "the image again": (
        lambda content: content["images"].append(content["images"][0]),
        "'annotations/instances_train2017.json': image 1 of '1.png' was listed before" + MENDED,
    ),
    "another image of its id": (
        lambda content: content["images"][1].update(id=1),
        "'annotations/instances_train2017.json': image 1 of '2.png' has the id of '1.png'; 3 faults in all. "
        "`graft doctor --data SET` lists them; --fix drop mends them while reading, and changes no file.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_refused_in_one_line_that_names_file_object_doctor_and_remedy(tmp_path, name):
    change, text = FAULTS[name]
    assert refusal_of(tmp_path, change) == text


LEFT = {
    "image": ([1, 2], [200, 201], 3),
    "missing file": ([2], [200, 201], 2),
    "the same again": ([1, 2], [100, 200, 201], 3),
    "the image again": ([1, 2], [100, 200, 201], 3),
    "another image of its id": ([], [], 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_left_out_where_that_is_asked_for(tmp_path, name):
    if name == "another image of its id":
        with pytest.raises(DataError, match="has no object to learn from in 1 image"):
            opened_with(tmp_path, FAULTS[name][0], fix=("drop",))
        return
    data = opened_with(tmp_path, FAULTS[name][0], fix=("drop",))
    _, keys, images = LEFT.get(name, ([], [200, 201], 3))
    assert list(data.train.keys) == keys
    assert len(data.train) == images
    assert all(each.mended for each in data.faults)
    assert len(data.faults) == 1


def test_a_box_is_clipped_only_where_that_is_asked_for(tmp_path):
    data = opened_with(tmp_path, FAULTS["outside"][0], fix=("clip",))
    assert data.train.boxes[0].tolist() == [30, 4, 40, 13]
    assert len(opened_with(tmp_path, FAULTS["outside"][0], fix=("drop", "clip")).train.labels) == 3


def test_where_two_mendings_are_needed_both_are_named_as_the_option_takes_them(tmp_path):
    def change(content):
        FAULTS["outside"][0](content)
        content["annotations"][1].update(bbox=[3, 4, 0, 9])

    text = refusal_of(tmp_path, change)
    assert text.endswith(
        "2 faults in all. `graft doctor --data SET` lists them; --fix drop,clip mends them while reading, "
        "and changes no file."
    )


def test_clipping_leaves_nothing_of_a_box_that_lies_outside(tmp_path):
    def change(content):
        content["annotations"][0].update(bbox=[50, 4, 5, 9])

    assert "annotation 100 of '1.png' has a box that lies outside (50 4 55 13); 1 fault" in refusal_of(
        tmp_path, change, fix=("clip",)
    )
    assert len(opened_with(tmp_path, change, fix=("clip", "drop")).train.labels) == 2


def test_different_objects_of_one_id_are_both_kept_when_mended(tmp_path):
    def change(content):
        content["annotations"][1].update(id=100)

    assert "annotation 100 of '2.png' has an id that another one has" in refusal_of(tmp_path, change)
    assert opened_with(tmp_path, change, fix=("drop",)).train.keys == (100, 100, 201)


def test_of_several_polygons_only_the_bad_one_is_left_out(tmp_path):
    def change(content):
        content["annotations"][0]["segmentation"].append([1, 2, 3])

    data = opened_with(tmp_path, change, fix=("drop",))
    assert data.train.keys == (100, 200, 201)
    assert data.train.objects(0).masks().sum() == 64


def test_the_doctor_may_see_what_a_training_refuses(tmp_path):
    content = document()
    for name in ("no width", "polygon"):
        FAULTS[name][0](content)
    content["annotations"][1]["category_id"] = 99
    data = list_detection(write_coco(tmp_path / "set", content))
    assert [each.kind for each in data.faults] == ["bad_outline", "unknown_category"]
    assert not any(each.mended for each in data.faults)


BROKEN = {
    "no json": ("{", "is no json, or damaged"),
    "a list": ("[]", "holds list, and expected is an object with images."),
    "no lists": ('{"images": 1, "categories": []}', "has no list of images. Expected COCO's json for detection"),
    "no image": ('{"images": [], "annotations": [], "categories": []}', "lists no image. Export it again."),
    "no category": ('{"images": [{}], "annotations": [], "categories": []}', "lists no category. Export it again."),
    "no id": (
        '{"images": [{}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}',
        "has no file_name. Export it again.",
    ),
    "twins": (
        '{"images": [{}], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}',
        "two categories are called 'a'. Each needs an id and a name of its own.",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_annotations_is_refused_in_one_line(tmp_path, name):
    root = write_coco(tmp_path / "set")
    content, text = BROKEN[name]
    (root / "annotations" / "instances_train2017.json").write_text(content)
    with pytest.raises(DataError) as raised:
        open_detection(root)
    assert text in str(raised.value)
    assert "instances_train2017.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_image_that_is_said_to_be_gigantic_is_refused_before_memory_is_taken(tmp_path):
    text = refusal_of(tmp_path, lambda content: content["images"][0].update(width=10**6, height=10**6))
    assert "image 1 of '1.png' is said to have 1000000 x 1000000 pixels, and none so large is read; 1 fault" in text


def test_what_macos_puts_beside_files_is_passed_over(tmp_path):
    root = write_coco(tmp_path / "set")
    (root / "annotations" / "._instances_train2017.json").write_bytes(b"\0\5\x16\7")
    assert len(open_detection(root).train) == 3


def test_two_files_for_one_part_are_refused(tmp_path):
    root = write_coco(tmp_path / "set")
    write_json(root / "annotations" / "instances_train2014.json", document())
    with pytest.raises(DataError, match="has 2 files of objects for train: 'annotations/instances_train2014.json', "):
        open_detection(root)


def test_images_that_are_nowhere_are_said_once_with_the_places_that_were_searched(tmp_path):
    root = write_coco(tmp_path / "set")
    shutil.rmtree(root / "train2017")
    with pytest.raises(DataError, match=r"lists 3 images, and none of the first 3 is there: no '1.png' in '.*"):
        open_detection(root)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text(""), lambda path: path.mkdir()])
def test_what_is_no_data_with_boxes_is_said_in_one_line(tmp_path, make):
    make(tmp_path / "set")
    with pytest.raises(DataError, match=r"Expected COCO's json \(.*\), YOLO's data.yaml, or VOC's Annotations/"):
        open_detection(tmp_path / "set")
    assert not is_detection(tmp_path / "set")


def test_a_folder_of_classes_is_none_of_objects(tmp_path):
    write_images(tmp_path, ["cat/1.png", "dog/2.png"])
    (tmp_path / "package.json").write_text('{"name": "cats"}')
    assert not is_detection(tmp_path)
    with pytest.raises(DataError, match=r"holds 2 images and 1 other file in cat/, dog/, and no annotations"):
        open_detection(tmp_path)


@pytest.mark.parametrize("stated", ["upright", "stored"])
def test_a_turned_image_is_given_in_the_orientation_that_its_annotations_are_for(tmp_path, stated):
    content = document()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    root = write_coco(tmp_path / "set")
    stored = picture(5, (HEIGHT, WIDTH))  # lies on its side, and is WIDTH x HEIGHT once turned
    stored.save(root / "train2017" / "1.png", exif=exif)
    if stated == "stored":
        content["images"][0].update(width=HEIGHT, height=WIDTH)
    write_json(root / "annotations" / "instances_train2017.json", content)
    found = open_detection(root).train.load(0)
    wanted = stored if stated == "stored" else stored.transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(np.asarray(found), np.asarray(wanted))


def test_an_image_of_another_size_than_the_file_says_cannot_be_read(tmp_path):
    root = write_coco(tmp_path / "set")
    picture(0, (20, 10)).save(root / "train2017" / "1.png")
    with pytest.raises(UnreadableImage, match="it has 20 x 10 pixels, and its annotations are for 40 x 30"):
        open_detection(root).train.load(0)


def test_letters_with_accents_are_found_however_they_are_spelt(tmp_path):
    content = document()
    content["images"][0]["file_name"] = "cafe\u0301.png"
    root = write_coco(tmp_path / "set", content)
    picture(0).save(root / "train2017" / "caf\u00e9.png")
    assert open_detection(root).train.files[0] == "caf\u00e9.png"


def test_an_image_that_is_listed_again_stays_however_its_accents_are_spelt(tmp_path):
    content = document()
    content["images"][0]["file_name"] = "cafe\u0301.png"
    content["images"].append(content["images"][0])
    root = write_coco(tmp_path / "set", content)
    picture(0).save(root / "train2017" / "caf\u00e9.png")
    data = open_detection(root, fix=("drop",))
    assert [each.detail for each in data.faults] == ["was listed before"]
    assert data.train.ids == (1, 2, 3)


@pytest.mark.parametrize(("flag", "crowd"), [("0", False), ("false", False), (0.0, False), ("1", True), (True, True)])
def test_crowds_are_known_by_numbers_and_by_text(tmp_path, flag, crowd):
    data = opened_with(tmp_path, lambda content: content["annotations"][0].update(iscrowd=flag))
    assert data.train.crowd.tolist() == [crowd, False, False]


@pytest.mark.parametrize(("part", "use"), [("train", "learn from"), ("val", "be scored on")])
def test_crowds_alone_are_nothing_to_learn_from_and_to_be_scored_on(tmp_path, part, use):
    content = document(start={"train": 1, "val": 11}[part])
    for each in content["annotations"]:
        each["iscrowd"] = 1
    root = write_coco(tmp_path / "set", **{part: content})
    with pytest.raises(DataError, match=rf"has no object to {use} in 3 images\. Add some\."):
        open_detection(root)


@pytest.mark.parametrize("area", [10**400, float("inf"), float("nan"), 0, -1, "64", None])
def test_an_area_that_is_none_is_measured(tmp_path, area):
    data = opened_with(tmp_path, lambda content: content["annotations"][0].update(area=area))
    assert data.train.areas.tolist() == [64, 64, 64]


def test_categories_that_are_given_are_those_of_the_labels(tmp_path):
    root = write_coco(tmp_path / "set")
    data = open_detection(root, parts="val", categories=("bird", *reversed(NAMES)))
    assert data.categories == ("bird", "dog", NAMES[0])
    assert data.category_ids == ("bird", 7, 3)
    assert data.val.labels.tolist() == [3, 3, 2]
    with pytest.raises(DataError) as raised:
        open_detection(root, parts="val", categories=NAMES[1:])
    text = str(raised.value).replace(f"{root}/", "")
    assert text == (
        "'annotations/instances_val2017.json': annotation 1100 of '11.png' has a category 3 that is not listed: known"
        " are dog (1 category). Use data with these categories; --fix drop leaves out 2 objects of others."
    )
    assert len(open_detection(root, parts="val", categories=NAMES[1:], fix=("drop",)).val.labels) == 1


@pytest.mark.parametrize(
    ("name", "counts", "masks"),
    [("nuclei", (265, 69, 7514, 2029), True), ("bccd", (205, 87, 2804, 1137), False)]
    + [("coco_free", (26, 27, 181, 174), True)],
)
def test_the_bundled_sets_open_without_a_fault(shared, name, counts, masks):
    data = open_detection(shared / "data" / name)
    assert (len(data.train), len(data.val), len(data.train.labels), len(data.val.labels)) == counts
    assert data.has_masks == masks
    assert data.faults == ()
    areas = [objects.masks().sum(axis=(1, 2)) for objects in (data.val.objects(0),)] if masks else []
    assert all(np.array_equal(each, data.val.objects(0).areas) for each in areas)
