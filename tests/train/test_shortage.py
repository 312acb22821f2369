"""A step that finds no memory says how many images it could have taken."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.pictures import write_folder, write_npz
from tests.train.endings import ending, same
from tests.train.test_engine import QUICK, run
from tests.train.test_resume import go_on
from visiongraft import create_model
from visiongraft.data.loader import Batch
from visiongraft.data.sampling import FEWEST, Share
from visiongraft.data.sources import open_data
from visiongraft.errors import RunError, is_shortage
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.evaluate import evaluate
from visiongraft.train.run import plan_run
from visiongraft.train.shortage import too_large
from visiongraft.train.state import read_state

ON_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
ON_CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to")
IN_PYTHON = MemoryError()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Give a function that lets networks take so many images at a time, and gives a list of what they were asked."""
    forward = Network.forward

    def limit(images: int, *, error: Exception = ON_GPU, after: int = 0, mode: str = "training") -> list[int]:
        asked: list[int] = []

        def limited(network: Network, pixels: Tensor) -> Tensor:
            if network.training == (mode == "training"):
                asked.append(len(pixels))
                if len(asked) > after and len(pixels) > images:
                    raise error
            return forward(network, pixels)

        monkeypatch.setattr(Network, "forward", limited)
        return asked

    return limit


@pytest.mark.parametrize("error", [ON_GPU, ON_CPU, IN_PYTHON], ids=["gpu", "cpu", "python"])
def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_both_are_said(
    tmp_path: Path, memory: Callable[..., list[int]], error: Exception
) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    asked = memory(5, error=error)
    with pytest.raises(RunError) as refusal:
        run(tmp_path, data)
    assert str(refusal.value) == (
        "In step 1, 16 images of 24 x 24 at a time do not fit into the memory of cpu, and 4 do. Use --batch-size 4,"
        " or --grad-accum-steps 4 for the same batches in more parts."
    )
    assert asked == [16, 8, 4]
    assert not (tmp_path / "run").exists()  # nothing came of it, and the next try may take its place


def test_what_the_error_advises_fits(tmp_path: Path, memory: Callable[..., list[int]]) -> None:
    memory(5)
    for change in ({"batch_size": 4}, {"grad_accum_steps": 4}):
        run(tmp_path, write_npz(tmp_path / "stripes.npz"), replace(QUICK, epochs=1, **change), str(change))


def test_parts_of_a_batch_that_do_not_fit_are_cut_into_more_parts(
    tmp_path: Path, memory: Callable[..., list[int]]
) -> None:
    memory(7)
    with pytest.raises(RunError) as refusal:
        run(tmp_path, write_folder(tmp_path / "stripes"), replace(QUICK, batch_size=32, grad_accum_steps=2))
    assert str(refusal.value) == (
        "In step 1, 16 images of 24 x 24 at a time do not fit into the memory of cpu, and 4 do. Use --batch-size 8,"
        " or --grad-accum-steps 8 for the same batches in more parts."
    )


def test_where_not_even_two_images_fit_other_options_are_named(
    tmp_path: Path, memory: Callable[..., list[int]]
) -> None:
    memory(1)
    with pytest.raises(RunError) as refusal:
        run(tmp_path, write_npz(tmp_path / "stripes.npz"))
    assert str(refusal.value) == (
        "In step 1, 16 images of 24 x 24 at a time do not fit into the memory of cpu, nor do 2. Use a smaller --image"
        " or --model."
    )


def test_a_shortage_in_the_middle_leaves_a_state_from_which_the_run_ends_as_if_there_had_been_none(
    tmp_path: Path, memory: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = plan_run(tmp_path / "run", name="")
    memory(8, after=3)
    with pytest.raises(RunError, match=r"In step 4, 16 images of .* and 8 do\. Use --batch-size 8, or"):
        go_on(folder, data)
    assert read_state(folder)[0].progress.step == 3
    monkeypatch.undo()
    through = go_on(plan_run(tmp_path / "through", name=""), data)
    assert same(ending(go_on(folder, data).run), ending(through.run))


def test_a_validation_that_does_not_fit_gets_a_line_of_its_own(
    tmp_path: Path, memory: Callable[..., list[int]]
) -> None:
    data = write_npz(tmp_path / "stripes.npz")
    memory(16, mode="eval")
    with pytest.raises(RunError) as refusal:
        run(tmp_path, data)
    what = "32 images of 24 x 24 to be judged at a time do not fit into the memory."
    assert str(refusal.value) == f"{what} Use a smaller --val-image, --image or --model."
    with pytest.raises(RunError) as refusal:
        evaluate(create_model("resnet_pico", num_classes=2), open_data(data).val, Preprocessing((24, 24)))
    assert str(refusal.value) == f"{what} Use a smaller --batch-size, --image or --model."


def test_where_nobody_could_try_smaller_parts_none_is_recommended() -> None:
    batch = Batch(torch.zeros(8, 3, 16, 24, dtype=torch.uint8), torch.zeros(8), torch.arange(8), ())
    more = {"fewest": FEWEST, "remedy": "--image"}
    error = too_large(batch, None, number=7, course=QUICK, share=Share(), device=torch.device("cuda", 1), **more)
    assert str(error) == (
        "In step 7, 8 images of 16 x 24 at a time do not fit into the memory of cuda:1. Use a smaller --batch-size or"
        " a greater --grad-accum-steps."
    )


def test_batches_that_cannot_be_cut_further_are_only_made_smaller() -> None:
    batch = Batch(torch.zeros(5, 3, 16, 16, dtype=torch.uint8), torch.zeros(5), torch.arange(5), ())
    recipe = replace(QUICK, batch_size=10)
    more = {"fewest": FEWEST, "remedy": "--image"}
    error = too_large(batch, 2, number=1, course=recipe, share=Share(devices=2), device=torch.device("cpu"), **more)
    assert str(error).endswith("and 2 do. Use --batch-size 4.")


def test_other_errors_are_no_shortage() -> None:
    assert not is_shortage(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_shortage(ValueError("out of memory"))
    assert is_shortage(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
