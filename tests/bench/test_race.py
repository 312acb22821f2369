"""Networks are raced only against themselves: with the same weights, and the same answers."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from visiongraft.bench import race as racing
from visiongraft.bench.case import Case, action, images_of
from visiongraft.bench.contenders import QUICK, contenders
from visiongraft.bench.onnx_runtime import OnnxRuntime
from visiongraft.bench.race import Result, race
from visiongraft.bench.suite import COLUMNS, Suite, as_csv, means
from visiongraft.blocks.fused import FusedConv
from visiongraft.errors import GraftError, UnknownModel

CPU = torch.device("cpu")
SMALL = Case("cotnet_pico", (32, 32), batch_size=2)


@pytest.mark.parametrize(("model", "peers"), [("resnet50", 5), ("coatnet_pico", 2)])
def test_all_who_are_raced_have_the_same_weights_and_those_without_such_a_network_are_left_out(
    model: str, peers: int
) -> None:
    case = Case(model, (64, 64), batch_size=2)
    field = contenders(case, QUICK, device=CPU)
    assert len(field) == peers
    assert field[0].name == "ours"
    with torch.no_grad():
        logits = [each.network.eval()(each.images(case, 3, CPU)) for each in field]
    assert logits[0].std() > 0.001
    for each in logits[1:]:
        torch.testing.assert_close(each, logits[0], rtol=1e-3, atol=1e-3 * float(logits[0].abs().max()))


def test_a_branch_that_would_begin_as_nothing_is_raced_as_something() -> None:
    """ResNets of timm begin with residual branches that give 0: any branch at all would agree with them."""
    theirs = next(each for each in contenders(Case("resnet50", (64, 64)), ["timm"], device=CPU) if each.name == "timm")
    weight = theirs.network.get_parameter("layer1.0.bn3.weight")
    assert weight.abs().min() > 0.0
    assert weight.std() > 0.01


@pytest.mark.parametrize("mode", ["eager", "exported"])
@pytest.mark.parametrize("direction", ["inference", "training"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_call_answers_or_learns_as_the_case_asks(mode: str, direction: str, precision: str) -> None:
    case = replace(SMALL, mode=mode, direction=direction, precision=precision)
    (ours,) = contenders(case, [], device=CPU)
    before = {name: each.clone() for name, each in ours.network.state_dict().items()}
    call = action(ours.network, case, ours.images(case, 3, CPU))
    found = call()
    changed = [name for name, each in ours.network.state_dict().items() if not torch.allclose(each, before[name])]
    if direction == "inference":
        assert found.shape == (2, 1000)
        assert found.dtype == (torch.float32 if precision == "float32" else torch.bfloat16)
        assert changed == []
    else:
        assert found.shape == ()
        assert found > 0.0
        assert {name.rpartition(".")[2] for name in changed} == {"running_mean", "running_var", "num_batches_tracked"}


def test_the_inference_form_is_ours_alone_and_is_raced_as_the_others_are() -> None:
    case = replace(SMALL, mode="folded")
    field = contenders(case, ["plain"], device=CPU)
    folded = {each.name: any(isinstance(module, FusedConv) for module in each.network.modules()) for each in field}
    assert folded == {"ours": True, "plain": False}
    ours, plain = race(case, ["plain"], device=CPU, patience=0.01)
    assert ours.times == (1.0, 1.0, 1.0)
    assert plain.failure == ""
    assert plain.difference is not None
    assert plain.difference < 1e-4


def test_images_are_the_same_for_all() -> None:
    assert torch.equal(images_of(SMALL, 3, CPU), images_of(SMALL, 3, CPU))


def test_a_race_gives_times_and_ratios_of_ours_and_its_peers() -> None:
    ours, plain = race(SMALL, ["plain", "timm"], device=CPU, patience=0.0)
    assert (ours.contender, plain.contender) == ("ours", "plain")
    assert (ours.difference, ours.times, ours.rounds) == (0.0, (1.0, 1.0, 1.0), 5)
    assert 0.0 < ours.dense_share < 1.0
    assert 0.0 < plain.difference < 1e-4
    assert plain.times[0] <= plain.times[1] <= plain.times[2]
    assert 0.2 < plain.times[1] / (plain.seconds / ours.seconds) < 5.0


def test_a_peer_whose_logits_differ_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_other_weights(case: Case, peers: object, *, device: torch.device) -> list:
        field = contenders(case, peers, device=device)
        with torch.no_grad():
            next(field[1].network.parameters()).mul_(1.5)
        return field

    monkeypatch.setattr(racing, "contenders", with_other_weights)
    ours, plain = race(SMALL, ["plain"], device=CPU, patience=0.0)
    assert ours.seconds > 0.0
    assert plain.seconds is None
    assert plain.difference > 1e-3
    assert plain.failure.startswith("its logits differ from ours by ")


def test_a_peer_that_does_not_take_the_images_is_told_and_ours_is_timed_all_the_same() -> None:
    case = Case("botnet26t_256", (96, 96), batch_size=1)
    ours, theirs = race(case, ["timm"], device=CPU, patience=0.0)
    assert ours.seconds > 0.0
    assert theirs.seconds is None
    assert theirs.failure


def test_timms_network_is_raced_as_onnx_runtime_computes_it() -> None:
    _, theirs = race(Case("resnet50", (32, 32), batch_size=2), ["timm-onnxruntime"], device=CPU, patience=0.01)
    assert theirs.failure == ""
    assert theirs.times is not None


def test_onnx_runtime_is_asked_for_what_it_can_alone() -> None:
    network, images = OnnxRuntime(nn.Flatten()), torch.zeros(1, 3, 8, 8)
    with pytest.raises(GraftError, match="ONNX Runtime is timed in inference, on a CPU, in float32."):
        network.train()(images)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(GraftError, match="in float32."):
        network.eval()(images)


def test_memory_and_first_answers_are_those_of_processes_of_their_own() -> None:
    ours, plain = race(SMALL, ["plain"], device=CPU, patience=0.0, alone=True)
    for each in (ours, plain):
        assert each.first_seconds > 0.0
        assert each.peak_mib > 0.0
    assert plain.contender == "plain"
    assert plain.times is not None


def test_a_suite_is_every_network_in_every_way() -> None:
    suite = Suite(("resnet_pico", "cotnet_pico"), ("plain",), ((32, 32), (48, 32)), (1, 8), directions=("training",))
    cases = list(suite.cases())
    assert len(cases) == len(set(cases)) == 2 * 2 * 2
    assert [each.model for each in cases] == ["resnet_pico"] * 4 + ["cotnet_pico"] * 4
    assert cases[-1].words == "48x32 px, batch 8, float32, eager, training"
    with pytest.raises(UnknownModel):
        list(Suite(("resnet_pica",), ()).cases())


def test_means_are_geometric_and_of_those_that_were_timed() -> None:
    other = replace(SMALL, model="resnet_pico")
    results = [
        Result(SMALL, "ours", 0.0, 0.1, (1.0, 1.0, 1.0)),
        Result(SMALL, "timm", 0.0, 0.2, (1.9, 2.0, 2.1)),
        Result(other, "timm", 0.0, 0.8, (7.9, 8.0, 8.1)),
        Result(other, "plain", failure="no"),
    ]
    (mean,) = means(results)
    assert (mean.peer, mean.models) == ("timm", 2)
    assert mean.times == pytest.approx(4.0)
    lines = as_csv(results).splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert lines[2].startswith("cotnet_pico,timm,32,32,2,float32,eager,inference,200.0,1.9,2.0,2.1,")
    assert lines[4].endswith(",no")
