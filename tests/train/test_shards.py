"""A training on shards: resumed to the bit in the middle of an epoch, from a folder and from afar."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pictures import write_folder
from tests.train.endings import ending, same
from tests.train.test_engine import QUICK, READING, run
from tests.train.test_resume import RICH, begin, go_on, killed
from visiongraft.data.order import WINDOW
from visiongraft.data.packing import write_shards
from visiongraft.data.sources import open_data
from visiongraft.errors import DataError, RunError
from visiongraft.train.run import plan_run
from visiongraft.train.state import read_state
from visiongraft.train.step import ahead_of, order_of

STREAMED = replace(RICH, sampler="none", epochs=2)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Write shards of two pictures a chunk."""
    folder = tmp_path / "shards"
    write_shards(open_data(write_folder(tmp_path / "stripes")), folder, chunk_bytes=250)
    assert len(open_data(f"litdata:{folder}").train.chunks) > WINDOW
    return folder


def test_a_run_that_was_killed_in_an_epoch_ends_as_one_that_was_not_wherever_the_shards_lie_by_then(
    tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    through = begin(plan_run(tmp_path / "through", name=""), f"litdata:{shards}", STREAMED)
    assert read_state(through.run)[0].progress.step == 4
    folder = plan_run(tmp_path / "killed", name="")
    killed(folder, f"litdata:{shards}", recipe=STREAMED, hardware=READING, after=3)
    shutil.move(shards, tmp_path / "elsewhere")
    far = f"litdata:local:{tmp_path / 'elsewhere'}"
    killed(folder, far, recipe=STREAMED, hardware=READING, after=4)
    assert read_state(folder)[0].progress.step == 3  # the first of the second epoch's two steps
    shutil.rmtree(tmp_path / "cache")
    assert same(ending(go_on(folder, far, recipe=STREAMED, hardware=READING).run), ending(through.run))


def test_an_image_in_a_damaged_chunk_is_left_out_and_listed(tmp_path: Path, shards: Path) -> None:
    path = shards / open_data(f"litdata:{shards}").train.chunks[3].file
    content = bytearray(path.read_bytes())
    content[4:8] = bytes(4)  # where the first image begins
    path.write_bytes(content)
    trained = run(tmp_path, f"litdata:{shards}", replace(QUICK, epochs=1))
    assert [each.name for each in trained.unreadable] == ["train/chunk-0-3.bin[0]"]


def test_a_run_does_not_go_on_with_other_shards(tmp_path: Path, shards: Path) -> None:
    recipe = replace(QUICK, epochs=2)
    folder = plan_run(tmp_path / "run", name="")
    killed(folder, f"litdata:{shards}", recipe=recipe, after=3)
    write_shards(open_data(tmp_path / "stripes"), tmp_path / "larger")
    with pytest.raises(RunError, match="its data has other images or labels to learn from than it had"):
        go_on(folder, f"litdata:{tmp_path / 'larger'}", recipe=recipe)


def test_balanced_classes_are_drawn_from_a_folder_and_refused_from_a_bucket(tmp_path: Path, shards: Path) -> None:
    near, far = open_data(f"litdata:{shards}"), open_data(f"litdata:local:{shards}", data_dir=tmp_path / "kept")
    assert order_of(near, RICH).labels is near.train.labels
    with pytest.raises(DataError) as caught:
        begin(plan_run(tmp_path / "run", name=""), f"litdata:local:{shards}")
    assert str(caught.value) == (
        "--sampler balanced takes images from everywhere, and these come from a bucket, chunk after chunk. Use"
        " --class-weights balanced, or copy the shards to a folder."
    )
    assert not (tmp_path / "run").exists()
    assert order_of(far, QUICK).chunks == far.train.sizes
    assert ahead_of(near) is None
    assert ahead_of(far).images == 4 * 32 // len(far.train.chunks)
