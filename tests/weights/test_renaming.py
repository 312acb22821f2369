"""The complete map from a source's names to ours follows from a spec and a few tables."""

import torch
from torch import Tensor

import visiongraft as vg
from visiongraft.weights.renaming import Changed, HeadsOutermost, Layout, Shape, joined, under, wanted_tensors

SPEC = vg.Backbone(
    "tiny", vg.SmallStem(8), (vg.Stage(32, 2, (vg.Bottleneck(mixer=vg.GridAttention(heads=2)),)),), vg.Head(3)
)

APART = Layout(
    stem=lambda _: {"conv1": "0", "bn1": "1"},
    block=lambda stage, block: f"layer{stage + 1}.{block}",
    words={
        vg.Bottleneck: lambda _, __: {
            **{"conv1": "reduce", "bn1": "norm1", "bn2": "norm2", "conv3": "expand", "bn3": "norm3"},
            **{"short.0": "shortcut.0", "short.1": "shortcut.1", "table_h": "mixer.positions.height"},
            **{"table_w": "mixer.positions.width", ("query", "key", "value"): "mixer.qkv"},
        }
    },
    head=lambda _: {"fc": "classifier"},
)
"""An imagined source that has queries, keys and values apart."""


def made_of(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    wanted = wanted_tensors(SPEC, APART)
    assert weights.keys() == wanted.keys()
    return joined((each.ours, each.take(weights[theirs])) for theirs, each in wanted.items())


def test_several_foreign_tensors_join_into_one_of_ours_in_the_order_of_the_table() -> None:
    shapes = {theirs: each.foreign_shape for theirs, each in wanted_tensors(SPEC, APART).items()}
    assert {name: shapes[f"layer1.0.{name}.weight"] for name in ("query", "key", "value")} == {
        "query": (8, 8, 1, 1), "key": (8, 8, 1, 1), "value": (8, 8, 1, 1),
    }  # fmt: skip
    weights = {theirs: torch.randn(shape) for theirs, shape in shapes.items()}
    ours = made_of(dict(reversed(weights.items())))  # the order of the file does not count
    vg.create_model(SPEC).load_state_dict(ours, strict=True)
    three = [weights[f"layer1.0.{name}.weight"] for name in ("query", "key", "value")]
    assert torch.equal(ours["stages.0.0.mixer.qkv.weight"], torch.cat(three))
    alone = ours["stages.0.0.reduce.weight"]
    assert alone.data_ptr() == weights["layer1.0.conv1.weight"].data_ptr()  # what is its only share is not copied


def test_a_change_is_what_each_share_undergoes() -> None:
    class Doubled:
        def shape(self, ours: Shape) -> Shape:
            return ours

        def apply(self, tensor: Tensor, ours: Shape) -> Tensor:
            assert tuple(tensor.shape) == ours == (8, 8, 1, 1)
            return 2 * tensor

    def words(*_: object) -> dict[object, object]:
        table = APART.words[vg.Bottleneck](*_)
        return {key: Changed("mixer.qkv", Doubled()) if to == "mixer.qkv" else to for key, to in table.items()}

    doubled = Layout(APART.stem, APART.block, {vg.Bottleneck: words}, APART.head)
    wanted = wanted_tensors(SPEC, doubled)
    weights = {theirs: torch.ones(each.foreign_shape) for theirs, each in wanted.items()}
    ours = joined((each.ours, each.take(weights[theirs])) for theirs, each in wanted.items())
    assert ours["stages.0.0.mixer.qkv.weight"].shape == (24, 8, 1, 1)
    assert ours["stages.0.0.mixer.qkv.weight"].unique().tolist() == [2.0]


def test_names_that_join_lie_inside_a_module_like_all_others() -> None:
    change = HeadsOutermost(8)
    found = under("theirs", "ours", {("a", "b"): "ab", ("c",): Changed("d", change), "e": ""})
    assert found == {("theirs.a", "theirs.b"): "ours.ab", ("theirs.c",): Changed("ours.d", change), "theirs.e": "ours"}
