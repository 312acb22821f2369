"""Grafted networks in a training: compiled, averaged, taken up again, in two processes, in another interpreter."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import visiongraft as vg
from tests.cli.running import answer
from tests.once import Once
from tests.pictures import SIDE, write_npz
from tests.train.endings import ending, same
from tests.train.killer import Killed, Killer
from tests.train.pair import GRAFTED, OPTIONS, rows, train_together
from tests.train.test_compiling import COMPILED, PLAIN, losses
from tests.train.test_engine import QUICK
from visiongraft import vocabulary
from visiongraft.data.sources import open_data
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.foreign import Foreign, Grafted
from visiongraft.surgery.words import Graft
from visiongraft.train import compiling
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import Outcome, train
from visiongraft.train.optim import rate_scales
from visiongraft.train.run import RunFolder

REPLACE = Graft("layer4.*.conv2", vg.GridAttention(heads=4))
INSERT = Graft("layer3", vg.GridAttention(heads=4), "insert")
SPEC = Grafted(Foreign("timm:test_resnet", image=(SIDE, SIDE)), (REPLACE, INSERT))
RECIPE = replace(QUICK, epochs=2, model_ema_decay=0.8, freeze="conv1", grow_from=0.5)


def run(folder: Path, data: Path, hardware: Hardware = PLAIN, **more) -> Outcome:
    more = {"save_minutes": 0.0, "resume": "allowed", **more}
    pre = Preprocessing(SPEC.image)
    return train(Classifying(SPEC, open_data(data), RECIPE, pre), RunFolder(folder), hardware=hardware, **more)


@pytest.mark.parametrize("hardware", [PLAIN, COMPILED], ids=["plain", "compiled"])
def test_a_grafted_network_with_averaged_weights_that_was_killed_ends_as_one_that_was_not(
    hardware: Hardware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.compiler.reset()
    sizes = []

    def note(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        sizes.append(len(inputs))
        return graph.forward

    monkeypatch.setattr(compiling, "COMPILER", {"dynamic": False, "backend": note, "fullgraph": True})
    data = write_npz(tmp_path / "stripes.npz", train=32, val=8)
    through = run(tmp_path / "through", data, hardware)
    with pytest.raises(Killed):
        run(tmp_path / "killed", data, hardware, listener=Killer(3))
    torch.compiler.reset()
    resumed = run(tmp_path / "killed", data, hardware)
    assert same(ending(resumed.run), ending(through.run))
    assert resumed.notes == ()
    trained = load_file(through.run.best)
    assert not any("_orig_mod" in name for name in trained)
    assert trained["layer3.graft.scale.gamma"].abs().max() > 0.0
    if hardware is COMPILED:
        assert len(sizes) == 3  # two sizes of images, and after the kill the second one again
        assert losses(run(tmp_path / "plain", data)) == pytest.approx(losses(through), rel=1e-5)


@pytest.fixture(scope="module")
def pair(once: Once) -> Path:
    return once("two processes", train_together)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards what a user's file adds to the vocabulary."""
    monkeypatch.setattr(vocabulary, "_WORDS", dict(vocabulary._WORDS))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def test_two_processes_that_run_a_users_file_take_the_steps_of_one_with_a_grafted_network(
    pair: Path, words: None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    together, alone = RunFolder(pair / "grafted"), RunFolder(tmp_path / "alone")
    options = OPTIONS.replace("--devices 2", "--devices 1").split()
    files = ("--data", pair / "stripes.npz", "--plugin", pair / "mine.py", "--output", alone.path)
    answer(capsys, "train", *files, *options, *GRAFTED)
    for one, both in zip(rows(alone), rows(together), strict=True):
        assert both["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)
    assert same(ending(RunFolder(pair / "grafted, resumed")), ending(together))


def test_a_fresh_interpreter_reads_a_grafted_network_by_the_users_file_and_says_so_without_it(
    pair: Path, tmp_path: Path
) -> None:
    weights, plugin = RunFolder(pair / "grafted").best, pair / "mine.py"
    asked = ["eval", str(weights), "--data", str(pair / "stripes.npz"), "--json"]
    program = (
        "import sys; from visiongraft.cli.main import main\n"
        f"assert main({asked}) == 2\n"
        f"sys.exit(main([*{asked}, '--plugin', {str(plugin)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == (
        f"graft: {weights} describes its network by a word that is not known here: The vocabulary has no word"
        " 'Window'. If it is a mixer of somebody's own, run what registers it first, or give that file as --plugin.\n"
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["top1"] == max(each["val_top1"] for each in rows(RunFolder(pair / "grafted")))


def test_the_blocks_of_our_networks_learn_at_their_own_rates_grafted_or_not(tmp_path: Path) -> None:
    spec = Grafted(vg.get_spec("resnet_pico").at(SIDE), (Graft("stages.2.0", vg.GridAttention(heads=2), "insert"),))
    network = vg.build(spec)
    scales = rate_scales(network.body, 0.5)
    found = {name: scales[id(each)] for name, each in network.body.named_parameters()}
    assert found["stages.2.0.graft.scale.gamma"] == found["stages.2.0.mixer.weight"]
    data, pre = open_data(write_npz(tmp_path / "stripes.npz", train=16, val=8)), Preprocessing(spec.image)
    recipe = replace(QUICK, epochs=1, layer_decay=0.5)
    train(Classifying(spec, data, recipe, pre), RunFolder(tmp_path / "run"), hardware=PLAIN)
