"""Shards: what goes in comes out, to the byte and in any order; and what is said where it cannot."""

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.shards import SMALL, by_name, far, message, names, opened, overwrite, written
from tests.pictures import write_folder, write_npz
from visiongraft.data import packing
from visiongraft.data.fingerprint import changes, fingerprint
from visiongraft.data.images import UnreadableImage
from visiongraft.data.loader import Samples, make_loader
from visiongraft.data.order import WINDOW, Order
from visiongraft.data.packing import write_shards
from visiongraft.data.sampling import ScoringSampler, StepSampler
from visiongraft.data.sets import ImageSet
from visiongraft.data.shards import MANIFEST
from visiongraft.data.sources import open_data
from visiongraft.data.transforms import TrainTransform
from visiongraft.errors import DataError
from visiongraft.preprocessing import Preprocessing


def test_every_file_comes_back_byte_by_byte_with_its_label_and_name(tmp_path):
    photos = write_folder(tmp_path / "photos")
    Image.open(photos / "train" / "upright" / "000.png").save(photos / "train" / "upright" / "naïve 图.webp")
    data = opened(written(tmp_path))
    assert isinstance(data.train, ImageSet)
    assert data.classes == ("lying", "upright")
    assert (len(data.train), len(data.val), data.native) == (33, 16, None)
    for part, images in (("train", data.train), ("val", data.val)):
        assert len(images.chunks) > 2
        for index in range(len(images)):
            item = images.item(index)
            assert item.content == (photos / item.name).read_bytes()
            assert item.name.split("/")[:2] == [part, data.classes[images.labels[index]]]
            assert item.label == images.labels[index]
    assert len({data.train.name_of(index) for index in range(33)}) == 33


def test_a_part_of_a_set_expects_the_chunks_that_its_images_are_in(tmp_path, monkeypatch):
    data = opened(written(tmp_path)).train
    asked = []
    monkeypatch.setattr(type(data.source), "expect", lambda source, chunks: asked.extend(chunks))
    last = len(data) - 1
    data.subset([last, 0]).expect([0])
    assert asked == [data.chunks[data.chunk_of(last)[0]]] != [data.chunks[0]]


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_arrays_come_back_to_the_bit(tmp_path, channels):
    arrays = dict(np.load(write_npz(tmp_path / "set.npz", train=12, val=6)))
    for part in ("train", "val"):
        rgb = arrays[f"{part}_images"]
        arrays[f"{part}_images"] = rgb[..., 0] if channels == 0 else np.concatenate([rgb, rgb], 3)[..., :channels]
    np.savez(tmp_path / "set.npz", **arrays)
    plain = open_data(tmp_path / "set.npz")
    data = opened(written(tmp_path, source=tmp_path / "set.npz"))
    assert data.classes == plain.classes
    assert by_name(data.train) == by_name(plain.train)
    assert by_name(data.val) == by_name(plain.val)
    assert data.val.name_of(3) == "val[3]"


def test_litdata_itself_reads_what_we_wrote(tmp_path):
    from litdata import StreamingDataset

    folder = written(tmp_path)
    for part, images in (("train", opened(folder).train), ("val", opened(folder).val)):
        theirs = StreamingDataset(str(folder / part))
        assert len(theirs) == len(images)
        for index in range(len(images)):
            content, label, name = theirs[index]
            assert (bytes(content), label, name) == images.item(index)


def test_each_chunk_to_learn_from_is_a_sample_of_all_classes_and_writing_again_gives_the_same(tmp_path):
    folder = written(tmp_path, source=write_folder(tmp_path / "photos", train=200))
    data = opened(folder).train
    shares = [data.labels[a:b].mean() for a, b in zip(data.starts[:-1], data.starts[1:], strict=True)]
    assert len(shares) > 10
    assert np.mean([0 < share < 1 for share in shares]) > 0.8  # in the folder, one class follows the other
    again = write_shards(open_data(tmp_path / "photos"), tmp_path / "again", chunk_bytes=SMALL)
    assert again.chunks == {"train": data.chunks, "val": opened(folder).val.chunks}


def test_shards_may_be_written_again_in_another_size(tmp_path):
    first = opened(written(tmp_path))
    second = opened(write_shards(first, tmp_path / "large").folder)
    assert len(second.train.chunks) == 1 < len(first.train.chunks)
    assert by_name(second.train) == by_name(first.train)


def test_only_what_is_to_be_scored_may_be_asked_for(tmp_path):
    folder = written(tmp_path)
    shutil.rmtree(folder / "train")
    data = opened(folder, parts="val")
    assert (len(data.train), len(data.val)) == (0, 16)


def test_a_part_of_the_images_keeps_their_labels_and_other_labels_may_be_given(tmp_path):
    whole = opened(written(tmp_path)).train
    part = whole.subset([30, 2, 17]).subset([2, 0])
    assert [part.name_of(index) for index in (0, 1)] == [whole.name_of(17), whole.name_of(30)]
    assert part.labels.tolist() == whole.labels[[17, 30]].tolist()
    assert replace(part, labels=1 - part.labels).item(1) == whole.item(30)


def test_the_content_of_shards_is_what_tells_them_from_others(tmp_path):
    folder = written(tmp_path)
    before = fingerprint(opened(folder))
    assert changes(before, fingerprint(opened(shutil.move(folder, tmp_path / "moved")))) == []
    assert changes(before, fingerprint(far(tmp_path / "moved", tmp_path))) == []
    path = tmp_path / "photos" / "val" / "lying" / "001.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    other = fingerprint(opened(write_shards(open_data(tmp_path / "photos"), tmp_path / "other").folder))
    assert "to be scored on" in changes(before, other)[-1]


# --- orders ---


def arranged(order: Order, seed: int = 0, batch_size: int = 8):
    return order.arranged(torch.Generator().manual_seed(seed), batch_size=batch_size)


def test_an_epoch_shows_each_image_once_and_stays_within_a_window_of_chunks():
    chunks = tuple([10, 7, 1, 12] * 25)
    size = sum(chunks)
    owner = np.repeat(np.arange(len(chunks)), chunks)
    order = Order(size, chunks=chunks)
    found = arranged(order)
    assert sorted(found.indices) == list(range(size))
    assert found == arranged(order)
    assert found != arranged(order, seed=1)
    visited = owner[found.indices]
    first = [int(np.flatnonzero(visited == chunk)[0]) for chunk in range(len(chunks))]
    last = [int(np.flatnonzero(visited == chunk)[-1]) for chunk in range(len(chunks))]
    together = [sum(a <= place <= b for a, b in zip(first, last, strict=True)) for place in range(0, size, 5)]
    assert max(together) <= 2 * WINDOW
    assert np.median(together) > WINDOW // 2
    assert np.argsort(first).tolist() != list(range(len(chunks)))  # chunks in random order
    assert (np.diff(visited) != 0).mean() > 0.8  # neighbours are of different chunks


def test_few_chunks_are_shuffled_as_a_whole():
    assert arranged(Order(60, chunks=(4,) * 15)) == arranged(Order(60))


def test_images_that_come_several_times_stay_within_the_window_too():
    chunks = (8,) * 40
    found = arranged(Order(320, repeats=2, chunks=chunks), batch_size=16)
    for start in range(0, 320, 16):
        assert set(Counter(found.indices[start : start + 16]).values()) == {2}
    assert len({index // 8 for index in found.indices[:64]}) < 20


def test_balanced_classes_come_from_everywhere():
    labels = np.arange(320) % 5
    assert arranged(Order(320, labels=labels, chunks=(8,) * 40)) == arranged(Order(320, labels=labels))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_starts_again_in_an_epoch_sees_what_it_would_have_seen(tmp_path, workers):
    data = opened(written(tmp_path, source=write_folder(tmp_path / "photos", train=120), chunk_bytes=300)).train
    assert len(data.chunks) > WINDOW
    samples = Samples(data, TrainTransform(Preprocessing((8, 8))), seed=3)

    def batches(first_step: int, workers: int):
        sampler = StepSampler(
            120, batch_size=20, epochs=2, seed=3, first_step=first_step, order=Order(120, chunks=data.sizes)
        )
        return [
            (each.images.clone(), each.indices.tolist()) for each in make_loader(samples, sampler, workers=workers)
        ]

    whole = batches(0, 0)
    rest = batches(8, workers)
    assert len(whole) == 12
    assert [each[1] for each in rest] == [each[1] for each in whole[8:]]
    assert all(torch.equal(a[0], b[0]) for a, b in zip(rest, whole[8:], strict=True))


# --- what is wrong with images, and with chunks ---


def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path):
    photos = write_folder(tmp_path / "photos")
    (photos / "train" / "lying" / "003.png").write_bytes(b"no picture")
    packed = write_shards(open_data(photos), tmp_path / "shards", chunk_bytes=SMALL, workers=3)
    assert [Path(each.name).name for each in packed.failures] == ["003.png"]
    assert "no image of a known format" in packed.failures[0].reason
    assert len(opened(packed.folder).train) == 31


def test_too_many_of_them_leave_nothing_behind(tmp_path):
    photos = write_folder(tmp_path / "photos")
    for name in ("001.png", "003.png"):
        (photos / "train" / "lying" / name).write_bytes(b"")
    text = message(DataError, written, tmp_path, source=photos)
    assert text.startswith("Of 48 images 2 could not be read so far, more than --max-unreadable allows, the last ")
    assert text.endswith("`graft doctor` finds all of them: remove or mend them, or raise --max-unreadable.")
    assert names(tmp_path) == ["photos"]
    (photos / "train" / "lying" / "003.png").unlink()
    assert "1 could not be read" in message(DataError, written, tmp_path, source=photos, max_unreadable=0.0)
    assert names(tmp_path) == ["photos"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interruption_or_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(packing, "write_whole", fails)
    with pytest.raises(error if isinstance(error, type) else DataError) as caught:
        written(tmp_path)
    assert isinstance(error, type) or str(caught.value) == (
        f"{str(tmp_path / 'shards')!r} cannot be written (No space left on device), and nothing of it is left. Make"
        " room, or give another folder."
    )
    assert names(tmp_path) == ["photos"]


def test_what_is_there_is_never_replaced(tmp_path, monkeypatch):
    folder = written(tmp_path)
    text = message(DataError, write_shards, open_data(tmp_path / "photos"), folder)
    assert text == f"{str(folder)!r} is there already. Give a folder that is not, or remove it."

    def comes_meanwhile(path, content):
        path.write_bytes(content)
        (tmp_path / "late").mkdir()
        (tmp_path / "late" / "mine").touch()

    monkeypatch.setattr(packing, "write_whole", comes_meanwhile)
    text = message(DataError, write_shards, open_data(tmp_path / "photos"), tmp_path / "late")
    assert text.endswith("is there by now, and was not replaced.")
    assert names(tmp_path) == ["late", "photos", "shards"]


def test_damage_inside_a_chunk_is_a_few_unreadable_images_and_the_others_are_read(tmp_path):
    folder = written(tmp_path)
    data = opened(folder).train
    size = data.chunks[0].images
    assert size > 2
    overwrite(folder / data.chunks[0].file, 4, b"\xff\xff\xff\x7f")  # where the first image begins
    assert str(message(UnreadableImage, data.load, 0)) == (
        "Cannot read 'train/chunk-0-0.bin[0]' as an image: its chunk is damaged."
    )
    assert data.name_of(0) == "train/chunk-0-0.bin[0]"
    second = data.item(1)
    chunk = (folder / data.chunks[0].file).read_bytes()
    overwrite(folder / data.chunks[0].file, chunk.index(second.content) + 20, bytes(40))
    assert second.name in message(UnreadableImage, data.load, 1)
    sampler = ScoringSampler(len(data), batch_size=len(data))
    (batch,) = make_loader(Samples(data, TrainTransform(Preprocessing((8, 8)))), sampler)
    assert [each.index for each in batch.failures] == [0, 1]
    assert batch.indices.tolist() == list(range(2, len(data)))


def test_any_damage_to_a_chunk_is_an_unreadable_image_at_worst(tmp_path):
    folder = written(tmp_path)
    data = opened(folder).val
    path = folder / data.chunks[0].file
    whole = path.read_bytes()
    for place in range(0, 120):
        overwrite(path, place, bytes([whole[place] ^ 0xFF]))
        for index in range(data.chunks[0].images):
            try:
                data.load(index)
            except UnreadableImage:
                data.name_of(index)
        overwrite(path, place, whole[place : place + 1])
    assert path.read_bytes() == whole


def test_a_chunk_that_is_missing_or_cut_short_is_said_before_the_first_step(tmp_path):
    folder = written(tmp_path)
    path = folder / opened(folder).train.chunks[1].file
    os.truncate(path, path.stat().st_size - 1)
    text = message(DataError, opened, folder)
    assert text.startswith(f"{str(path)!r} has ")
    assert text.endswith("by shards.index.json: it is cut short, or of other shards. Copy the shards again.")
    path.unlink()
    text = message(DataError, opened, folder)
    assert text.startswith(f"{str(path)!r} cannot be read: No such file or directory. shards.index.json lists it: ")


def test_a_chunk_that_goes_later_makes_its_images_unreadable(tmp_path):
    folder = written(tmp_path)
    data = opened(folder).train
    (folder / data.chunks[0].file).unlink()
    assert "its chunk cannot be read (No such file or directory)" in message(UnreadableImage, data.load, 0)


def edited(folder: Path, change) -> Path:
    path = folder / MANIFEST
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda it: it.update(version=2),
            "is of version 2, and this visiongraft reads up to 1. Use a newer",
        ),
        (lambda it: it.update(format="other"), "shards.index.json is damaged (it says that it is 'other', version 1)"),
        (lambda it: it.pop("classes"), "shards.index.json is damaged (KeyError: 'classes')"),
        (lambda it: it["val"].update(images=3), "val has 16 labels, 16 images in its chunks, and 3 by count"),
        (lambda it: it["train"]["labels"].pop(), "train has 31 labels, 32 images in its chunks, and 32 by count"),
        (lambda it: it["val"]["labels"].__setitem__(0, 2), "the labels of val are not all places among 2 classes"),
        (lambda it: it["val"]["labels"].__setitem__(0, "x"), "shards.index.json is damaged (ValueError"),
        (lambda it: it["val"]["chunks"][0].update(file="val/../../etc/passwd"), "a chunk 'val/../../etc/passwd' of"),
        (lambda it: it["val"]["chunks"][0].update(file="/etc/passwd"), "a chunk '/etc/passwd' of"),
        (lambda it: it["val"]["chunks"][0].update(more=1), "shards.index.json is damaged (TypeError"),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused_in_one_line(tmp_path, change, said):
    assert said in message(DataError, opened, edited(written(tmp_path), change))


def test_what_holds_no_shards_of_ours_is_refused_in_one_line(tmp_path):
    folder = written(tmp_path)
    whole = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(whole[:-50])
    assert "damaged (it is cut short, or no manifest at all)" in message(DataError, opened, folder)
    (folder / MANIFEST).unlink()
    assert "was written by litdata without shards.index.json" in message(DataError, opened, folder)
    index = folder / "train" / "index.json"
    index.write_text(index.read_text().replace('"bytes", "int"', '"pickle", "int"'))
    text = message(DataError, opened, folder)
    assert "holds pickled objects, which are never unpickled. Write shards with `graft shards" in text
    assert "holds no shards: there is no shards.index.json." in message(DataError, opened, tmp_path / "photos")
    assert "holds no shards" in message(DataError, opened, tmp_path / "nowhere")
    assert "is read where it lies" in message(DataError, open_data, f"litdata:{folder}", data_dir=tmp_path)


def test_unknown_kinds_of_addresses_are_refused_with_the_known_ones(tmp_path):
    text = message(DataError, open_data, "litdata:s4://bucket/x")
    assert text == (
        "--data litdata: knows no s4://. Did you mean 's3' or 'gs'? Expected a folder, or an address that begins "
        "with s3:// gs:// hf:// local:."
    )
