"""What docs/listings.md says of the public listings is the case, and is not the case of the networks of the papers."""

from math import log

import pytest
import torch
from torch import Tensor, nn

from visiongraft.blocks.bottleneck import Bottleneck
from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mixers import ContextualTransformer, GridAttention, split_heads
from visiongraft.blocks.site import Mixer, Site
from visiongraft.errors import SpecError
from visiongraft.families.zoo import get_spec, list_models

SITE = Site(32, 32, 1, (7, 9))


def built(mixer: Mixer, site: Site = SITE) -> nn.Module:
    torch.manual_seed(0)
    return mixer.build(site).eval()


def energies(layer: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Give the two terms of the listing's logits, (b, n, l, l), from the layer's own parts."""
    query, key, _ = split_heads(layer.qkv(maps), layer.heads)
    (place,) = layer.positions(tuple(maps.shape[-2:]))
    place = place.unflatten(1, (layer.heads, -1)).transpose(0, 1)  # n l d
    return query @ key.transpose(-2, -1), place @ query.transpose(-2, -1)


def changed_cells(layer: nn.Module, cell: tuple[int, int]) -> Tensor:
    """Tell which cells of the output change with one cell of the input: (h, w)."""
    maps = torch.randn(1, 32, 7, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    other = maps.clone()
    other[:, :, cell[0], cell[1]] += 1
    with torch.no_grad():
        return (layer.double()(maps) != layer.double()(other)).any(dim=1)[0]


def silence_content(layer: nn.Module, rows: slice) -> None:
    """Make queries, or keys, the same vector everywhere: what is left of them is their bias."""
    with torch.no_grad():
        layer.qkv.weight[rows] = 0


def test_the_listings_position_term_cancels_where_all_queries_are_alike() -> None:
    layer = built(GridAttention(4, position="listing"))
    silence_content(layer, slice(0, 32))
    maps = torch.randn(2, 32, 7, 9)
    with torch.no_grad():
        before = layer(maps)
        nn.init.normal_(layer.positions.height, std=3)
        assert energies(layer, maps)[1].abs().max() > 1
        torch.testing.assert_close(layer(maps), before)
        paper = built(GridAttention(4))
        nn.init.normal_(paper.qkv.weight)
        paper.qkv.weight[:32, 1:] = 0  # its queries have no bias, so the first feature is one everywhere
        maps[:, 0] = 1
        before = paper(maps)
        nn.init.normal_(paper.positions.height, std=3)
        assert (paper(maps) - before).abs().max() > 1e-2


def test_in_the_listing_it_never_counts_where_the_key_lies() -> None:
    """A row of position logits is a function of the queries' contents: cells with the same content get the same."""
    layer = built(GridAttention(4, position="listing"))
    maps = torch.randn(1, 32, 7, 9)
    maps[:, :, 6, 8] = maps[:, :, 0, 1]
    with torch.no_grad():
        content, position = (each.unflatten(3, (7, 9)) for each in energies(layer, maps))
        for logits in (content, position):
            torch.testing.assert_close(logits[..., 6, 8], logits[..., 0, 1])


def test_the_listings_attention_starts_nearly_one_hot_and_the_papers_nearly_uniform() -> None:
    """At 512 channels, 4 heads and 14x14 cells, on maps of unit variance."""
    site = Site(512, 512, 1, (14, 14))
    maps = torch.randn(2, 512, 14, 14, generator=torch.Generator().manual_seed(2))
    listing, paper = built(GridAttention(4, position="listing"), site), built(GridAttention(4), site)
    with torch.no_grad():
        content, position = energies(listing, maps)
        shares = (content + position).softmax(-1)
        assert content.std() == pytest.approx(3.8, abs=0.2)
        assert position.std() == pytest.approx(9.2, abs=0.3)
        assert shares.amax(-1).mean() == pytest.approx(0.80, abs=0.02)
        assert -(shares * shares.clamp(min=1e-30).log()).sum(-1).mean() == pytest.approx(0.56, abs=0.06)
        assert log(14 * 14) == pytest.approx(5.28, abs=0.01)
        query, key, _ = split_heads(paper.qkv(maps), 4)
        papers = (query * 128**-0.5 @ key.transpose(-2, -1)).softmax(-1)
        assert papers.amax(-1).mean() < 0.02


def test_the_table_called_rel_h_follows_the_columns_and_is_resized_for_other_grids() -> None:
    layer = built(GridAttention(4, position="listing"))
    assert layer.positions.height.shape == (7, 32)
    assert layer.positions.width.shape == (9, 32)
    assert layer(torch.randn(1, 32, 5, 12)).shape == (1, 32, 5, 12)


def test_in_the_listings_contextual_layer_one_cell_changes_all_and_in_the_papers_its_neighbourhood() -> None:
    assert changed_cells(built(SimplifiedContextualTransformer(), SITE), (0, 0)).all()
    # The gate of the paper's operator sees the mean of the map, and its kernels are normalised over the map. What is
    # local is what they gate and what they filter.
    paper = built(ContextualTransformer())
    nn.init.zeros_(paper.gate[-1].weight)
    paper.kernels[-1] = nn.Identity()
    changed = changed_cells(paper, (0, 0)).nonzero()
    assert changed.amax().item() == 1  # keys and values both come from 3x3 cells


def test_in_the_listings_contextual_layer_no_value_leaves_its_cell() -> None:
    layer = built(SimplifiedContextualTransformer())
    layer.key.register_forward_hook(lambda _, __, found: torch.zeros_like(found))
    layer.weights.register_forward_hook(lambda _, __, found: torch.zeros_like(found))  # the same share for every cell
    assert changed_cells(layer, (3, 4)).nonzero().tolist() == [[3, 4]]


def test_the_listings_dynamic_context_fades_as_the_map_grows() -> None:
    layer = built(SimplifiedContextualTransformer())
    layer.key.register_forward_hook(lambda _, __, found: torch.zeros_like(found))
    with torch.no_grad():
        sizes = [layer(torch.randn(1, 32, side, side)).abs().mean() for side in (4, 8, 16, 32)]
    assert all(small > 3 * large for small, large in zip(sizes, sizes[1:], strict=False))


def test_eight_ninths_of_the_listings_last_convolution_do_nothing_that_one_ninth_could_not() -> None:
    layer = built(SimplifiedContextualTransformer())
    nn.init.normal_(layer.weights[3].weight)
    nn.init.normal_(layer.weights[3].bias)
    maps = torch.randn(1, 32, 7, 9)
    with torch.no_grad():
        before = layer(maps)
        for each in (layer.weights[3].weight, layer.weights[3].bias):
            each.copy_(each.unflatten(0, (-1, 9)).mean(1, keepdim=True).expand(-1, 9, *each.shape[1:]).flatten(0, 1))
        torch.testing.assert_close(layer(maps), before)


def test_only_networks_whose_name_says_so_are_the_listings() -> None:
    for name in list_models():
        blocks = [block for stage in get_spec(name).stages for block in stage.blocks if isinstance(block, Bottleneck)]
        words = {block.mixer for block in blocks} | {block.shortcut for block in blocks}
        odd = "conv_bias" in words or any(
            isinstance(word, SimplifiedContextualTransformer) or getattr(word, "position", "") == "listing"
            for word in words
        )
        assert odd == ("listing" in name), name


def test_a_contextual_layer_that_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(SpecError, match="keeps the width: 16 came in, 32 is wanted"):
        SimplifiedContextualTransformer().build(Site(16, 32, 1, (7, 7)))
    with pytest.raises(SpecError, match="needs an even width, not 15"):
        SimplifiedContextualTransformer().build(Site(15, 15, 1, (7, 7)))
