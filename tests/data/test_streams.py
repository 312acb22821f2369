"""Shards from afar: fetched once, kept whole, removed where the disk is full, and what is said where they cannot be.

litdata fetches from a folder, by the way that it has for one that is far away, and from what speaks S3 here.
"""

import os
import pickle
import shutil
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from tests.data.bucket import serving
from tests.data.shards import SMALL, by_name, far, message, names, opened, overwrite, written
from tests.pictures import write_folder
from visiongraft.data import streams
from visiongraft.data.loader import Samples, make_loader
from visiongraft.data.packing import open_shards, write_shards
from visiongraft.data.sampling import Ahead, ScoringSampler, StepSampler
from visiongraft.data.shards import MANIFEST
from visiongraft.data.sources import open_data
from visiongraft.data.streams import LostChunk
from visiongraft.data.transforms import TrainTransform
from visiongraft.errors import DataError, MissingExtra
from visiongraft.preprocessing import Preprocessing


def wait_for_threads() -> None:
    until = time.monotonic() + 10
    while any(each.name.endswith("(_fetch_quietly)") for each in threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.01)


def test_a_bucket_gives_what_the_folder_gives_and_is_asked_once_for_each_chunk(tmp_path, monkeypatch):
    folder = written(tmp_path)
    data = far(folder, tmp_path)
    assert by_name(data.train) == by_name(opened(folder).train)
    kept = sorted(path.name for path in (tmp_path / "kept" / "train").glob("*.bin"))
    assert kept == sorted(Path(each.file).name for each in data.train.chunks)
    assert not list((tmp_path / "kept").glob(".fetching*"))
    shutil.rmtree(folder / "train")
    assert len(by_name(data.train)) == 32  # nothing is asked for again


def test_processes_that_read_fetch_each_chunk_once(tmp_path, monkeypatch):
    folder = written(tmp_path, source=write_folder(tmp_path / "photos", train=64))
    log = tmp_path / "log"
    from litdata.streaming.downloader import LocalDownloader

    plain = LocalDownloader.download_file

    def noted(self, remote, local):
        with log.open("a") as file:
            file.write(f"{Path(remote).parent.name}/{Path(remote).name}\n")
        time.sleep(0.02)
        plain(self, remote, local)

    monkeypatch.setattr(LocalDownloader, "download_file", noted)
    data = far(folder, tmp_path).train
    samples = Samples(data, TrainTransform(Preprocessing((8, 8))))
    sampler = StepSampler(64, batch_size=8, epochs=1, seed=0, ahead=Ahead(16, data.expect))
    shown = [index for batch in make_loader(samples, sampler, workers=2) for index in batch.indices.tolist()]
    assert sorted(shown) == list(range(64))
    wait_for_threads()
    asked = Counter(log.read_text().splitlines())
    assert set(asked) == {each.file for each in data.chunks} | {"shards/shards.index.json"}
    assert set(asked.values()) == {1}


def test_a_bucket_that_speaks_s3_gives_what_the_folder_gives_to_several_processes(tmp_path, monkeypatch):
    folder = written(tmp_path)
    with serving(folder) as (variables, asked):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        data = open_data("litdata:s3://bucket", data_dir=tmp_path / "kept")
        data.train.expect(range(5))
        wait_for_threads()
        samples = Samples(data.train, TrainTransform(Preprocessing((8, 8))))
        (batch,) = make_loader(samples, ScoringSampler(32, batch_size=32), workers=1)
        assert batch.indices.tolist() == list(range(32))
        assert by_name(data.train) == by_name(opened(folder).train)
        fetched = [each.removeprefix("GET ") for each in asked if each.startswith("GET")]
        assert sorted(fetched) == sorted([MANIFEST, *(each.file for each in data.train.chunks)])
        (folder / data.val.chunks[0].file).unlink()
        monkeypatch.setattr(streams, "_PAUSES", ())
        assert "/val/chunk-0-0.bin cannot be fetched (" in message(LostChunk, data.val.load, 0)
        text = message(LostChunk, open_data, "litdata:s3://bucket/nothing", data_dir=tmp_path / "kept")
        assert text.startswith("s3://bucket/nothing/shards.index.json cannot be fetched (")


def test_what_is_expected_is_there_before_it_is_asked_for(tmp_path):
    data = far(written(tmp_path), tmp_path).train
    last = len(data) - 1
    data.expect([last, last, 0])
    wait_for_threads()
    held = {f"train/{path.name}" for path in (tmp_path / "kept" / "train").glob("*.bin")}
    assert held == {data.chunks[0].file, data.chunks[-1].file}


def test_where_the_disk_is_full_the_chunks_that_were_used_longest_ago_go(tmp_path, monkeypatch):
    folder = written(tmp_path)
    data = far(folder, tmp_path).train
    kept = tmp_path / "kept" / "train"
    room = 3 * SMALL

    def usage(path):
        held = sum(each.stat().st_size for each in kept.glob("*.bin"))
        return shutil._ntuple_diskusage(10**9, held, streams.KEEP_FREE + room - held)

    monkeypatch.setattr(streams.shutil, "disk_usage", usage)
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    plain = opened(folder).train
    for index in order:
        assert data.item(index) == plain.item(index)
        assert sum(each.stat().st_size for each in kept.glob("*.bin")) <= room
    newest = data.chunks[data.chunk_of(order[-1])[0]]
    assert (tmp_path / "kept" / newest.file).exists()


def test_a_file_that_cannot_be_fetched_ends_the_run_in_one_line_even_out_of_a_worker(tmp_path, monkeypatch):
    folder = written(tmp_path)
    monkeypatch.setattr(streams, "_PAUSES", (0.0,))
    data = far(folder, tmp_path).train
    shutil.rmtree(folder / "train")
    said = message(LostChunk, data.load, 0)
    assert said.startswith(f"local:{folder}/train/chunk-0-0.bin cannot be fetched (The provided remote_path doesn't")
    assert said.endswith("Check the address, the network and your access to it, and start again.")
    samples = Samples(data, TrainTransform(Preprocessing((8, 8))))
    loader = make_loader(samples, ScoringSampler(8, batch_size=1), workers=2)
    assert "cannot be fetched" in message(LostChunk, list, loader)
    assert isinstance(LostChunk("x"), DataError)


def test_a_file_that_is_not_what_the_manifest_says_is_not_kept(tmp_path):
    folder = written(tmp_path)
    data = far(folder, tmp_path).train
    path = folder / data.chunks[0].file
    overwrite(path, path.stat().st_size - 1, b"\xff")
    text = message(LostChunk, data.load, 0)
    assert text == (
        f"local:{folder}/train/chunk-0-0.bin is not what shards.index.json says: it is cut short, or of other shards. "
        "Copy the shards to the bucket again."
    )
    assert not list((tmp_path / "kept").rglob("*.bin"))


def test_a_bucket_without_shards_says_so_at_once(tmp_path):
    text = message(LostChunk, far, tmp_path / "nothing", tmp_path)
    assert text.startswith(f"local:{tmp_path}/nothing/shards.index.json cannot be fetched (")


def test_a_folder_that_cannot_keep_what_is_fetched_is_named(tmp_path):
    folder = written(tmp_path)
    (tmp_path / "kept").write_text("a file")
    text = message(LostChunk, far, folder, tmp_path)
    assert text.startswith(f"Fetched chunks cannot be kept in {str(tmp_path / 'kept')!r}: ")
    assert text.endswith("Make room there, or give another folder as --data-dir.")


def test_without_a_folder_chunks_are_kept_in_the_users_cache(tmp_path, monkeypatch):
    folder = written(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = open_shards(f"litdata:local:{folder}")
    data.val.load(0)
    (chunk,) = (tmp_path / "cache").rglob("*.bin")
    assert chunk.relative_to(tmp_path / "cache").parts[:2] == ("visiongraft", "shards")


def test_what_a_kill_left_of_a_download_goes_a_day_later(tmp_path):
    folder = written(tmp_path)
    for name, age in ((".fetching-old", 90_000), (".fetching-new", 100)):
        (tmp_path / "kept" / name).mkdir(parents=True)
        os.utime(tmp_path / "kept" / name, (time.time() - age,) * 2)
    far(folder, tmp_path)
    assert names(tmp_path / "kept") == [".fetching-new"]


def test_sets_travel_to_other_processes(tmp_path):
    data = far(written(tmp_path), tmp_path)
    assert pickle.loads(pickle.dumps(data.train)).item(5) == data.train.item(5)


def test_where_litdata_is_missing_a_folder_is_read_all_the_same_and_the_rest_names_the_extra(tmp_path, monkeypatch):
    folder = written(tmp_path)
    for name in ("litdata", "litdata.streaming.writer", "litdata.streaming.downloader"):
        monkeypatch.setitem(sys.modules, name, None)
    assert len(by_name(opened(folder).val)) == 16
    install = "Install litdata with: pip install 'visiongraft[stream]'"
    text = message(MissingExtra, far, folder, tmp_path)
    assert text == f"--data litdata:local:{folder} needs litdata. {install}" or install in text
    assert message(MissingExtra, write_shards, opened(folder), tmp_path / "x").endswith(install)
    assert not (tmp_path / "x").exists()


def test_a_library_that_litdata_leaves_to_its_users_is_named(tmp_path):
    text = message(MissingExtra, open_data, "litdata:gs://bucket/shards", data_dir=tmp_path / "kept")
    assert text == (
        "--data litdata:gs://bucket/shards needs google-cloud-storage. "
        "Install it with: pip install google-cloud-storage"
    )
