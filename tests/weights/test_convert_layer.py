"""Weights of one layer of a listing are taken whole or refused in one line that says what to do."""

import pytest
import torch
from torch import Tensor, nn

import visiongraft as vg
from visiongraft.errors import WeightsError
from visiongraft.weights.convert import convert
from visiongraft.weights.renaming import LineOfHeads

LAYER = vg.GridAttention(2, position="listing")
SITE = vg.Site(8, 8, 1, (2, 3))
COT = vg.SimplifiedContextualTransformer(groups=4)


def foreign(at: str = "") -> dict[str, Tensor]:
    """Give random weights of the listing's attention, by the listing's names."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"rel_h": (1, 2, 4, 1, 3), "rel_w": (1, 2, 4, 2, 1)}
    for name in ("query", "key", "value"):
        shapes |= {f"{name}.weight": (8, 8, 1, 1), f"{name}.bias": (8,)}
    return {at + name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_a_layer_is_taken_out_of_the_network_that_it_stands_in() -> None:
    around = foreign("model.9.attn.") | {"model.9.attention.weight": torch.ones(1), "model.9.anchors": torch.ones(2)}
    alone = vg.convert_layer(foreign(), source="leaderj1001", layer=LAYER, site=SITE)
    inside = vg.convert_layer(around, source="leaderj1001", layer=LAYER, site=SITE, at="model.9.attn")
    assert inside.keys() == alone.keys()
    assert all(torch.equal(inside[name], each) for name, each in alone.items())
    LAYER.build(SITE).load_state_dict(inside, strict=True)


def test_vectors_of_rows_and_columns_lie_place_by_place_with_the_heads_side_by_side() -> None:
    ours = vg.convert_layer(foreign(), source="pprp", layer=LAYER, site=SITE)
    theirs = foreign()
    for row in range(2):
        assert torch.equal(ours["positions.height"][row], theirs["rel_w"][0, :, :, row, 0].flatten())
    for column in range(3):
        assert torch.equal(ours["positions.width"][column], theirs["rel_h"][0, :, :, 0, column].flatten())
    assert LineOfHeads(2, "rows").shape((2, 8)) == (1, 2, 4, 2, 1)


def test_the_single_head_of_the_older_listing_may_lack_its_axis() -> None:
    layer = vg.GridAttention(1, position="listing")
    older = foreign() | {"rel_h": torch.randn(1, 8, 1, 3), "rel_w": torch.randn(1, 8, 2, 1)}
    newer = older | {name: older[name][None] for name in ("rel_h", "rel_w")}
    one, other = (vg.convert_layer(each, source="leaderj1001", layer=layer, site=SITE) for each in (older, newer))
    assert all(torch.equal(one[name], each) for name, each in other.items())


def test_what_takes_other_peoples_layers_needs_no_network() -> None:
    with pytest.raises(WeightsError, match="a layer and no network: in Python, visiongraft.convert_layer takes its"):
        convert({}, source="external-attention", name="cotnet50_listing_groups4")


@pytest.mark.parametrize(
    ("weights", "choices", "text"),
    [
        (foreign(), {"source": "pprb"}, "not 'pprb'. Did you mean 'pprp'?"),
        (foreign(), {"layer": COT}, "that comes from leaderj1001 is a GridAttention, not a Simplified"),
        (foreign(), {"layer": vg.GridAttention(2)}, "GridAttention(position='listing'), and this is 'relative'"),
        (foreign() | {"gamma": torch.ones(1)}, {}, "leaderj1001's GridAttention: 'gamma' is left over. Check the"),
        (foreign("attn."), {"at": "atn"}, "8 tensors, such as 'atn.query.weight', are missing. Check the layer"),
        (foreign(), {"site": vg.Site(8, 8, 1, (2, 4))}, "'rel_h' has the shape (1, 2, 4, 1, 3) instead of (1, 2, 4, "),
        (foreign() | {"key.bias": torch.full((8,), float("inf"))}, {}, "'key.bias' of these weights for Grid"),
        (foreign() | {"key": {}}, {}, "'key' is of type dict."),
        (nn.Linear(2, 2), {"at": "attn"}, "and this is of type Linear. Give its state_dict()."),
        ({0: torch.ones(1)}, {"at": "attn"}, "holds tensors by name, and 0 is none. Give the state_dict() itself."),
    ],
)  # fmt: skip
def test_weights_that_are_not_those_of_the_layer_are_refused(
    weights: dict[str, Tensor], choices: dict[str, object], text: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        vg.convert_layer(weights, **{"source": "leaderj1001", "layer": LAYER, "site": SITE} | choices)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
