"""Pascal VOC's xml files."""

import pytest

from tests.detect.boxes import HEIGHT, WIDTH, write_images
from visiongraft.detect.opening import list_detection, open_detection
from visiongraft.errors import DataError

OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>
<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"""


def xml(image, objects=(("cat", (5, 6, 12, 13)),), *, size=(WIDTH, HEIGHT), difficult=0):
    inside = "".join(OBJECT.format(name=name, box=box, difficult=difficult) for name, box in objects)
    width, height = size
    return (
        f"<annotation><folder>x</folder><filename>{image}</filename>"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>{inside}</annotation>"
    )


def write_voc(root, first=None):
    """Write images 1 to 4, the last of which shows nothing; 3 and 4 are to be scored on."""
    names = [f"{number}.png" for number in range(1, 5)]
    write_images(root / "JPEGImages", names)
    (root / "Annotations").mkdir()
    for name in names:
        text = xml(name, () if name == "4.png" else (("dog" if name == "2.png" else "cat", (5, 6, 12, 13)),))
        (root / "Annotations" / f"{name[0]}.xml").write_text(first if first and name == "1.png" else text, "utf-8")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("1\n2\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("3\n4 -1\n")
    return root


@pytest.mark.parametrize("above", ["", "VOCdevkit/VOC2007"])
def test_corners_count_from_one_and_the_last_pixel_belongs_to_the_box(tmp_path, above):
    (tmp_path / "множество" / above).mkdir(parents=True)
    write_voc(tmp_path / "множество" / above)
    data = open_detection(tmp_path / "множество")
    assert data.layout == "voc"
    assert data.categories == ("cat", "dog")
    assert (len(data.train), len(data.val)) == (2, 2)
    assert data.train.boxes.tolist() == [[4, 5, 12, 13]] * 2
    assert data.train.labels.tolist() == [1, 2]
    assert data.train.areas.tolist() == [64, 64]
    assert data.val.empty.tolist() == [1]
    assert not data.has_masks
    assert data.train.load(0).size == (WIDTH, HEIGHT)


def test_difficult_objects_count_as_crowds(tmp_path):
    data = open_detection(write_voc(tmp_path / "set", xml("1.png", difficult=1)))
    assert data.train.crowd.tolist() == [True, False]


def test_xml_files_beside_the_images_of_each_part_are_found(tmp_path):
    for part in ("train", "valid"):
        write_images(tmp_path / part, ["1.png", "2.png"])
        for number in (1, 2):
            (tmp_path / part / f"{number}.xml").write_text(xml(f"{number}.png"))
    data = open_detection(tmp_path)
    assert (len(data.train), len(data.val), len(data.train.labels)) == (2, 2, 2)


def test_without_lists_a_fifth_is_held_out(tmp_path):
    root = write_voc(tmp_path / "set")
    for each in (root / "ImageSets" / "Main").iterdir():
        each.unlink()
    data = open_detection(root)
    assert len(data.train) + len(data.val) == 4
    assert "held out by file name" in data.notes[0]


def test_images_that_were_renamed_after_their_xml_files_are_found(tmp_path):
    root = write_voc(tmp_path / "set")
    for number in range(1, 5):
        file = root / "Annotations" / f"{number}.xml"
        file.write_text(file.read_text().replace(f"{number}.png", f"C:\\Users\\me\\IMG_{number}.JPG"))
    assert open_detection(root).train.files == ("1.png", "2.png")


def test_names_in_lists_may_have_spaces(tmp_path):
    root = write_voc(tmp_path / "set")
    (root / "Annotations" / "1.xml").rename(root / "Annotations" / "slide 1.xml")
    (root / "ImageSets" / "Main" / "train.txt").write_text("slide 1\n2  1\n")
    assert open_detection(root).train.files == ("1.png", "2.png")


def test_a_size_of_zero_is_measured(tmp_path):
    data = open_detection(write_voc(tmp_path / "set", xml("1.png", size=(0, 0))))
    assert data.train.sizes.tolist() == [[HEIGHT, WIDTH]] * 2


@pytest.mark.parametrize(
    ("box", "kind", "text"),
    [
        ((5, 6, "x", 13), "bad_box", "has no box of four finite numbers ('5 6 x 13')"),
        ((5, 6, 4, 13), "no_extent", "has a box without width or height (4 5 4 13)"),
        ((5, 6, 60, 13), "outside", "has a box (4 5 60 13) that leaves its 40 x 30 pixels"),
    ],
)
def test_a_bad_object_is_named_with_its_number_and_file(tmp_path, box, kind, text):
    root = write_voc(tmp_path / "set", xml("1.png", (("cat", (5, 6, 12, 13)), ("cat", box))))
    (fault,) = list_detection(root).faults
    assert (fault.kind, fault.where, fault.detail) == (kind, "object 2 of '1.xml'", text)


def test_a_category_that_train_lacks_is_a_fault_of_val(tmp_path):
    root = write_voc(tmp_path / "set")
    file = root / "Annotations" / "3.xml"
    file.write_text(file.read_text().replace("cat", "bird"))
    with pytest.raises(DataError, match="object 1 of '3.xml' of '3.png' has a category 'bird' that is not listed"):
        open_detection(root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotation>", "is no xml, or damaged: no element found"),
        ("<svg></svg>", "is no annotation of VOC: it begins with <svg>. Move it away."),
    ],
)
def test_a_file_that_is_no_annotation_is_refused_in_one_line(tmp_path, text, said):
    with pytest.raises(DataError, match=said) as raised:
        open_detection(write_voc(tmp_path / "set", text))
    assert "1.xml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_xml_file_that_a_list_names_and_that_is_not_there_is_said(tmp_path):
    root = write_voc(tmp_path / "set")
    (root / "Annotations" / "2.xml").unlink()
    with pytest.raises(DataError, match=r"Cannot read '.*2\.xml': No such file or directory"):
        open_detection(root)
