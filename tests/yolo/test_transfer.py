"""Weights of one YOLO model in another one, layer by layer."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from ultralytics import YOLO
from ultralytics.nn.tasks import DetectionModel

from tests.yolo.test_model_files import small
from visiongraft.errors import WeightsError
from visiongraft.yolo import transfer
from visiongraft.yolo.matching import match


def build(rows: list[list], classes: int = 2) -> DetectionModel:
    return DetectionModel(small(rows, nc=classes), verbose=False)


def test_a_layer_in_the_middle_costs_nothing_but_itself() -> None:
    old, new = (
        build([[2, 1, "C3k2", [16]]]),
        build([[2, 1, "nn.Identity", []], [2, 1, "GridAttention", [4]], [2, 1, "C3k2", [16]]]),
    )
    report = transfer(new, old)
    assert {key.split(".")[1] for key in report.new} == {"4"}
    assert report.left == ()
    assert report.kept == len(old.state_dict())
    assert torch.equal(new.model[5].cv1.conv.weight, old.model[3].cv1.conv.weight)
    mixer = sum(each.numel() for each in new.model[4].state_dict().values())
    total = sum(each.numel() for each in new.state_dict().values())
    assert report.share == pytest.approx(1 - mixer / total)
    assert str(report) == (
        f"Kept {report.kept} of {report.kept + 6} tensors, {report.share:.2%} of their numbers, from this"
        " DetectionModel: 6 tensors new, in 4 (GridAttention()).\n0 tensors of this DetectionModel left over."
    )


def test_a_head_for_other_classes_keeps_all_but_its_last_convolutions() -> None:
    report = transfer(build([], classes=5), build([], classes=2))
    assert {key.rpartition(".")[0] for key in report.new} == {f"model.3.cv3.{each}.2" for each in (0, 1)}
    assert len(report.left) == len(report.new) == 4


def test_layers_that_were_taken_out_and_exchanged_are_left_over() -> None:
    old = build([[2, 1, "Conv", [16, 1, 1]], [-1, 1, "SPPF", [16, 5]]])
    new = build([[2, 1, "SPPF", [16, 5]]])
    report = transfer(new, old)
    assert (report.new, {key.split(".")[1] for key in report.left}) == ((), {"3"})
    assert "none new" in str(report)


def test_files_of_either_kind_and_states_with_any_prefix_are_taken(tmp_path: Path) -> None:
    old = build([])
    state = {f"module.{key}": each.clone() for key, each in old.state_dict().items()}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pt")
    torch.save({"model": state}, tmp_path / "b.pt")
    torch.save({"ema": None, "model": old}, tmp_path / "c.pt")
    for given in (state, *(str(tmp_path / name) for name in ("a.safetensors", "a.pt", "b.pt")), tmp_path / "c.pt"):
        new = build([])
        report = transfer(new, given)
        assert (report.new, report.left) == ((), ())
        assert all(torch.equal(each, old.state_dict()[key]) for key, each in new.state_dict().items())


def test_a_checkpoint_with_mixers_of_ours_is_read_without_running_anything(tmp_path: Path) -> None:
    rows = [[2, 1, "GridAttention", [4]], [-1, 1, "ContextualTransformer", []]]
    old, new = build(rows), build([[2, 1, "nn.Identity", []], *rows])
    torch.save({"model": old}, tmp_path / "a.pt")
    report = transfer(new, tmp_path / "a.pt")
    assert (report.new, report.left) == ((), ())


def test_class_names_come_with_a_whole_head() -> None:
    old, new, other = build([]), build([]), build([], classes=3)
    old.names = {0: "cat", 1: "dog"}
    transfer(new, old)
    transfer(other, old)
    assert (new.names, other.names) == ({0: "cat", 1: "dog"}, {0: "0", 1: "1", 2: "2"})


def test_ultralytics_trains_on_from_what_was_filled() -> None:
    model = YOLO("yolo11n-mhsa.yaml")
    assert not model.ckpt
    transfer(model, YOLO("yolo11n.yaml"))
    assert model.ckpt  # its `train` builds the model anew where this is empty


class Harmful:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("harm"),)


@pytest.mark.parametrize(
    ("make", "name", "text"),
    [
        (None, "none.pt", "There is no file none.pt. It is not fetched: put it there, or name another."),
        (lambda path: path.write_bytes(b"?"), "a.pt", "a.pt cannot be read as weights without running code of it."),
        (
            lambda path: torch.save({"model": Harmful()}, path),
            "a.pt",
            "If you trust it, give YOLO(FILE) in its place.",
        ),
        (lambda path: torch.save({"epoch": 3}, path), "a.pt", "There are no tensors in a.pt."),
        (
            lambda path: path.write_bytes(b"?"),
            "a.safetensors",
            "a.safetensors is no safetensors file, or a damaged one",
        ),
        (lambda path: path.write_bytes(b"?"), "a.onnx", "a.onnx is of no known kind. Give a .pt of Ultralytics, or a"),
        (
            lambda path: torch.save(nn.Linear(2, 3).state_dict(), path),
            "a.pt",
            "Nothing of a.pt fits this model: no layer of its 2 tensors has a tensor of the same name and shape.",
        ),
    ],
)
def test_weights_that_cannot_be_are_refused_in_one_line(
    make: object, name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if make is not None:
        make(tmp_path / name)
    model = build([])
    before = {key: each.clone() for key, each in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        transfer(model, name)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(each, before[key]) for key, each in model.state_dict().items())
    assert not (tmp_path / "harm").exists()


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(WeightsError, match="^A YOLO model of PyTorch is wanted, and this is 3"):
        transfer(3, {})


def test_layers_are_paired_so_that_most_numbers_are_kept() -> None:
    big, thin = torch.zeros(9), torch.zeros(1)
    found = match({"0.w": thin, "1.w": big}, {"0.w": big, "1.w": thin})
    assert found.kept == {"1.w": "0.w"}
    assert (found.new, found.left) == (("0.w",), ("1.w",))
