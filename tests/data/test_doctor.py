"""What is found in a data set, and that nothing is found where nothing is wrong."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tests.scenes import scene, write_scenes
from visiongraft.data import delivery, doctor, memory
from visiongraft.data.delivery import measure_delivery
from visiongraft.data.doctor import admit, examine
from visiongraft.data.findings import Finding, by_severity, share_of
from visiongraft.data.memory import memory_of_machine
from visiongraft.data.sets import ArrayImages, ImageData
from visiongraft.data.sources import open_data
from visiongraft.data.survey import survey
from visiongraft.errors import DataError

SIZE = (48, 48)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(delivery, "SHORTEST", 0.0)
    monkeypatch.setattr(delivery, "ROUNDS", 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes") / "photos")


@pytest.fixture
def photos(made, tmp_path):
    """Give a data set of one's own in which nothing is wrong."""
    return shutil.copytree(made, tmp_path / "photos")


def findings(path, size=SIZE):
    """Give what is found, by its kind."""
    found = examine(admit(str(path)), size).findings
    assert len({each.kind for each in found}) == len(found)
    for each in found:
        assert "\n" not in each.what + each.remedy
        assert not each.what.endswith(".")
        assert not each.remedy.endswith(".")
    return {each.kind: each for each in found}


def only(path, kind, size=SIZE):
    found = findings(path, size)
    assert list(found) == [kind]
    return found[kind]


def files(path, finding):
    """Give the images that a finding names, and those that they are copies of, below the data set's folder."""
    seen = survey(admit(str(path)).data)
    names = [[os.path.relpath(seen.name_of(place), path) for place in row] for row in (finding.places, finding.twins)]
    return list(zip(*names, strict=True)) if names[1] else names[0]


def test_nothing_is_found_where_nothing_is_wrong(photos):
    found = examine(admit(str(photos)), SIZE)
    assert found.findings == ()
    assert found.grave == 0
    assert found.pixel_bytes == 140 * 48 * 48 * 3
    assert found.delivery.images_per_second > 0


def test_worker_processes_see_the_same(photos):
    (photos / "train/cat/3.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    scene(4).convert("CMYK").save(photos / "train/dog/new.jpg")
    told = []
    data = open_data(str(photos))
    one, other = survey(data, on_images=told.append), survey(data, workers=2)
    assert sum(told) == 141
    for name, ours, theirs in zip(one.seen._fields, one.seen, other.seen, strict=True):
        assert ours == theirs if name == "errors" else np.array_equal(ours, theirs), name
    assert list(one.seen.errors) == [3]


def test_files_that_cannot_be_read_are_named_with_the_reason(photos):
    write_scenes(photos, train=120, val=60)
    path = photos / "val/dog/7.png"
    path.write_bytes(path.read_bytes()[:-400])
    found = only(photos, "unreadable")
    assert found.severity == "warning"
    assert found.what == "Images that cannot be read: 1 of 360 (0.3%)"
    assert found.remedy == (
        "Replace or remove them: a training passes over them, and ends where they are more than 1 in 100"
    )
    assert files(photos, found) == ["val/dog/7.png"]
    assert list(found.details.values()) == ["it is damaged (image file is truncated)"]


def test_more_than_one_unreadable_file_in_a_hundred_is_grave(photos):
    write_scenes(photos, train=21, val=51)
    for part in ("train", "val"):
        (photos / part / "cat/0.png").write_bytes(b"")
    found = only(photos, "unreadable")
    assert found.severity == "grave"
    assert found.what == "Images that cannot be read: 2 of 144 (1.4%)"
    assert list(found.details.values()) == ["the file is empty (0 bytes)"] * 2


def test_odd_files_are_named(photos):
    scene(900).save(photos / "train/cat/odd.jpg", "PNG")
    scene(901).save(photos / "train/cat/odd.png", "PNG", exif=turned())
    found = findings(photos)
    assert list(found) == ["extension", "turned"]
    assert found["extension"].what == "Files of another format than their names end in: 1 of 142 (0.7%)"
    assert files(photos, found["extension"]) == ["train/cat/odd.jpg"]
    assert files(photos, found["turned"]) == ["train/cat/odd.png"]


def turned():
    exif = Image.Exif()
    exif[0x0112] = 3
    return exif


def test_images_of_val_that_train_holds_too_are_named_with_their_twins(photos):
    scene(0).save(photos / "val/cat/again.bmp")
    found = only(photos, "leaked")
    assert found.severity == "warning"
    assert found.what == "Images of val that train holds too, to the last pixel: 1 of 101 (1.0%)"
    assert found.remedy == "Remove the copies in train, or the score counts what was learnt by heart"
    assert files(photos, found) == [("train/cat/0.png", "val/cat/again.bmp")]


def test_one_image_is_never_grave(photos):
    (photos / "val/cat/0.png").write_bytes(b"")
    shutil.rmtree(photos / "val/dog")
    assert findings(photos)["unreadable"].severity == "warning"


def test_more_than_one_leaked_image_in_a_hundred_is_grave(photos):
    for seed in (0, 1):
        scene(seed).save(photos / f"val/cat/again{seed}.bmp")
    assert only(photos, "leaked").severity == "grave"


def test_an_image_under_two_classes_is_named_under_both(photos):
    scene(21).save(photos / "train/cat/again.bmp")
    found = only(photos, "contradicted")
    assert found.severity == "grave"
    assert found.what == "Images of different classes that are equal to the last pixel: 2 of 141 (1.4%)"
    assert found.remedy == "Decide which class is right, and remove them from the other"
    assert files(photos, found) == [
        ("train/cat/again.bmp", "train/dog/1.png"),
        ("train/dog/1.png", "train/cat/again.bmp"),
    ]


def test_an_image_that_is_there_thrice_has_two_copies(photos):
    for name in ("x.bmp", "y.tif"):
        scene(0).save(photos / "train/cat" / name)
    found = only(photos, "repeated")
    assert found.severity == "warning"
    assert found.what == "Images that equal another one of their class to the last pixel: 2 of 142 (1.4%)"
    assert found.remedy == "Remove the copies: each counts as one more image"
    assert files(photos, found) == [("train/cat/x.bmp", "train/cat/0.png"), ("train/cat/y.tif", "train/cat/0.png")]


def test_a_copy_in_the_other_part_and_under_the_other_class_is_both(photos):
    scene(0).save(photos / "val/dog/again.bmp")
    found = findings(photos)
    assert sorted(found) == ["contradicted", "leaked"]
    assert files(photos, found["leaked"]) == [("train/cat/0.png", "val/dog/again.bmp")]


def test_copies_that_were_encoded_anew_resized_and_brightened_are_found(photos):
    altered = ImageEnhance.Brightness(scene(0).resize((96, 96), Image.Resampling.BICUBIC)).enhance(1.05)
    altered.save(photos / "val/cat/again.jpg", quality=80)
    altered.save(photos / "train/dog/again.jpg", quality=70)
    scene(1).save(photos / "train/cat/again.jpg", quality=70)
    found = findings(photos)
    assert sorted(found) == ["contradicted_nearly", "leaked_nearly", "repeated_nearly"]
    leaked, contradicted, repeated = (
        found[kind] for kind in ("leaked_nearly", "contradicted_nearly", "repeated_nearly")
    )
    assert files(photos, leaked) == [
        ("train/cat/0.png", "val/cat/again.jpg"),
        ("train/dog/again.jpg", "val/cat/again.jpg"),
    ]
    assert leaked.what == "Images of val that look nearly like one of train: 1 of 101 (1.0%)"
    assert contradicted.what == "Images of different classes that look nearly the same: 3 of 143 (2.1%)"
    assert ("train/cat/0.png", "train/dog/again.jpg") in files(photos, contradicted)
    assert files(photos, repeated) == [("train/cat/again.jpg", "train/cat/1.png")]
    assert repeated.what == "Images that look nearly like another one of their class: 1 of 143 (0.7%)"
    assert (leaked.severity, contradicted.severity, repeated.severity) == ("warning", "warning", "note")


def test_equal_images_are_not_called_nearly_the_same_too(photos):
    scene(0).save(photos / "val/cat/again.bmp")
    scene(0).save(photos / "val/cat/again.jpg", quality=90)
    assert sorted(findings(photos)) == ["leaked", "leaked_nearly", "repeated_nearly"]


def test_images_without_content_are_named_and_not_compared(photos):
    faint = np.asarray(scene(900)) // 100  # one pattern, whose hashes would be equal
    for index, level in enumerate((30, 31, 200)):
        Image.fromarray(faint + np.uint8(level)).save(photos / f"train/cat/flat{index}.png")
    found = only(photos, "flat")
    assert found.what == "Images that show next to nothing, all of one brightness: 3 of 143 (2.1%)"
    assert files(photos, found) == [f"train/cat/flat{index}.png" for index in range(3)]


def test_small_and_long_images_are_named(photos):
    scene(900, 40, 60).save(photos / "train/cat/narrow.png")
    scene(901, 201, 50).save(photos / "train/cat/wide.png")
    scene(902, 50, 200).save(photos / "train/cat/tall.png")
    found = findings(photos)
    assert list(found) == ["small", "long"]
    assert found["small"].what == "Images smaller than 48 x 48: 1 of 143 (0.7%)"
    assert found["small"].remedy == (
        "They are enlarged and blurred: replace or remove them, or choose a smaller --image"
    )
    assert files(photos, found["small"]) == ["train/cat/narrow.png"]
    assert found["long"].what == "Images more than 4 times longer than wide, or wider than long: 1 of 143 (0.7%)"
    assert files(photos, found["long"]) == ["train/cat/wide.png"]


def test_where_most_are_small_the_size_that_fits_is_told(photos):
    found = only(photos, "small", (64, 64))
    assert found.what == "Images smaller than 64 x 64: 140 of 140 (100.0%)"
    assert found.remedy == "They are enlarged, which costs time and shows no more: --image 48 fits them"
    assert only(photos, "small", (48, 50)).what == "Images smaller than 48 x 50: 140 of 140 (100.0%)"


def test_images_of_far_more_pixels_than_are_shown_are_noted(photos):
    found = only(photos, "large", (8, 8))
    assert found.what == "Half of the images have more than 36 times the pixels that are shown at 8 x 8"
    assert found.remedy == "A copy of them, shrunk to 16 pixels at the short side, is read faster"
    assert len(found.places) == 0


def test_small_classes_and_unequal_ones_are_named(photos):
    for index in range(1, 20):
        (photos / f"train/cat/{index}.png").unlink()
    found = findings(photos)
    assert list(found) == ["few", "unbalanced"]
    assert found["few"].what == "Classes of fewer than 20 images to learn from: 1 of 2 (50.0%): 'cat'"
    assert found["unbalanced"].what == "'dog' has 20 images to learn from, 'cat' only 1"
    assert found["unbalanced"].remedy == (
        "Add images of small classes or train with --sampler balanced, and judge by the scores of each class: "
        "always answering 'cat' is right for 50% of val"
    )


def test_a_class_that_val_lacks_is_named(photos):
    shutil.rmtree(photos / "val/dog")
    found = findings(photos)
    assert list(found) == ["unscored", "small_val"]
    assert found["unscored"].what == "Classes that val lacks: 1 of 2 (50.0%): 'dog'"
    assert found["small_val"].what == "val holds only 50 images: a score may be off by 7 points by chance"


def test_a_class_that_only_val_has_is_grave_and_the_rest_is_examined_all_the_same(photos):
    (photos / "val/eel").mkdir()
    scene(900).save(photos / "val/eel/1.png")
    scene(0).save(photos / "val/cat/again.bmp")
    found = findings(photos)
    assert list(found) == ["refused", "val_only", "leaked"]
    assert [found[kind].severity for kind in found] == ["grave", "grave", "warning"]
    with pytest.raises(DataError) as refusal:
        open_data(str(photos))
    assert f"{found['refused'].what}. {found['refused'].remedy}." == str(refusal.value)
    assert found["val_only"].what == "Classes that val has and train lacks: 1 of 3 (33.3%): 'eel'"
    assert files(photos, found["val_only"]) == ["val/eel/1.png"]


def test_a_data_set_of_one_class_is_grave(photos):
    for part in ("train", "val"):
        shutil.rmtree(photos / part / "dog")
    found = findings(photos)
    assert list(found) == ["refused", "one_class", "small_val"]
    assert found["one_class"].what == "All images are of one class, 'cat'"
    assert found["one_class"].severity == "grave"


def test_an_empty_class_folder_is_grave_where_training_refuses_it(photos):
    (photos / "train/eel").mkdir()
    (photos / "val/eel").mkdir()
    found = findings(photos)
    assert list(found) == ["refused", "empty"]
    assert found["empty"].what == "Classes without any image: 1 of 3 (33.3%): 'eel'"
    assert found["empty"].severity == "warning"


def test_a_val_without_train_is_examined(photos):
    shutil.rmtree(photos / "train")
    found = examine(admit(str(photos)), SIZE)
    assert [each.kind for each in found.findings] == ["refused", "val_only"]
    assert (found.mean, found.delivery) == (None, None)


def test_a_folder_without_a_split_is_examined_as_training_would_split_it(photos):
    found = findings(photos / "train")
    assert set(found) == {"few", "small_val"}
    (photos / "train/eel").mkdir()
    scene(900).save(photos / "train/eel/1.png")
    assert "refused" in findings(photos / "train")


@pytest.mark.parametrize("path", ["no/such", "empty", "flowers128", "photos/train/cat"])
def test_what_holds_no_images_with_classes_is_refused_as_everywhere(photos, monkeypatch, path):
    monkeypatch.chdir(photos.parent)
    (photos.parent / "empty").mkdir()
    with pytest.raises(DataError) as ours:
        admit(path)
    with pytest.raises(DataError) as theirs:
        open_data(path)
    assert str(ours.value) == str(theirs.value)


def test_nothing_that_can_be_read_is_a_finding_and_no_crash(tmp_path):
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "a.jpg").write_bytes(b"")
    found = examine(admit(str(tmp_path)), SIZE)
    assert [each.kind for each in found.findings] == ["unreadable", "empty"]
    assert (found.mean, found.deviation, found.delivery, found.pixel_bytes) == (None, None, None, 0)


def arrays(train, val):
    parts = [
        ArrayImages(name, np.stack(each), np.arange(len(each)) % 2) for name, each in (("train", train), ("val", val))
    ]
    return doctor.Patient(ImageData("set.npz", ("a", "b"), *parts))


def test_mean_and_deviation_are_those_of_the_images_to_learn_from():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 9, 7, 3), np.uint8)
    found = examine(arrays(pixels, pixels[:4] // 2), (9, 7))
    assert found.mean == pytest.approx((pixels / 255).mean(axis=(0, 1, 2)), abs=1e-6)
    assert found.deviation == pytest.approx((pixels / 255).std(axis=(0, 1, 2)), abs=1e-6)


def test_images_in_memory_are_examined_and_named_by_their_place():
    pixels = np.stack([np.asarray(scene(seed)) for seed in range(50)])
    found = examine(arrays(pixels, pixels[3:4]), SIZE)
    leaked = next(each for each in found.findings if each.kind == "leaked")
    names = [found.seen.name_of(int(place)) for place in (*leaked.places, *leaked.twins)]
    assert names == ["train[3]", "val[0]"]


def test_colours_far_from_those_of_the_normalisation_are_noted():
    dark = np.stack([np.asarray(scene(seed)) // 8 for seed in range(40)])
    found = examine(arrays(dark, dark[:0:-1]), SIZE)
    colors = next(each for each in found.findings if each.kind == "colors")
    assert colors.severity == "note"
    assert colors.what.startswith("Normalised as for ImageNet, pixels have means of -1.8")


def test_the_loader_is_measured_with_the_workers_and_the_size_that_were_asked_for(photos):
    train = open_data(str(photos)).train
    found = measure_delivery(train, (24, 32), workers=2)
    assert (found.image, found.workers, found.batches, found.batch_size) == ((24, 32), 2, 2, 40)
    assert found.images_per_second > 0


def test_the_measured_rate_is_the_median_of_the_rounds(monkeypatch):
    train = ArrayImages("train", np.zeros((64, 8, 8, 3), np.uint8), np.zeros(64, np.int64))
    moments = iter([0.0, 1.0, 2.0, 12.0, 12.5, 13.5])
    monkeypatch.setattr(delivery, "ROUNDS", 5)
    monkeypatch.setattr(delivery, "perf_counter", lambda: next(moments))
    found = measure_delivery(train, (8, 8))
    assert (found.images_per_second, found.rounds) == (64.0, 5)


def test_slow_data_is_measured_once_and_not_for_ever(monkeypatch):
    train = ArrayImages("train", np.zeros((64, 8, 8, 3), np.uint8), np.zeros(64, np.int64))
    moments = iter([0.0, 64.0])
    monkeypatch.setattr(delivery, "perf_counter", lambda: next(moments))
    assert measure_delivery(train, (8, 8)).images_per_second == 1.0


def test_the_memory_of_a_container_counts_where_it_is_smaller(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path / "memory.max")
    whole = memory_of_machine()
    assert whole > 10**8
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_of_machine() == whole
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory_of_machine() == 10**6


def test_grave_findings_come_first():
    kinds = [("a", "note"), ("b", "grave"), ("c", "warning"), ("d", "grave")]
    found = by_severity(Finding(kind, severity, "", "") for kind, severity in kinds)
    assert [each.kind for each in found] == ["b", "d", "c", "a"]


def test_a_share_that_would_round_to_none_is_left_out():
    assert share_of(2, 748) == "2 of 748 (0.3%)"
    assert share_of(1, 60_000) == "1 of 60,000"
    assert share_of(0, 0) == "0 of 0"
