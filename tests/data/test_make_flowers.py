"""The script that made the bundled photographs."""

import importlib.util
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visiongraft.data.flowers import CLASSES
from visiongraft.data.sources import open_data

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_flowers.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_flowers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_centred_square_is_cut_out_and_shrunk(script):
    photo = Image.new("RGB", (200, 100), "red")
    photo.paste("blue", (50, 0, 150, 100))
    small = script.square(photo, 10)
    assert small.size == (10, 10)
    assert np.all(np.asarray(small) == (0, 0, 255))


def test_the_same_files_give_the_same_bytes(script, tmp_path):
    files = {"val/b.webp": b"2", "train/a.webp": b"1"}
    script.write_archive(files, tmp_path / "one.zip")
    script.write_archive(dict(reversed(files.items())), tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["train/a.webp", "val/b.webp"]
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in archive.infolist())


def test_a_photograph_without_its_photographer_is_refused(script):
    table = "# licence\n# file\tphotographer\tsource\nval/b.webp\tB\thttps://b\ntrain/a.webp\tA\thttps://a\n"
    assert script.attribution(table, {"train/a.webp", "val/b.webp"}).splitlines() == [
        "# licence",
        script.CHANGES.strip(),
        "# file\tphotographer\tsource",
        "train/a.webp\tA\thttps://a",
        "val/b.webp\tB\thttps://b",
    ]
    with pytest.raises(ValueError, match="differ in"):
        script.attribution(table, {"train/a.webp"})
    with pytest.raises(ValueError, match="differ in"):
        script.attribution(table, {"train/a.webp", "val/b.webp", "val/c.webp"})


def test_the_bundled_photographs_are_the_source_s(script, shared):
    val = open_data(parts="val").val
    with tarfile.open(shared / "data/flowers128/val.tar") as tar:
        names = sorted(name for name in tar.getnames() if name.endswith(".webp"))
        assert len(names) == len(val)
        for index in range(0, len(names), 40):
            photo = Image.open(io.BytesIO(tar.extractfile(names[index]).read())).convert("RGB")
            expected = np.asarray(script.square(photo, 64)).astype(float)
            assert np.abs(np.asarray(val.load(index)) - expected).mean() < 8, names[index]
            assert CLASSES[val.labels[index]] == names[index].split("/")[1]
