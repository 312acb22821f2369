"""The parts of a training: recipe, learning rate, weight decay, scores, run folder."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pictures import stripes
from visiongraft.data.sets import ArrayImages
from visiongraft.errors import DataError, GraftError, RunError
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.devices import find_device, workers_for
from visiongraft.train.evaluate import Evaluation, evaluate
from visiongraft.train.muon import MuonAdamW, orthogonalized
from visiongraft.train.optim import make_optimizer, parameter_groups
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import plan_run
from visiongraft.train.schedule import rate_at, set_rate
from visiongraft.weights.models import create_model


def test_the_learning_rate_rises_in_a_line_and_falls_along_half_a_cosine() -> None:
    recipe = Recipe(epochs=11, warmup_epochs=1, lr=1.0)
    shares = [rate_at(recipe, step, steps=110) for step in range(111)]
    np.testing.assert_allclose(np.diff(shares[:11]), 1 / 11)
    assert shares[10] == 1.0
    assert shares[60] == pytest.approx(0.5)
    assert shares[110] == 0.0
    assert all(0 < share <= 1 for share in shares[:110])


def test_the_schedule_reaches_the_recipes_rate_after_its_warm_up() -> None:
    recipe = Recipe(epochs=10, lr=0.3, warmup_epochs=2, opt="adamw")
    optimizer = make_optimizer(torch.nn.Linear(2, 2), recipe)
    rates = [set_rate(optimizer, recipe, step, steps=50) for step in range(50)]
    assert max(rates) == rates[10] == pytest.approx(0.3)
    assert {group["lr"] for group in optimizer.param_groups} == {rates[-1]}


@pytest.mark.parametrize("name", ["coatnet_pico", "botnet_pico", "cotnet_pico"])
@pytest.mark.parametrize("opt", ["muon", "adamw"])
def test_weight_decay_spares_biases_normalisations_and_position_tables(name: str, opt: str) -> None:
    network = create_model(name)
    groups = make_optimizer(network, Recipe(opt=opt)).param_groups
    decayed = {id(each) for group in groups for each in group["params"] if group["weight_decay"] > 0}
    spared = {id(each) for group in groups for each in group["params"] if group["weight_decay"] == 0}
    assert len(decayed) + len(spared) == sum(len(group["params"]) for group in groups) == count(network)
    for path, each in network.named_parameters():
        table = ".bias.table" in path or ".positions." in path
        assert (id(each) in spared) == (table or each.ndim == 1)


def count(network: torch.nn.Module) -> int:
    return len(list(network.parameters()))


def test_muon_takes_the_matrices_between_the_first_layer_and_the_classifier() -> None:
    network = create_model("coatnet_pico")
    matrices, others, free = parameter_groups(network)
    assert matrices.keys() == {1}
    assert len(matrices[1]) + len(others) + len(free) == count(network)
    names = {id(each): name for name, each in network.named_parameters()}
    left = {names[id(each)] for each in others}
    assert {"stem.0.weight", "head.classifier.weight"} <= left
    assert all("depthwise" in name for name in left - {"stem.0.weight", "head.classifier.weight"})


def test_muon_counts_a_grouped_convolution_as_a_matrix_for_each_group() -> None:
    torch.manual_seed(0)
    grouped = torch.nn.Conv2d(8, 6, 3, groups=2, bias=False)
    apart = [torch.nn.Conv2d(4, 3, 3, bias=False) for _ in range(2)]
    for half, each in zip(grouped.weight.detach().chunk(2), apart, strict=True):
        each.weight.data.copy_(half)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1), grouped, torch.nn.Flatten(), torch.nn.Linear(6, 2))
    groups, _, _ = parameter_groups(network)
    assert [(key, [id(each) for each in weights]) for key, weights in groups.items()] == [(2, [id(grouped.weight)])]
    gradient = torch.randn_like(grouped.weight)
    grouped.weight.grad = gradient
    for half, each in zip(gradient.chunk(2), apart, strict=True):
        each.weight.grad = half.clone()
    MuonAdamW(groups, [], lr=0.1, weight_decay=0.0).step()
    MuonAdamW({1: [each.weight for each in apart]}, [], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(grouped.weight, torch.cat([each.weight for each in apart]))


@pytest.mark.parametrize("shape", [(1, 6, 40), (1, 40, 6), (1, 16, 16), (1, 1, 9), (3, 5, 7)])
def test_an_orthogonalised_matrix_keeps_its_directions_and_loses_their_sizes(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    left, sizes, right = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    sizes = torch.logspace(0, -1.2, sizes.shape[-1], dtype=torch.float64).expand(sizes.shape)
    (found,) = orthogonalized([left @ torch.diag_embed(sizes) @ right])
    turned = left.mT @ found @ right.mT
    kept = turned.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(turned, torch.diag_embed(kept), atol=1e-9, rtol=0)
    assert ((kept > 0.9) & (kept < 1.1)).all()


def test_matrices_that_are_worked_on_together_are_what_each_is_alone() -> None:
    torch.manual_seed(0)
    shapes = [(1, 6, 9), (1, 9, 6), (2, 6, 6), (1, 4, 30), (3, 6, 8)]
    matrices = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    for together, matrix in zip(orthogonalized(matrices), matrices, strict=True):
        (alone,) = orthogonalized([matrix])
        torch.testing.assert_close(together, alone)


def test_a_gradient_of_zeros_gives_no_step() -> None:
    (found,) = orthogonalized([torch.zeros(1, 3, 5)])
    assert torch.equal(found, torch.zeros(1, 3, 5))


def test_muon_leaves_what_is_no_matrix_to_adamw() -> None:
    results = []
    for opt in ("muon", "adamw"):
        torch.manual_seed(0)
        network = create_model("coatnet_pico", num_classes=3)
        optimizer = make_optimizer(network, Recipe(opt=opt))
        network(torch.randn(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()
        results.append(network)
    muon, adamw = (dict(network.named_parameters()) for network in results)
    inner = {id(each) for each in parameter_groups(results[0])[0][1]}
    for name, each in muon.items():
        assert torch.equal(each, adamw[name]) == (id(each) not in inner), name


def test_muon_fits_a_linear_map(tmp_path: Path) -> None:
    torch.manual_seed(0)
    inputs, wanted = torch.randn(64, 8), torch.randn(8, 8)
    weight = torch.nn.Parameter(torch.zeros(8, 8))
    optimizer = MuonAdamW({1: [weight]}, [], lr=0.1, weight_decay=0.0)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        optimizer.zero_grad()
        loss = (inputs @ (weight - wanted).t()).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.01


def test_muon_goes_on_from_a_state_that_was_saved(tmp_path: Path) -> None:
    def begun() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = create_model("coatnet_pico", num_classes=3).eval()
        return network, make_optimizer(network, Recipe())

    def step(network: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        optimizer.zero_grad()
        network(torch.randn(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()

    network, optimizer = begun()
    step(network, optimizer, 1)
    torch.save((network.state_dict(), optimizer.state_dict()), tmp_path / "state.pt")
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    step(network, optimizer, 2)
    again, resumed = begun()
    again.load_state_dict(weights)
    resumed.load_state_dict(state)
    step(again, resumed, 2)
    for name, each in again.state_dict().items():
        assert torch.equal(each, network.state_dict()[name]), name


def test_equal_probabilities_are_ranked_by_class_in_top5_as_in_top1() -> None:
    labels = np.arange(10)
    flat = Evaluation(np.full((10, 10), 0.1, np.float32), labels, labels, 2.3, (), 1.0)
    assert (flat.top1, flat.top5) == (0.1, 0.5)


def test_training_images_grow_in_a_line_and_by_whole_steps() -> None:
    recipe = Recipe(epochs=5, grow_from=0.5, grow_to=1.0)
    assert [recipe.image_at(epoch, (64, 128)) for epoch in range(5)] == [
        (32, 64), (40, 80), (48, 96), (56, 112), (64, 128),
    ]  # fmt: skip
    assert Recipe(grow_from=0.1).image_at(0, (32, 32), smallest=17) == (17, 17)
    assert Recipe(grow_from=1.0, grow_to=1.0).image_at(3, (67, 101)) == (67, 101)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"epochs": 0}, "--epochs must be at least 1, not 0."),
        ({"batch_size": 1}, "--batch-size must be at least 2"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"lr": float("nan")}, "--lr must be above 0 and at most 1e\\+30, not nan"),
        ({"lr": 1e38}, r"--lr must be above 0 and at most 1e\+30, not 1e\+38"),
        ({"drop_path": 1.0}, r"--drop-path must be in \[0, 1\)"),
        ({"crop_scale": 0.0}, r"--crop-scale must be in \(0, 1\]"),
        ({"color_jitter": 2.0}, r"--color-jitter must be in \[0, 1\]"),
        ({"flip": 1.5}, r"--flip must be in \[0, 1\], not 1.5"),
        ({"label_smoothing": -0.1}, "--label-smoothing"),
        ({"val_every": 0}, "--val-every"),
        ({"grow_from": 0.0}, r"--grow-from must be in \(0, 1\]"),
    ],
)
def test_a_recipe_refuses_values_that_cannot_be(change: dict, text: str) -> None:
    with pytest.raises(GraftError, match=text):
        replace(Recipe(), **change)


def evaluation(probabilities: list[list[float]], labels: list[int]) -> Evaluation:
    rows = np.array(probabilities, np.float32)
    return Evaluation(rows, np.array(labels), np.arange(len(labels)), 0.0, (), 1.0)


def test_scores_are_shares_of_right_answers() -> None:
    found = evaluation([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]], [0, 1, 1])
    assert found.top1 == pytest.approx(2 / 3)
    assert found.top5 == 1.0
    assert found.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_the_fifth_place_counts_and_the_sixth_does_not() -> None:
    row = [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]
    assert evaluation([row, row], [4, 5]).top5 == 0.5


def test_answers_that_are_no_numbers_are_never_right_among_the_five() -> None:
    nan = [float("nan")] * 6
    assert evaluation([nan], [3]).top5 == 0.0


def test_evaluation_judges_every_image_once_and_leaves_the_mode_alone() -> None:
    images, labels = stripes(10)
    network = create_model("resnet_pico", num_classes=2).train()
    found = evaluate(network, ArrayImages("val", images, labels), Preprocessing((24, 24)), batch_size=4)
    assert found.indices.tolist() == list(range(10))
    assert network.training
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)


def test_labels_beyond_the_networks_classes_are_refused() -> None:
    images, labels = stripes(4)
    with pytest.raises(DataError, match="a class number 6, and resnet_pico tells 2 classes apart"):
        evaluate(
            create_model("resnet_pico", num_classes=2), ArrayImages("val", images, labels + 5), Preprocessing((24, 24))
        )


def test_runs_without_a_name_of_their_own_are_numbered(tmp_path: Path) -> None:
    folders = []
    for _ in range(3):
        run = plan_run(None, name="pico-flowers", parent=tmp_path / "runs")
        run.create({"lr": 0.5, "output": Path("elsewhere")})
        folders.append(run.path.name)
    assert folders == ["pico-flowers", "pico-flowers-2", "pico-flowers-3"]


def test_a_folder_that_holds_a_run_or_anything_else_is_refused(tmp_path: Path) -> None:
    run = plan_run(tmp_path / "run", name="")
    run.create({})
    run.append_metrics({"epoch": 1.0})
    with pytest.raises(RunError, match=r"already holds a run\. Go on with it by --resume .*, give another"):
        plan_run(run.path, name="")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(RunError, match="is not empty. Give a new or an empty folder as --output"):
        plan_run(tmp_path / "other", name="")
    assert not plan_run(tmp_path / "fresh", name="").path.exists()


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written: .*Give another --output"):
        plan_run(tmp_path / "file" / "run", name="").create({})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        plan_run(tmp_path / "run", name="").create({})


@pytest.mark.parametrize("name", ["cuda:99", "toaster", "cuda:x"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(GraftError, match=f"There is no device '{name}' here"):
        find_device(name)


def test_images_in_memory_need_no_reading_processes() -> None:
    assert workers_for("auto", in_memory=True) == 0
    assert workers_for("auto", in_memory=False) >= 1
    assert workers_for(3, in_memory=True) == 3
