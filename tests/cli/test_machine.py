"""Options that are of the machine reach what computes, and what it lacks is told in one line."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.cli.running import answer, complaint
from tests.pictures import SIDE, write_folder, write_npz
from visiongraft.cli import train as verb
from visiongraft.data import kept
from visiongraft.data.kept import KeptImages
from visiongraft.data.sets import FileImages
from visiongraft.errors import GraftError
from visiongraft.network import Network
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware
from visiongraft.train.run import RunFolder

QUICK = ["--epochs", "1", "--batch-size", "16", "--image", str(SIDE), "--model", "resnet_pico"]


def test_compile_and_cache_reach_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    seen: list[tuple[str, type]] = []

    def note(job: Classifying, run: RunFolder, *, hardware: Hardware, **_: object):
        seen.append((hardware.code, type(job.data.train)))
        raise GraftError("Enough.")

    monkeypatch.setattr(verb, "train", note)
    monkeypatch.setattr(verb, "Narrator", lambda _: nullcontext())
    data = write_folder(tmp_path / "stripes")
    words = ["train", "--data", data, "--output", tmp_path / "run", *QUICK]
    for more in ([], ["--compile"], ["--cache", "none"], ["--cache", "ram"]):
        assert complaint(capsys, *words, *more) == "graft: Enough.\n"
    assert seen == [
        ("eager", KeptImages), ("compiled", KeptImages), ("eager", FileImages), ("eager", KeptImages)
    ]  # fmt: skip


def test_pictures_that_do_not_fit_into_the_memory_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(kept, "memory_of_machine", lambda: 10**4)
    data = write_folder(tmp_path / "stripes")
    text = complaint(capsys, "train", "--data", data, "--cache", "ram", "--output", tmp_path / "run", *QUICK)
    assert text.startswith(
        f"graft: --cache ram came, and the pictures of {data} take more than the 0.0 GB that may be"
    )
    assert not (tmp_path / "run").exists()


def test_a_step_without_memory_gets_its_line_and_what_it_advises_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    forward = Network.forward

    def limited(network: Network, pixels: Tensor) -> Tensor:
        if torch.is_grad_enabled() and len(pixels) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a capacity of")
        return forward(network, pixels)

    monkeypatch.setattr(Network, "forward", limited)
    words = ["train", "--data", write_npz(tmp_path / "stripes.npz", train=32), "--output", tmp_path / "run", *QUICK]
    text = complaint(capsys, *words)
    assert text.startswith("graft: In step 1, 16 images of ")
    assert text.endswith(
        " and 4 do. Use --batch-size 4, or --grad-accum-steps 4 for the same batches in more parts.\n"
    )
    assert answer(capsys, *words, "--grad-accum-steps", "4")["epochs"] == 1
