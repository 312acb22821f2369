"""Optimisers, schedules, layer decay, frozen parts and averaged weights do what their names promise."""

from dataclasses import replace

import pytest
import timm.optim
import torch

from visiongraft.errors import GraftError
from visiongraft.network import Network
from visiongraft.train.average import averaged
from visiongraft.train.freezing import freeze, set_learning
from visiongraft.train.lamb import Lamb
from visiongraft.train.optim import make_optimizer, rate_scales
from visiongraft.train.recipe import Recipe
from visiongraft.train.schedule import rate_at, set_rate
from visiongraft.weights.models import create_model

TEN = Recipe(epochs=10, lr=1.0, warmup_epochs=0, label_smoothing=0.0)


def rates(recipe: Recipe, steps: int = 100) -> list[float]:
    return [rate_at(recipe, step, steps=steps) for step in range(steps)]


@pytest.mark.parametrize("opt", ["muon", "adamw", "sgd", "nesterov"])
def test_fused_steps_are_those_of_the_plain_optimiser(opt: str) -> None:
    ends = []
    for fused in (True, False):
        net = network()
        optimizer = make_optimizer(net, Recipe(opt=opt, lr=0.01, weight_decay=0.1))
        assert all(group["fused"] for group in optimizer.param_groups)
        for group in optimizer.param_groups:
            group["fused"] = fused
        for step in range(3):
            torch.manual_seed(step)
            for each in net.parameters():
                each.grad = torch.randn_like(each)
            optimizer.step()
        ends.append(net.state_dict())
    for name, each in ends[0].items():
        torch.testing.assert_close(each, ends[1][name], rtol=1e-5, atol=1e-6, msg=name)


def test_the_step_schedule_falls_by_its_rate_at_the_first_step_of_every_so_manieth_epoch() -> None:
    found = rates(replace(TEN, sched="step", decay_epochs=3, decay_rate=0.5))
    assert [found[step] for step in (0, 29, 30, 59, 60, 89, 90, 99)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert min(rates(replace(TEN, sched="step", decay_epochs=2, min_lr=0.05))) == 0.05
    # In 7 epochs of 3 steps no share of an epoch is a round number.
    odd = rates(replace(TEN, epochs=7, sched="step", decay_epochs=1, decay_rate=0.5), steps=21)
    assert odd == [0.5 ** (step // 3) for step in range(21)]


def test_the_late_steps_are_detectrons() -> None:
    found = rates(replace(TEN, epochs=12, sched="late_steps"), steps=90)
    assert [found[step] for step in (0, 59)] == [1.0, 1.0]
    assert [found[step] for step in (60, 79)] == pytest.approx([0.1, 0.1])
    assert [found[step] for step in (80, 89)] == pytest.approx([0.01, 0.01])
    warm = rates(replace(TEN, sched="late_steps", warmup_epochs=1, min_lr=0.05))
    assert warm[0] < warm[9] < warm[10] == 1.0
    assert min(warm[10:]) == 0.05


def test_the_linear_schedule_is_a_line_between_its_rates() -> None:
    found = rates(replace(TEN, sched="linear", min_lr=0.2))
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.6)
    assert found[99] == pytest.approx(0.208)


def test_one_cycle_is_convmixers() -> None:
    found = rates(replace(TEN, sched="onecycle", warmup_epochs=2))
    wanted = {0: 0.025, 19: 0.5, 39: 1.0, 59: 0.525, 79: 0.05, 89: 0.025, 99: 0.0}
    assert {step: found[step] for step in wanted} == pytest.approx(wanted)
    assert found[0] > 0  # the first step learns, and the last one does not, as in the authors' programs


def test_a_warm_up_begins_at_its_own_rate_and_a_cosine_ends_at_the_lowest() -> None:
    recipe = replace(TEN, warmup_epochs=1, warmup_lr=0.5, min_lr=0.3)
    found = rates(recipe)
    assert found[0] == pytest.approx(0.5 + 0.5 / 11)
    assert found[10] == 1.0
    assert rate_at(recipe, 55, steps=100) == pytest.approx(0.65)
    assert rate_at(recipe, 100, steps=100) == pytest.approx(0.3)
    assert set(rates(replace(TEN, min_lr=1.0))) == {1.0}


def network(**more) -> Network:
    torch.manual_seed(0)
    return create_model("coatnet_pico", num_classes=3, **more)


def trained(network: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> dict[str, torch.Tensor]:
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        network(torch.randn(4, 3, 32, 32)).square().mean().backward()
        optimizer.step()
    return {name: each.detach().clone() for name, each in network.named_parameters()}


def test_lamb_takes_the_steps_of_timms() -> None:
    def begun() -> list[dict]:
        torch.manual_seed(0)
        weights, biases = (
            [torch.nn.Parameter(torch.randn(*shape)) for shape in each] for each in (((4, 3), (2, 5)), ((4,),))
        )
        weights[1].data.zero_()  # nothing to be a share of
        return [{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}]

    ours, theirs = begun(), begun()
    pairs = Lamb(ours, lr=0.01), timm.optim.Lamb(theirs, lr=0.01, max_grad_norm=None)
    for step in range(4):
        torch.manual_seed(step + 1)
        for one, other in zip(ours, theirs, strict=True):
            for mine, yours in zip(one["params"], other["params"], strict=True):
                mine.grad = torch.randn_like(mine)
                yours.grad = mine.grad.clone()
        for optimizer in pairs:
            optimizer.step()
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one["params"], other["params"])


@pytest.mark.parametrize(("opt", "ahead"), [("sgd", False), ("nesterov", True)])
def test_sgd_is_pytorchs_with_the_recipes_momentum(opt: str, ahead: bool) -> None:
    recipe = Recipe(opt=opt, lr=0.1, momentum=0.7, weight_decay=0.01)
    ours, theirs = network(), network()
    decayed = {id(each) for each in make_optimizer(theirs, recipe).param_groups[0]["params"]}
    groups = [
        {"params": [each for each in theirs.parameters() if id(each) in decayed], "weight_decay": 0.01},
        {"params": [each for each in theirs.parameters() if id(each) not in decayed]},
    ]
    one = trained(ours, make_optimizer(ours, recipe))
    other = trained(theirs, torch.optim.SGD(groups, lr=0.1, momentum=0.7, nesterov=ahead))
    for name in one:
        torch.testing.assert_close(one[name], other[name], msg=name)


@pytest.mark.parametrize("opt", ["adamw", "muon", "lamb"])
def test_betas_and_eps_reach_the_optimiser(opt: str) -> None:
    made = make_optimizer(network(), Recipe(opt=opt, beta1=0.8, beta2=0.95, opt_eps=1e-3))
    assert {(group["betas"], group["eps"]) for group in made.param_groups} == {((0.8, 0.95), 1e-3)}


@pytest.mark.parametrize("opt", ["muon", "adamw"])
def test_layer_decay_multiplies_by_the_depth_in_blocks_as_timms_does(opt: str) -> None:
    found = network()
    made = make_optimizer(found, Recipe(opt=opt, lr=0.5, layer_decay=0.8))
    theirs = timm.optim.param_groups_layer_decay(found, layer_decay=0.8)
    wanted = {id(each): group["lr_scale"] for group in theirs for each in group["params"]}
    ours = {id(each): group["lr_scale"] for group in made.param_groups for each in group["params"]}
    assert ours == pytest.approx(wanted)
    set_rate(made, Recipe(lr=0.5, warmup_epochs=0), 0, steps=10)
    for group in made.param_groups:
        assert group["lr"] == pytest.approx(0.5 * group["lr_scale"])
    assert ours[id(found.head.classifier.weight)] == 1.0
    blocks = sum(len(stage) for stage in found.stages)
    assert ours[id(next(found.stem.parameters()))] == pytest.approx(0.8 ** (blocks + 1))


def test_without_layer_decay_no_group_is_split() -> None:
    assert len(make_optimizer(network(), Recipe(opt="adamw")).param_groups) == 2
    assert set(rate_scales(network(), 1.0).values()) == {1.0}


@pytest.mark.parametrize("opt", ["muon", "adamw"])
def test_frozen_parts_keep_weights_and_statistics_and_the_rest_learns(opt: str) -> None:
    found = network(drop_path=0.3)
    freeze(found, "stem, stage1, stages.1.0.*")
    before = {name: each.clone() for name, each in found.state_dict().items()}
    set_learning(found)
    trained(found, make_optimizer(found, Recipe(opt=opt, lr=0.01)))
    frozen = ("stem.", "stages.0.", "stages.1.0.")
    for name, each in found.state_dict().items():
        assert torch.equal(each, before[name]) or not name.startswith(frozen), name
    changed = {name for name, each in found.state_dict().items() if not torch.equal(each, before[name])}
    assert {name.split(".")[0] for name in changed} == {"stages", "head"}
    assert not any(module.training for module in found.stages[0].modules())
    assert found.stages[2].training


def test_frozen_names_that_are_none_or_leave_nothing_are_refused() -> None:
    with pytest.raises(GraftError, match=r"--freeze 'stage9' is no part of coatnet_pico\. Did you mean 'stage\d'"):
        freeze(network(), "stem,stage9")
    with pytest.raises(GraftError, match=r"--freeze '\*' leaves nothing of coatnet_pico to learn\. Leave out a part"):
        freeze(network(), "*")


def test_the_average_is_the_sum_that_its_decay_says_of_weights_and_statistics() -> None:
    found = network()
    average = averaged(found, 0.75)
    optimizer = make_optimizer(found, Recipe(opt="sgd", lr=1e-3))
    seen = []
    for step in range(4):
        trained(found, optimizer, steps=step + 1)
        average.update_parameters(found)
        seen.append({name: each.clone() for name, each in found.state_dict().items() if each.is_floating_point()})
    for name, each in average.module.state_dict().items():
        if each.is_floating_point():
            wanted = seen[0][name]
            for state in seen[1:]:
                wanted = 0.75 * wanted + 0.25 * state[name]
            torch.testing.assert_close(each, wanted)
    assert average.module.spec == found.spec


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"opt": "adam"}, "--opt must be muon or adamw or sgd or nesterov or lamb, not adam."),
        ({"min_lr": 1.0}, "--min-lr must be at most --lr 0.008, not 1."),
        ({"warmup_lr": 0.1}, "--warmup-lr must be at most --lr 0.008, not 0.1."),
        ({"momentum": 1.0}, r"--momentum must be in \[0, 1\), not 1.0."),
        ({"layer_decay": 0.0}, r"--layer-decay must be in \(0, 1\], not 0.0."),
        ({"model_ema_decay": 1.0}, r"--model-ema-decay must be in \[0, 1\)"),
        ({"crop_ratio": 0.5}, "--crop-ratio must be at least 1, not 0.5."),
        ({"aug_repeats": 3}, "--aug-repeats must divide --batch-size 128, not be 3."),
        ({"aug_repeats": 2, "sampler": "balanced"}, "are two orders of one epoch. Give one of them."),
        ({"aa": "randm9"}, "--aa must be none, trivial, or as rand-m9-mstd0.5-n2, not 'randm9'."),
        ({"aa": "rand-m9-x3"}, "not 'rand-m9-x3'."),
        ({"aa": "rand-n1.5"}, "not 'rand-n1.5'."),
        ({"aa": "rand-m9-inc0"}, "not 'rand-m9-inc0'."),
    ],
)
def test_a_recipe_refuses_what_cannot_be(change: dict, text: str) -> None:
    with pytest.raises(GraftError, match=text):
        replace(Recipe(), **change)
