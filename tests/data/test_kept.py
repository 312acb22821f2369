"""Pictures that are kept in memory are those of the files, to the last bit."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures import write_folder, write_npz
from visiongraft.data import kept
from visiongraft.data.fingerprint import fingerprint
from visiongraft.data.images import ORIENTATION
from visiongraft.data.kept import Cache, KeptImages, kept_in_memory
from visiongraft.data.loader import Batch, Samples, make_loader
from visiongraft.data.sampling import StepSampler
from visiongraft.data.sets import FileImages, ImageData
from visiongraft.data.sources import open_data
from visiongraft.data.transforms import TrainTransform
from visiongraft.errors import DataError
from visiongraft.preprocessing import Preprocessing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of many kinds, of which two cannot be read."""
    root = write_folder(tmp_path / "stripes")
    rng = np.random.default_rng(0)
    colors = Image.fromarray(rng.integers(0, 256, (30, 50, 3), np.uint8))
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    place = root / "train" / "upright"
    colors.save(place / "turned.jpg", exif=turned)
    colors.convert("L").save(place / "gray.png")
    colors.quantize(16).save(place / "palette.gif")
    colors.convert("RGBA").save(place / "transparent.png")
    (place / "broken.png").write_bytes((place / "gray.png").read_bytes()[:300])
    (place / "empty.jpg").write_bytes(b"")
    return root


def batches(data: ImageData, *, workers: int = 0, epochs: int = 2) -> list[Batch]:
    samples = Samples(data.train, TrainTransform(Preprocessing((16, 16))))
    return list(
        make_loader(samples, StepSampler(len(data.train), batch_size=2, epochs=epochs, seed=0), workers=workers)
    )


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.images, b.images) and torch.equal(a.indices, b.indices) and a.failures == b.failures
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_files_and_later_ones_need_no_file(folder: Path, workers: int) -> None:
    plain = open_data(folder)
    data = kept_in_memory(plain, "auto")
    wanted = batches(plain)
    assert {each.name.rpartition("/")[2] for batch in wanted for each in batch.failures} == {"broken.png", "empty.jpg"}
    assert same(batches(data, workers=workers), wanted)
    for path in folder.rglob("*.*"):
        if path.name not in ("broken.png", "empty.jpg"):
            path.write_bytes(b"changed")
    unread = [index for index, (height, _) in enumerate(data.train.sizes) if not height]
    assert [data.train.name_of(index).rpartition("/")[2] for index in unread] == ["broken.png", "empty.jpg"]
    assert same(batches(data, workers=workers), wanted)


def test_pictures_are_kept_whole_and_upright(folder: Path) -> None:
    data = kept_in_memory(open_data(folder), "ram")
    index = data.train.files.index("upright/turned.jpg")
    first, again = data.train.load(index), data.train.load(index)
    assert first.size == again.size == (30, 50)
    assert again.mode == "RGB"
    assert np.array_equal(np.asarray(first), np.asarray(again))


def test_the_memory_that_pictures_take_is_said(folder: Path) -> None:
    data = kept_in_memory(open_data(folder), "auto")
    assert data.notes[-1] == f"The pictures of {data.name} stay in memory once read, 0.1 MB in all."
    assert isinstance(data.train, KeptImages)
    assert isinstance(data.val, KeptImages)
    assert len(data.train.pixels) == 32 * 24 * 24 * 3 + 5 * 30 * 50 * 3  # the broken one has a header


@pytest.mark.parametrize(("cache", "share"), [("auto", 20), ("ram", 2)])
def test_no_more_is_kept_than_a_share_of_the_memory_over_all_processes(
    folder: Path, cache: Cache, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_data(folder)
    needed = 48 * 24 * 24 * 3 + 5 * 30 * 50 * 3
    monkeypatch.setattr(kept, "memory_of_machine", lambda: share * 2 * needed)
    assert isinstance(kept_in_memory(plain, cache, processes=2).train, KeptImages)
    monkeypatch.setattr(kept, "memory_of_machine", lambda: share * 2 * needed - 1)
    if cache == "auto":
        assert kept_in_memory(plain, cache, processes=2) is plain
        return
    with pytest.raises(DataError) as refusal:
        kept_in_memory(plain, cache, processes=2)
    assert str(refusal.value) == (
        f"--cache ram came, and the pictures of {folder} take more than the 0.0 GB that may be taken here, half of the"
        " memory over all processes. Use --cache none, or smaller pictures."
    )


def test_of_a_set_that_is_far_too_large_only_some_files_are_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(path: Path) -> int:
        asked.append(path)
        return 10**6

    monkeypatch.setattr(kept, "declared_pixels", ask)
    monkeypatch.setattr(kept, "memory_of_machine", lambda: 20 * 10**8)
    files = tuple(f"{index}.jpg" for index in range(5000))
    many = FileImages(folder, files, np.zeros(5000, np.int64))
    plain = ImageData("many", ("a", "b"), many, many.subset(range(10)))
    assert kept_in_memory(plain, "auto") is plain
    assert len(asked) == 101


def test_what_is_in_memory_or_is_not_wanted_there_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    plain, arrays = open_data(folder), open_data(write_npz(tmp_path / "stripes.npz"))
    assert kept_in_memory(plain, "none") is plain
    assert kept_in_memory(arrays, "ram") is arrays


def test_memory_that_the_system_does_not_grant_is_done_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(kept, "_shared", refuse)
    plain = open_data(folder)
    assert kept_in_memory(plain, "auto") is plain
    with pytest.raises(DataError, match="--cache ram came, and"):
        kept_in_memory(plain, "ram")


def test_kept_pictures_are_the_same_data_to_a_run_that_goes_on(folder: Path) -> None:
    plain = open_data(folder)
    assert fingerprint(kept_in_memory(plain, "ram")) == fingerprint(plain)


def test_a_part_of_what_is_kept_is_kept_as_well(folder: Path) -> None:
    kept = kept_in_memory(open_data(folder), "ram").train
    chosen = [2, 0]
    part = kept.subset(chosen)
    first = [part.load(index).tobytes() for index in range(2)]
    assert first == [kept.load(index).tobytes() for index in chosen]
    for each in folder.rglob("*.png"):
        each.unlink()
    assert [part.load(index).tobytes() for index in range(2)] == first


def test_to_processes_that_share_no_memory_the_files_travel_alone(folder: Path) -> None:
    data = kept_in_memory(open_data(folder), "ram")
    arrived = pickle.loads(pickle.dumps(data.train))
    assert type(arrived) is FileImages
    assert arrived.files == data.train.files


def test_a_file_that_turns_out_larger_than_its_header_said_is_not_kept(folder: Path) -> None:
    data = kept_in_memory(open_data(folder), "ram")
    path = folder / "train" / data.train.files[0]
    Image.new("RGB", (99, 99)).save(path)
    assert data.train.load(0).size == data.train.load(0).size == (99, 99)
    assert not data.train.sizes[0].any()


def test_a_folder_that_vanishes_is_told_image_by_image(folder: Path) -> None:
    data = kept_in_memory(open_data(folder), "ram")
    shutil.rmtree(folder)
    found = batches(data, epochs=1)
    assert all("there is no such file" in each.reason for batch in found for each in batch.failures)
    assert not any(len(batch.labels) for batch in found)
