"""Compiled steps are those of the plain network, and can be taken up again to the bit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.networks import shallow
from tests.pictures import SIDE, write_folder, write_npz
from tests.train.endings import ending, same
from tests.train.killer import Killed, Killer
from tests.train.test_engine import QUICK
from visiongraft.data.sources import open_data
from visiongraft.errors import GraftError, RunError
from visiongraft.preprocessing import Preprocessing
from visiongraft.train import compiling
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import Outcome, train
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder
from visiongraft.train.state import read_state
from visiongraft.weights.store import read

PLAIN = Hardware(torch.device("cpu"))
COMPILED = replace(PLAIN, code="compiled")
RECIPE = replace(QUICK, epochs=2, drop_path=0.3, dropout=0.1, model_ema_decay=0.8, freeze="stem", grow_from=0.5)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Replace the compiler of code, which takes a minute, by one that only notes the sizes that it is asked for."""
    torch.compiler.reset()
    seen: list[tuple[int, ...]] = []

    def note(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        seen.append(tuple(next(each for each in inputs if each.ndim == 4 and each.shape[1] == 3).shape))
        return graph.forward

    monkeypatch.setattr(compiling, "COMPILER", {"dynamic": False, "backend": note})
    return seen


def run(folder: Path, data: Path, hardware: Hardware, recipe: Recipe = RECIPE, **more) -> Outcome:
    spec = shallow("resnet_pico").at(SIDE)
    more = {"save_minutes": 0.0, "resume": "allowed", **more}
    place = RunFolder(folder)
    pre = Preprocessing(spec.image)
    return train(Classifying(spec, open_data(data), recipe, pre), place, hardware=hardware, **more)


def losses(trained: Outcome) -> list[float]:
    return [float(line.split(",")[3]) for line in trained.run.metrics.read_text().splitlines()[1:]]


def test_compiled_steps_are_those_of_the_plain_network_and_files_know_nothing_of_them(
    tmp_path: Path, graphs: list[tuple[int, ...]]
) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    plain, fast = (run(tmp_path / name, data, how) for name, how in (("plain", PLAIN), ("fast", COMPILED)))
    assert losses(fast) == pytest.approx(losses(plain), rel=1e-5)
    assert graphs == [(16, 3, 16, 16), (16, 3, 24, 24)]  # a size at a time, and none for the validation
    assert load_file(fast.run.best).keys() == load_file(plain.run.best).keys()
    assert read_state(fast.run)[0].tensors["network"].keys() == read(fast.run.best).network.state_dict().keys()
    assert not any("_orig_mod" in name for name in read_state(fast.run)[0].tensors["average"])


def test_a_compiled_run_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, graphs: list[tuple[int, ...]]
) -> None:
    data = write_folder(tmp_path / "stripes")
    broken = data / "train" / "lying" / "001.png"
    broken.write_bytes(broken.read_bytes()[:60])
    through = run(tmp_path / "through", data, COMPILED)
    assert {shape[0] for shape in graphs} == {16}  # parts with an image that cannot be read are not compiled for
    with pytest.raises(Killed):
        run(tmp_path / "killed", data, COMPILED, listener=Killer(3))
    torch.compiler.reset()  # another process has compiled nothing
    graphs.clear()
    resumed = run(tmp_path / "killed", data, COMPILED)
    assert same(ending(resumed.run), ending(through.run))
    assert resumed.notes == ()


def test_a_run_that_goes_on_without_the_compiler_says_so(tmp_path: Path, graphs: list[tuple[int, ...]]) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    for begun, other, text in ((COMPILED, PLAIN, "with --compile and goes on without it"),
                               (PLAIN, COMPILED, "without --compile and goes on with it")):  # fmt: skip
        with pytest.raises(Killed):
            run(tmp_path / begun.code, data, begun, listener=Killer(3))
        notes = run(tmp_path / begun.code, data, other).notes
        assert notes == (f"The run was {text}: its last bits will differ from those of a run that stayed.",)


def test_where_nothing_can_be_compiled_the_run_says_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("No working C++ compiler found in cpp.cxx: (None, 'g++')")

    torch.compiler.reset()
    monkeypatch.setattr(compiling, "COMPILER", {"backend": fail})
    with pytest.raises(RunError) as refusal:
        run(tmp_path / "run", write_npz(tmp_path / "stripes.npz", train=32), COMPILED)
    text = str(refusal.value)
    assert "\n" not in text
    assert text.startswith("--compile does not work here: ")
    assert "No working C++ compiler found in cpp.cxx" in text
    assert text.endswith("Install a C++ compiler (g++), if that is what is missing, or leave out --compile.")
    assert not (tmp_path / "run").exists()


def test_other_errors_pass_the_compiler_by() -> None:
    with pytest.raises(ValueError, match="mine"), compiling.compiling("compiled"):
        raise ValueError("mine")


def test_a_spread_network_is_not_compiled(tmp_path: Path) -> None:
    with pytest.raises(GraftError) as refusal:
        run(tmp_path / "run", write_npz(tmp_path / "stripes.npz"), replace(COMPILED, strategy="fsdp"))
    assert str(refusal.value) == (
        "--strategy fsdp came with --compile, and the two are untried together. Leave one out."
    )
