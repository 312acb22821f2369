"""Foreign weights are taken whole or refused in one line that says what to do."""

import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import visiongraft as vg
from tests.weights.shapes import numbers
from visiongraft.blocks.stems import SmallStem
from visiongraft.errors import UnknownModel, WeightsError
from visiongraft.families.zoo import get_spec
from visiongraft.spec import Backbone, Stage
from visiongraft.weights.convert import convert
from visiongraft.weights.models import create_model
from visiongraft.weights.origins import SOURCES
from visiongraft.weights.renaming import HeadsOutermost, OffsetsInRows, OfUnscaledQueries, wanted_tensors

NAME = "coatnet_nano_rw_224"
CONV = "stages.0.blocks.0.conv2_kxk.weight"


def foreign(spec: Backbone) -> dict[str, Tensor]:
    """Give random weights by timm's names; that these are timm's names is tested with timm itself, in tests/parity."""
    return numbers(spec, SOURCES["timm"][spec.name])


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return foreign(get_spec(NAME))


def test_converted_weights_load_strictly_and_survive_our_own_file(weights: dict[str, Tensor], tmp_path: Path) -> None:
    network = create_model(NAME).eval()
    network.load_state_dict(vg.convert(weights, source="timm", name=NAME), strict=True)
    again = vg.load(vg.save(network, tmp_path / "m.safetensors"))
    assert again.spec == get_spec(NAME)
    for name, each in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], each)


def test_a_form_with_other_classes_channels_and_grids_converts_by_its_spec() -> None:
    spec = create_model(NAME, num_classes=7, in_chans=1, image=(96, 160)).spec
    create_model(spec).load_state_dict(convert(foreign(spec), source="timm", name=spec))


def test_an_index_may_come_along_and_a_linear_layer_may_be_a_convolution_of_one_cell(
    weights: dict[str, Tensor],
) -> None:
    index = {"stages.2.blocks.0.attn.rel_pos.relative_position_index": torch.zeros(14**4, dtype=torch.int64)}
    flat = {name: each.flatten(1) if each.shape[2:] == (1, 1) else each for name, each in weights.items()}
    assert any(flat[name].ndim != each.ndim for name, each in weights.items())
    wanted = convert(weights, source="timm", name=NAME)
    found = convert(flat | index, source="timm", name=NAME)
    assert all(torch.equal(found[name], each) for name, each in wanted.items())


def test_counters_of_batches_may_be_missing_as_in_older_files(weights: dict[str, Tensor]) -> None:
    older = {name: each for name, each in weights.items() if not name.endswith("num_batches_tracked")}
    assert len(older) < len(weights)
    create_model(NAME).load_state_dict(convert(older, source="timm", name=NAME))


def test_a_counter_that_was_cast_along_with_the_weights_counts_again(weights: dict[str, Tensor]) -> None:
    found = convert({name: each.half() for name, each in weights.items()}, source="timm", name=NAME)
    assert {str(each.dtype) for each in found.values()} == {"torch.float16", "torch.int64"}
    assert found["stages.0.0.norm1.num_batches_tracked"] == 7


def test_queries_keys_and_values_of_each_head_are_sorted_by_kind() -> None:
    theirs = torch.tensor([f for head in (0, 1) for f in (head * 10, head * 10 + 1, head * 10 + 2)])  # head, kind
    ours = HeadsOutermost(head_dim=1).apply(theirs, (6,))
    assert ours.tolist() == [0, 10, 1, 11, 2, 12]


def test_a_row_per_offset_becomes_a_plane_per_head() -> None:
    ours = (2, 3, 5)
    change = OffsetsInRows()
    theirs = torch.arange(30).view(change.shape(ours))
    table = change.apply(theirs, ours)
    assert table[1, 2, 3] == theirs[2 * 5 + 3, 1]


def test_vectors_that_met_whole_queries_grow_where_queries_are_divided_by_the_root_of_their_channels() -> None:
    theirs, queries = torch.randn(7, 16), torch.randn(5, 16)
    ours = OfUnscaledQueries().apply(theirs, (7, 16))
    torch.testing.assert_close((queries * 16**-0.5) @ ours.T, queries @ theirs.T)


def test_conversion_leaves_what_it_was_given_and_copies_only_what_it_reorders(weights: dict[str, Tensor]) -> None:
    before = {name: each.clone() for name, each in weights.items()}
    found = convert(weights, source="timm", name=NAME)
    assert all(torch.equal(weights[name], each) for name, each in before.items())
    given = {each.data_ptr() for each in weights.values()}
    assert {
        name.rpartition(".")[0].rpartition(".")[2] for name, each in found.items() if each.data_ptr() not in given
    } == {"qkv"}


class Live(TorchDispatchMode):
    """Count the bytes of all tensors that are made, and the most that live at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        taken = {each.untyped_storage().data_ptr() for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and each.device.type == "cpu":
                storage = each.untyped_storage()
                if storage.data_ptr() not in taken | self.known:
                    self.known.add(storage.data_ptr())
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self.gone, storage.data_ptr(), storage.nbytes())
        self.most = max(self.most, self.now)
        return made

    def gone(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.now -= size


def test_conversion_needs_less_than_its_own_size_beside_the_checkpoint(weights: dict[str, Tensor]) -> None:
    size = sum(each.nbytes for each in weights.values())
    with Live() as live:
        found = convert(weights, source="timm", name=NAME)
    assert found
    assert 0.01 * size < live.most < 0.75 * size  # with the checkpoint itself, well below 2.5 times its size


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("stages.0.blocks.0.conv2_kxk", "stages.0.blocks.0.conv2"): weights[name] for name in weights}


def without(weights: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: each for name, each in weights.items() if name not in names}


SPOILT = torch.ones(512)
SPOILT[3] = float("nan")
COUNTER, VARIANCE = (f"stages.0.blocks.0.norm1.{each}" for each in ("num_batches_tracked", "running_var"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (renamed, f"{CONV!r} is missing; 'stages.0.blocks.0.conv2.weight' is left over. If 'stages.0.blocks.0.conv2."
         f"weight' is {CONV!r} by another name, rename it."),
        (lambda weights: without(weights, CONV),
         f"do not fit timm's {NAME}: {CONV!r} is missing. Take them from their source again, or ask for"),
        (lambda weights: without(weights, CONV, "norm.bias"), f"2 tensors, such as {CONV!r}, are missing."),
        (lambda weights: weights | {"ema.weight": torch.ones(1)}, f"timm's {NAME}: 'ema.weight' is left over. All"
         " of the network is there: if the rest is of a loss or a metric, give the weights without it."),
        (lambda weights: weights | {CONV: torch.ones(256, 1, 5, 5)},
         f"{CONV!r} has the shape (256, 1, 5, 5) instead of (256, 1, 3, 3). Take them from their source again"),
        (lambda weights: weights | {"norm.weight": SPOILT},
         f"'norm.weight' of these weights for {NAME} holds numbers that are not finite. The file is damaged"),
        (lambda weights: weights | {"norm.weight": torch.full((512,), 1e300, dtype=torch.float64)},
         f"'norm.weight' of these weights for {NAME} holds numbers that are not finite. The file is damaged"),
        (lambda weights: weights | {VARIANCE: -weights[VARIANCE]}, f"{VARIANCE!r} of these weights for {NAME} holds"
         " variances, and some of them are below 0. The file is damaged, or its training had diverged: take it from"),
        (lambda weights: weights | {COUNTER: torch.tensor(3.7)}, f"{COUNTER!r} of these weights for {NAME} counts"
         " batches, and is 3.700000047683716 (torch.float32) instead of a whole number of at least 0. Set it to"),
        (lambda weights: weights | {COUNTER: torch.tensor(True)}, "counts batches, and is True (torch.bool) instead"),
        (lambda weights: weights | {COUNTER: torch.tensor(2j)}, "counts batches, and is 2j (torch.complex64) instead"),
        (lambda weights: weights | {COUNTER: torch.tensor(-1)}, "counts batches, and is -1 (torch.int64) instead"),
        (lambda weights: weights | {"norm.weight": weights["norm.weight"].to(torch.float8_e4m3fn)},
         f"'norm.weight' of these weights for {NAME} holds numbers of torch.float8_e4m3fn, and float16, bfloat16,"),
        (lambda weights: {1: torch.ones(1)}, "holds tensors by name, and 1 is none. Give the state_dict() itself."),
        (lambda weights: {"state_dict": weights},
         "'state_dict' is of type dict. If this is a checkpoint with more than weights in it, give the dict"),
        (lambda weights: {name: each.numpy() for name, each in weights.items()},
         "A state dict holds tensors by name, and 'stem.conv1.weight' is a NumPy array. Give {name:"
         " torch.as_tensor(each) for name, each in STATE_DICT.items()}."),
        (lambda weights: weights | {"head.fc.weight": torch.ones(7, 512), "head.fc.bias": torch.ones(5)},
         f"These weights do not fit timm's {NAME}: 'head.fc.weight' has the shape (7, 512) and 'head.fc.bias' has the"
         " shape (5,), which are two numbers of classes. Take both from one training."),
        (lambda weights: {}, "295 tensors, such as 'stem.conv1.weight', are missing. They look like no network"),
        (lambda weights: without(weights, "head.fc.weight", "head.fc.bias"),
         f"They fit another form of it: ask for name=create_model({NAME!r}, num_classes=0).spec."),
        (lambda weights: foreign(create_model(NAME, num_classes=9, in_chans=1, image=160).spec),
         f"ask for name=create_model({NAME!r}, num_classes=9, in_chans=1, image=160).spec."),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_in_one_line_that_says_what_to_do(
    change, text: str, weights: dict[str, Tensor]
) -> None:
    with pytest.raises(WeightsError) as caught:
        convert(change(weights), source="timm", name=NAME)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", range(3))
def test_each_way_of_the_authors_to_name_a_convmixer_is_told_by_its_names(scheme: int) -> None:
    layout = SOURCES["convmixer"]["convmixer_256_8"]
    layout = (layout, *layout.others)[scheme]
    wanted = wanted_tensors(get_spec("convmixer_256_8"), layout)
    weights = numbers(get_spec("convmixer_256_8"), layout)
    found = convert(weights, source="convmixer", name="convmixer_256_8")
    assert all(
        found[each.ours] is weights[name] or torch.equal(found[each.ours], weights[name])
        for name, each in wanted.items()
    )


def test_what_is_unknown_is_answered_with_the_nearest(weights: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"Weights come from 'timm', .*not 'tim'\. Did you mean 'timm'\?"):
        convert(weights, source="tim", name=NAME)
    with pytest.raises(UnknownModel, match="No network whose weights come from timm is named 'coatnet_0_rw'. Did you"):
        convert(weights, source="timm", name="coatnet_0_rw")
    with pytest.raises(WeightsError, match="Weights come from 'timm', .*not 'none'"):
        convert(weights, source=None, name=NAME)  # type: ignore[arg-type]
    with pytest.raises(UnknownModel) as caught:
        convert(weights, source="lucidrains", name="cotnet50")
    assert str(caught.value) == (
        "No network whose weights come from lucidrains is named 'cotnet50'. Its weights come from 'cotnet'."
    )
    with pytest.raises(UnknownModel, match=r"named 'zzz'\. There are: resnet50, .* and 23 more of `graft list`\.$"):
        convert(weights, source="timm", name="zzz")


def test_the_case_of_a_source_does_not_count(weights: dict[str, Tensor]) -> None:
    assert convert(weights, source="TIMM", name=NAME.upper()).keys() == create_model(NAME).state_dict().keys()


def test_a_network_with_parts_that_a_source_does_not_name_says_which(weights: dict[str, Tensor]) -> None:
    odd = Backbone(NAME, SmallStem(8), (Stage(16, 2, (vg.Bottleneck(),)),))
    with pytest.raises(WeightsError, match="Block 0 of stage 0 of .* is a Bottleneck, which has no foreign names"):
        convert(weights, source="timm", name=odd)


def test_a_module_in_the_place_of_a_state_dict_is_told_to_give_its_own() -> None:
    with pytest.raises(WeightsError, match=r"and this is of type Linear\. Give its state_dict\(\)\.$"):
        convert(nn.Linear(2, 2), source="timm", name="coatnet_pico_rw_224")  # type: ignore[arg-type]


def test_a_path_in_the_place_of_a_state_dict_is_told_what_takes_paths() -> None:
    with pytest.raises(WeightsError, match="and this is of type str. For a file, use `graft convert`"):
        convert("mine.pth", source="timm", name="coatnet_pico_rw_224")  # type: ignore[arg-type]
