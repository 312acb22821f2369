"""Files of others are read without running what is in them, or refused in one line that says what to do."""

import argparse
import os
import pickle
import sys
import time
import zipfile
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from visiongraft.errors import WeightsError
from visiongraft.weights import foreign
from visiongraft.weights.foreign import Foreign, read_state_dict

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}
AVERAGED = {name: each + 1 for name, each in WEIGHTS.items()}


def written(folder: Path, content: object, **options: bool) -> Path:
    torch.save(content, folder / "m.pth.tar", **options)
    return folder / "m.pth.tar"


def same(found: Foreign, wanted: dict[str, Tensor]) -> bool:
    return found.tensors.keys() == wanted.keys() and all(
        torch.equal(found.tensors[name], wanted[name]) for name in wanted
    )


def test_tensors_are_found_in_either_kind_of_file_whatever_it_is_called(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "m.bin")
    assert same(read_state_dict(tmp_path / "m.bin"), WEIGHTS)
    assert same(read_state_dict(written(tmp_path, OrderedDict(WEIGHTS))), WEIGHTS)
    assert same(read_state_dict(written(tmp_path, WEIGHTS, _use_new_zipfile_serialization=False)), WEIGHTS)
    assert same(
        read_state_dict(written(tmp_path, {name: nn.Parameter(each) for name, each in WEIGHTS.items()})), WEIGHTS
    )


@pytest.mark.parametrize("name", ["state_dict", "model", "net", "of_my_own"])
def test_weights_are_found_beside_what_else_a_training_writes(tmp_path: Path, name: str) -> None:
    layer = nn.Linear(2, 2)
    momentum = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    layer(torch.ones(1, 2)).sum().backward()
    momentum.step()
    found = read_state_dict(
        written(tmp_path, {"epoch": 3, "optimizer": momentum.state_dict(), name: WEIGHTS, "best": torch.tensor(0.5)})
    )
    assert same(found, WEIGHTS)
    assert (found.taken, found.averaged, found.others) == (name, False, ())


@pytest.mark.parametrize(
    ("last", "averaged"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("net", "net_ema"),
        ("params", "params_ema"),
        ("model_state_dict", "ema_model_state_dict"),
    ],
)
def test_averaged_weights_are_taken_where_there_are_any_and_the_last_ones_on_request(
    tmp_path: Path, last: str, averaged: str
) -> None:
    path = written(tmp_path, {last: WEIGHTS, averaged: AVERAGED})
    found = read_state_dict(path)
    assert same(found, AVERAGED)
    assert (found.taken, found.averaged, found.others) == (averaged, True, (last,))
    assert same(read_state_dict(path, which="averaged"), AVERAGED)
    found = read_state_dict(path, which="last")
    assert same(found, WEIGHTS)
    assert (found.taken, found.averaged, found.others) == (last, False, (averaged,))


@pytest.mark.parametrize("key", ["state_dict", "module", "shadow"])
def test_averaged_weights_that_lie_in_a_dict_of_their_own_are_averaged_ones(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, {"model": WEIGHTS, "ema": {key: AVERAGED, "decay": 0.999}})
    found = read_state_dict(path)
    assert same(found, AVERAGED)
    assert (found.taken, found.averaged, found.others) == (f"ema.{key}", True, ("model",))
    assert same(read_state_dict(path, which="last"), WEIGHTS)


def test_averaged_weights_beside_those_of_the_file_itself_are_taken(tmp_path: Path) -> None:
    path = written(tmp_path, {**WEIGHTS, "ema": AVERAGED})
    found = read_state_dict(path)
    assert same(found, AVERAGED)
    assert (found.taken, found.averaged, found.others) == ("ema", True, ("of the file itself",))
    assert same(read_state_dict(path, which="last"), WEIGHTS)


@pytest.mark.parametrize(
    ("content", "taken", "others"),
    [
        ({"state_dict": WEIGHTS, "ema": {"decay": torch.tensor(0.9)}}, "state_dict", ("ema",)),
        ({**WEIGHTS, "extra": {"t": torch.ones(1)}}, "", ("extra",)),
        ({"of_my_own": WEIGHTS, "opt": {"momenta": AVERAGED}}, "of_my_own", ()),
        ({"net": WEIGHTS, "state_dict": AVERAGED, "model": AVERAGED}, "state_dict", ("net", "model")),
    ],
)
def test_a_few_tensors_beside_the_weights_are_not_taken_for_them(
    tmp_path: Path, content: dict, taken: str, others: tuple[str, ...]
) -> None:
    found = read_state_dict(written(tmp_path, content))
    assert (found.taken, found.averaged, found.others) == (taken, False, others)
    assert same(found, AVERAGED if taken == "state_dict" and "net" in content else WEIGHTS)


def test_settings_and_scores_beside_the_weights_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yacs = ModuleType("yacs.config")
    yacs.CfgNode = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    monkeypatch.setitem(sys.modules, "yacs", ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", yacs)
    settings = yacs.CfgNode(lr=0.1)
    settings.frozen = True  # as the class itself keeps it beside its entries
    notes = {"args": settings, "parsed": argparse.Namespace(lr=0.1), "metric": np.float64(0.5), "map": np.float32(1)}
    path = written(tmp_path, {**notes, "state_dict": WEIGHTS})
    monkeypatch.undo()
    before = set(torch.serialization.get_safe_globals())
    assert same(read_state_dict(path), WEIGHTS)
    assert set(torch.serialization.get_safe_globals()) == before


def test_threads_that_read_at_once_take_no_permission_from_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, {"args": argparse.Namespace(lr=0.1), "state_dict": WEIGHTS})
    load, delays = torch.load, iter([0.1, 0.3])

    def slowly(*arguments: object, **options: object) -> object:
        time.sleep(next(delays))
        return load(*arguments, **options)

    monkeypatch.setattr(torch, "load", slowly)
    with ThreadPoolExecutor() as threads:
        assert all(same(each, WEIGHTS) for each in threads.map(read_state_dict, [path, path]))


class Bomb:
    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self):
        return os.mkdir, (str(self.fuse),)


@pytest.mark.parametrize("how", ["zip", "legacy", "beside weights"])
def test_a_file_that_would_run_code_is_refused_and_did_not_run_it(tmp_path: Path, how: str) -> None:
    bomb = Bomb(tmp_path / "ran")
    content = {"state_dict": WEIGHTS, "x": bomb} if how == "beside weights" else bomb
    path = written(tmp_path, content, _use_new_zipfile_serialization=how != "legacy")
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    assert str(caught.value) == (
        f"{path} asks to run code when it is read (posix.mkdir), and was refused. If you trust its source, read it"
        " with torch.load(FILE, weights_only=False), save its tensors alone (of a whole model its state_dict()), with"
        " torch.save(STATE_DICT, NEW), and give that."
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_a_pickle_that_torch_did_not_write_is_called_one_and_did_not_run(tmp_path: Path, protocol: int) -> None:
    (path := tmp_path / "m.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=protocol))
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    assert str(caught.value) == (
        f"{path} is a plain pickle that asks to run code (posix.mkdir), and was refused. If you trust its source, read"
        " it with Python's pickle, save its tensors alone (of a whole model its state_dict()), with"
        " torch.save(STATE_DICT, NEW), and give that."
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("reader", ["torch.load(FILE, weights_only=False)", "Python's pickle"])
def test_numpy_arrays_are_told_how_to_become_tensors(tmp_path: Path, reader: str) -> None:
    arrays = OrderedDict(a=np.ones(2))
    path = written(tmp_path, {"state_dict": arrays})
    if reader == "Python's pickle":
        path.write_bytes(pickle.dumps(arrays, protocol=4))
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    assert str(caught.value) == (
        f"{path} holds NumPy arrays, which only code can read (numpy._core.multiarray._reconstruct), and was refused."
        f" If you trust its source, read it with {reader}, save its tensors alone (of a whole model its state_dict()),"
        " with torch.save({name: torch.as_tensor(each) for name, each in STATE_DICT.items()}, NEW), and give that."
    )


def test_a_whole_pickled_model_is_refused_with_the_way_to_its_tensors(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"asks to run code .*torch\.nn\.modules\.linear\.Linear.*whole model its state_dict\(\)"
    ):
        read_state_dict(written(tmp_path, nn.Linear(2, 2)))


def truncated_zip(folder: Path) -> Path:
    path = written(folder, WEIGHTS)
    path.write_bytes(path.read_bytes()[:-300])
    return path


def truncated_legacy(folder: Path) -> Path:
    path = written(folder, WEIGHTS, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-10])
    return path


def truncated_safetensors(folder: Path) -> Path:
    save_file(WEIGHTS, folder / "m.safetensors")
    (folder / "m.safetensors").write_bytes((folder / "m.safetensors").read_bytes()[:-5])
    return folder / "m.safetensors"


def other_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "m.zip", "w") as file:
        file.writestr("readme.txt", "x" * 100)
    return folder / "m.zip"


def of_bytes(content: bytes):
    def write(folder: Path) -> Path:
        (folder / "m.pth").write_bytes(content)
        return folder / "m.pth"

    return write


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda folder: folder / "none.pth", "cannot be read: No such file or directory. Give the path"),
        (lambda folder: folder, "cannot be read: Is a directory. Give the path of a weight file."),
        (of_bytes(b""), "is empty. Take it from its source again."),
        (of_bytes(b"x" * 100), "holds no weights in a form that is known here, or is damaged. Give a .safe"),
        (of_bytes(b"\n<!DOCTYPE html><html>"), "is a web page, as links give that ask for a confirmation"),
        (of_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "is a pointer of Git LFS and not the file itself"),
        (of_bytes(b"\x80\x02}q\x00."), "is no whole checkpoint of PyTorch. Take it from its source again."),
        (truncated_zip, "is no whole checkpoint of PyTorch. Take it from its source again."),
        (truncated_legacy, "is no whole checkpoint of PyTorch. Take it from its source again."),
        (other_zip, "is a zip archive without tensors of PyTorch. Give a .safetensors file, or what torch.save"),
        (truncated_safetensors, "is no whole safetensors file: "),
        (lambda folder: written(folder, {"epoch": 3}), "holds no weights: there is no dict of tensors by name in"),
        (lambda folder: written(folder, [torch.ones(2)]), "holds no weights: there is no dict of tensors by name in"),
        (lambda folder: written(folder, {"x": WEIGHTS, "y": WEIGHTS}), "several dicts of tensors: x, y. Save the"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, make, text: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_state_dict(make(tmp_path))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([WEIGHTS], " where they are looked for. Save torch.load(FILE)[0] alone, with torch.save, and give that."),
        ((3, WEIGHTS), " where they are looked for. Save torch.load(FILE)[1] alone, with torch.save, and give that."),
        (
            {"a": {"b": {"state_dict": WEIGHTS}}, "optimizer": {"state": {0: {"moment": torch.ones(2)}}}},
            " where they are looked for. Save torch.load(FILE)['a']['b']['state_dict'] alone, with torch.save, and"
            " give that.",
        ),
        ({**WEIGHTS, 3: torch.ones(2)}, " by names alone: one is 3. Save them without it, and give that."),
        (
            {"net": {**WEIGHTS, b"x": torch.ones(2)}},
            " in ['net'] by names alone: one is b'x'. Save them without it, and give that.",
        ),
    ],
)
def test_weights_that_lie_elsewhere_or_have_an_odd_name_are_found_for_the_user(
    tmp_path: Path, content: object, text: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    assert str(caught.value) == f"{path} holds no weights{text}"


def test_a_flipped_bit_is_told_by_the_checksum(tmp_path: Path) -> None:
    path = written(tmp_path, WEIGHTS)
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(6.0).numpy().tobytes()) + 5] ^= 4
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    said = f"{path} is damaged: the checksum of m.pth/data/0 in it is another one. Take it from its source again."
    assert str(caught.value) == said


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(compute_crc32=False)
    try:
        path = written(tmp_path, WEIGHTS)
    finally:
        torch.serialization.set_crc32_options(compute_crc32=True)
    with zipfile.ZipFile(path) as archive:
        assert not any(each.CRC for each in archive.infolist())
    assert same(read_state_dict(path), WEIGHTS)


def test_a_torchscript_archive_is_refused_as_code(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "m.pt")
    with pytest.raises(WeightsError, match="is a TorchScript archive, which is code. Save the state_dict"):
        read_state_dict(tmp_path / "m.pt")


def test_a_choice_that_the_file_does_not_offer_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"state_dict": WEIGHTS})
    with pytest.raises(
        WeightsError, match="holds no averaged weights, only state_dict. Ask for the others, or 'auto'"
    ):
        read_state_dict(path, which="averaged")
    with pytest.raises(WeightsError, match="holds no last weights, only state_dict_ema"):
        read_state_dict(written(tmp_path, {"state_dict_ema": WEIGHTS}), which="last")
    with pytest.raises(
        WeightsError, match="holds one set of weights and does not say that they are averaged. Take 'la"
    ):
        read_state_dict(written(tmp_path, WEIGHTS), which="averaged")
    assert same(read_state_dict(path, which="last"), WEIGHTS)


class Quirk:
    """Pickles as an OrderedDict of which BUILD sets an attribute."""

    def __init__(self, content: object, **attributes: object) -> None:
        self.content, self.attributes = content, attributes

    def __reduce__(self):
        return OrderedDict, (), self.attributes, None, iter(self.content.items())


@pytest.mark.parametrize("name", ["items", "values", "keys", "__iter__", "__len__", "_metadata"])
def test_what_a_file_sets_as_an_attribute_of_a_dict_is_not_called(tmp_path: Path, name: str) -> None:
    inner = Quirk(WEIGHTS, **{name: 3})
    assert same(read_state_dict(written(tmp_path, inner)), WEIGHTS)
    assert same(read_state_dict(written(tmp_path, Quirk({"state_dict": inner}, **{name: OrderedDict}))), WEIGHTS)


class Settings:
    """Pickles as an argparse.Namespace of which BUILD sets `__setstate__`."""

    def __reduce__(self):
        return argparse.Namespace, (), {"__setstate__": OrderedDict}


def test_no_attribute_is_set_on_settings(tmp_path: Path) -> None:
    path = written(tmp_path, {"args": Settings(), "state_dict": WEIGHTS})
    assert same(read_state_dict(path), WEIGHTS)
    with torch.serialization.safe_globals(list(foreign._NOTES)):
        kept = torch.load(path, weights_only=True)["args"]
    assert vars(kept) == {}


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (lambda: torch.ones(2, device="meta"), "a tensor of the meta device, which has a shape and no numbers"),
        (lambda: torch.eye(2).to_sparse(), "a tensor of the layout sparse_coo"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "a quantized tensor (torch.qint8)"),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_tensor_without_its_numbers_in_one_block_is_refused_in_one_line(tmp_path: Path, tensor, text: str) -> None:
    path = written(tmp_path, {"state_dict": {**WEIGHTS, "a.scale": tensor()}})
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    assert str(caught.value) == (
        f"{path} has 'a.scale' as {text}, and tensors that are dense and hold their numbers were expected. Save the"
        " state_dict() of a network that is whole in memory, each tensor made dense with .to_dense()."
    )


def test_such_a_tensor_beside_the_weights_does_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path, {"optimizer": {"moment": torch.ones(2, device="meta")}, "state_dict": WEIGHTS})
    assert same(read_state_dict(path), WEIGHTS)
