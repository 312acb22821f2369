"""With the same weights, a layer of ours and the one that a listing has are the same function."""

import pytest
import torch
from torch import nn

from tests.parity.listings import Attention, ContextualAttention
from tests.parity.originals import difference, perturbed
from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mixers import GridAttention
from visiongraft.blocks.site import Mixer, Site
from visiongraft.weights.convert import convert_layer

GRID = (6, 9)


def attention(heads: int) -> tuple[nn.Module, Mixer]:
    return Attention(32, heads, *GRID), GridAttention(heads, position="listing")


def contextual(groups: int, kernel: int = 3) -> tuple[nn.Module, Mixer]:
    return ContextualAttention(32, groups, kernel), SimplifiedContextualTransformer(kernel, groups)


@pytest.mark.parametrize(
    ("source", "pair"),
    [
        ("leaderj1001", attention(heads=1)),
        ("pprp", attention(heads=4)),
        ("external-attention", contextual(groups=4)),
        ("external-attention", contextual(groups=4, kernel=5)),
        ("external-attention", contextual(groups=1)),
    ],
)
def test_a_listings_layer_has_the_same_outputs_gradients_and_statistics_here(
    source: str, pair: tuple[nn.Module, Mixer]
) -> None:
    torch.manual_seed(0)
    theirs, layer = perturbed(pair[0]).double(), pair[1]
    site = Site(32, 32, 1, GRID)
    ours = layer.build(site).double()
    ours.load_state_dict(convert_layer(theirs.state_dict(), source=source, layer=layer, site=site))
    maps = torch.randn(3, 32, *GRID, dtype=torch.float64)
    for mode in (False, True):
        wanted, found = theirs.train(mode)(maps), ours.train(mode)(maps)
        assert difference(found.detach(), wanted.detach()) <= 1e-9
    for outputs in (wanted, found):
        (outputs * torch.linspace(-1, 1, outputs.numel(), dtype=torch.float64).view_as(outputs)).sum().backward()
    state = theirs.state_dict()
    state.update({name: each.grad for name, each in theirs.named_parameters()})
    slopes = convert_layer(state, source=source, layer=layer, site=site)
    for name, each in ours.named_parameters():
        torch.testing.assert_close(each.grad, slopes[name])
    for name, each in ours.named_buffers():
        torch.testing.assert_close(each, slopes.get(name, each))
