"""Where foreign weights come from, and how each source names the tensors of networks and of single layers."""

from collections.abc import Callable, Mapping
from typing import Any

from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mixers import GridAttention
from visiongraft.blocks.site import Site
from visiongraft.errors import UnknownModel, WeightsError, nearest
from visiongraft.families import convmixer, cotnet, lucidrains, timm_botnet, timm_coatnet
from visiongraft.weights import author_names, listing_names, timm_names
from visiongraft.weights.renaming import Layout, Names

_RESNETS = ("resnet50", "resnet101", "resnet152", "seresnet50", "seresnet101", "seresnet152")
_CONVMIXERS = ("convmixer_1536_20", "convmixer_1024_20_ks9_p14", "convmixer_768_32")
_LISTINGS = ("botnet50_listing", "botnet50_listing_1head")
_SMALL_LISTINGS = tuple(f"{name}_small" for name in _LISTINGS)

SOURCES: Mapping[str, Mapping[str, Layout]] = {
    "timm": {
        **dict.fromkeys(_RESNETS, timm_names.RESNET),
        **dict.fromkeys(_CONVMIXERS, timm_names.CONVMIXER),
        **{spec.name: timm_names.BOTNET for spec in timm_botnet.SPECS},
        **{spec.name: timm_names.COATNET for spec in timm_coatnet.SPECS},
    },
    "convmixer": {spec.name: author_names.CONVMIXER for spec in convmixer.SPECS},
    "cotnet": {spec.name: author_names.COTNET for spec in cotnet.PUBLISHED},
    "lucidrains": {
        **{spec.name: author_names.BOTTLE_STACK_AS_C5 for spec in lucidrains.AS_C5},
        **{spec.name: author_names.BOTTLE_STACK_AS_C3 for spec in lucidrains.AS_C3},
    },
    "leaderj1001": dict.fromkeys((*_LISTINGS, *_SMALL_LISTINGS), listing_names.BOTNET),
    "pprp": dict.fromkeys(_SMALL_LISTINGS, listing_names.BOTNET),
}
"""Where weights come from, and how each names the tensors of each network of the zoo that it has weights for."""

LAYERS: Mapping[str, Mapping[type, Callable[[Any, Site], Names]]] = {
    "leaderj1001": {GridAttention: listing_names.attention},
    "pprp": {GridAttention: listing_names.attention},
    "external-attention": {SimplifiedContextualTransformer: listing_names.contextual_transformer},
}
"""Where weights of single layers come from, and how each names the parts of each layer, by our word for it."""


def layout_for(source: str, network: str) -> Layout:
    """Give how a source names the tensors of a network.

    Args:
        source: one of `SOURCES`, in capitals or not.
        network: its name in the zoo, in small letters.

    Raises:
        UnknownModel: if the source has no network of that name.
        WeightsError: if there is no such source.
    """
    source = str(source).lower()
    layouts = SOURCES.get(source)
    if layouts is None:
        known = f"Weights come from {', '.join(map(repr, SOURCES))}, not {source!r}."
        if source in LAYERS:
            raise WeightsError(
                f"{known} That one has a layer and no network: in Python, visiongraft.convert_layer takes its weights."
            )
        raise WeightsError(f"{known}{nearest(source, SOURCES)}")
    layout = layouts.get(network)
    if layout is None:
        where = _whose(network) or nearest(network, layouts) or f" There are: {_first_of(list(layouts))}."
        raise UnknownModel(f"No network whose weights come from {source} is named {network!r}.{where}")
    return layout


def sources_of(network: str) -> list[str]:
    """Give where weights of a network come from; empty for nowhere."""
    return [source for source, layouts in SOURCES.items() if network in layouts]


def _whose(network: str) -> str:
    """Say from where weights of a network come, as a sentence to put into an error; empty for nowhere."""
    sources = sources_of(network)
    return f" Its weights come from {' or '.join(map(repr, sources))}." if sources else ""


def _first_of(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more of `graft list`" if rest > 0 else "")


_LISTED = 12
