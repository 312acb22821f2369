"""Weights of others, as weights of ours: every tensor is used and every one of ours is filled, or nothing is."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from visiongraft.blocks.listings import SimplifiedContextualTransformer
from visiongraft.blocks.mixers import GridAttention
from visiongraft.blocks.site import Mixer, Site
from visiongraft.errors import UnknownModel, WeightsError, nearest
from visiongraft.families import convmixer, cotnet, lucidrains, timm_botnet, timm_coatnet
from visiongraft.families.zoo import customized, get_spec
from visiongraft.kernels.types import Grid
from visiongraft.network import CLASSIFIER
from visiongraft.spec import Backbone
from visiongraft.weights import author_names, listing_names, timm_names
from visiongraft.weights.faults import Faults, checked, counters, faults_of, learnt, shape_of
from visiongraft.weights.native_size import LARGEST_IMAGE, likely_images
from visiongraft.weights.prefixes import part_of, place_of, wrapper_of
from visiongraft.weights.renaming import Layout, Names, Wanted, joined, under, wanted_by, wanted_tensors
from visiongraft.weights.resemblance import resembling

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


def convert(state_dict: Mapping[str, Tensor], *, source: str, name: str | Backbone) -> dict[str, Tensor]:
    """Give foreign weights the names and the order of ours.

    Args:
        state_dict: tensors by the source's names.
        source: whose names these are, such as "timm": one of `SOURCES`, in capitals or not.
        name: which network of the zoo they are for, or a form of it with other classes, channels, grids or depths: a
            spec that still has its name.

    Returns:
        What `load_state_dict(strict=True)` of that network takes. Tensors that need no change are the given ones, not
        copies of them, so that a conversion needs little memory beyond the weights themselves.

    Raises:
        UnknownModel: if the source has no network of that name.
        WeightsError: if a tensor is missing, left over, of another shape, or holds what is no finite number. The
            error names the network that the weights fit better, if the source has one.
    """
    source = source.lower()
    spec, layout, tensors = _asked_for(source, name, state_dict)
    wanted = wanted_tensors(spec, layout)
    found = learnt(tensors, wanted, layout)
    faults = faults_of(found, wanted)
    if faults.count:
        remedy = _remedy(faults, found, wanted, spec, source, layout)
        raise WeightsError(
            f"These weights do not fit {source}'s {spec.name}: {faults.in_words(found, wanted)}. {remedy}"
        )
    return joined((each.ours, each.take(_finite(theirs, found[theirs], spec.name))) for theirs, each in wanted.items())


def convert_layer(
    state_dict: Mapping[str, Tensor], *, source: str, layer: Mixer, site: Site, at: str = ""
) -> dict[str, Tensor]:
    """Give the foreign weights of one layer, in whatever network it stands, the names and the order of ours.

    Args:
        state_dict: tensors by the source's names: those of the layer, or of the network that it is part of.
        source: whose layer it is, such as "external-attention": one of `LAYERS`.
        layer: what it is in our vocabulary, with its choices.
        site: its place: the width, and the grid that its position tables are for.
        at: the name of the layer in that network, such as "layer4.0.conv2.0". Tensors elsewhere are left alone.

    Returns:
        What `load_state_dict(strict=True)` of `layer.build(site)` takes.

    Raises:
        WeightsError: if the source has no such layer, or the weights are not exactly those of one.
    """
    source = source.lower()
    tables = LAYERS.get(source)
    if tables is None:
        known = ", ".join(map(repr, LAYERS))
        raise WeightsError(f"Single layers come from {known}, not {source!r}.{nearest(source, LAYERS)}")
    called = type(layer).__name__
    if type(layer) not in tables:
        known = ", ".join(word.__name__ for word in tables)
        raise WeightsError(f"The layer that comes from {source} is a {known}, not a {called}.")
    with torch.device("meta"):
        module = layer.build(site)
    wanted = wanted_by(module, under(at, "", tables[type(layer)](layer, site)), called=called)
    inside = checked({name: each for name, each in state_dict.items() if not at or name.startswith(f"{at}.")})
    found = {**counters(inside, wanted), **inside}
    faults = faults_of(found, wanted)
    if faults.count:
        raise WeightsError(
            f"These weights do not fit {source}'s {called}: {faults.in_words(found, wanted)}."
            f" Check the layer's name in the network, at={at!r}, its choices, and the width and grid of its site."
        )
    return joined((each.ours, each.take(_finite(theirs, found[theirs], called))) for theirs, each in wanted.items())


def fitting_form(
    state_dict: Mapping[str, Tensor], *, source: str, name: str | Backbone, image: int | Grid | None = None
) -> Backbone:
    """Give the form of a network that foreign weights fit: its classes, its channels and its image size are theirs.

    Args:
        state_dict: tensors by the source's names.
        source: whose names these are.
        name: which network of the zoo they are for.
        image: the native size in pixels that they are of, one number or (height, width). It is taken if the position
            tables fit it, and settles what their shapes leave open; one that they do not fit changes nothing.

    Returns:
        What `convert` takes as its name. Where no form fits, the one whose classes and channels are those that the
        weights tell: `convert` then says what is wrong.

    Raises:
        UnknownModel: if the source has no network of that name.
        WeightsError: if forms with several image sizes fit, and `image` is none of them.
        ImageSizeError: if the network cannot take `image`.
    """
    spec, layout, tensors = _asked_for(source, name, state_dict)
    wanted = wanted_tensors(spec, layout)
    found = learnt(tensors, wanted, layout)
    asked = None if image is None else spec.at(image).image
    if asked is None and not faults_of(found, wanted).count:
        return spec
    forms = _other_forms(found, wanted, spec, layout, asked)
    if len(forms) > 1:
        one, *others = [each["image"] for each in forms]
        height, width = customized(spec, image=one).image
        raise WeightsError(
            f"These weights of {spec.name} fit images of (height, width) {one} as well as"
            f" {' or '.join(map(str, others))}, since their position tables have the same shapes. Say which, as"
            f" image={one} or as `graft convert --image {height}x{width}`."
        )
    return customized(spec, **(forms[0] if forms else _evident_form(found, wanted, spec)))


def unwrapped(state_dict: Mapping[str, Tensor], *, source: str, name: str | Backbone) -> tuple[dict[str, Tensor], str]:
    """Give foreign weights by the source's own names, and what a wrapper had put before each, such as "model.".

    Arguments and errors as in `convert`, which does this by itself.
    """
    checked(state_dict)
    layout = _layout_for(source, name.lower() if isinstance(name, str) else name.name)
    prefix = wrapper_of(state_dict.keys(), layout, get_spec(name) if isinstance(name, str) else name)
    return {each.removeprefix(prefix): tensor for each, tensor in state_dict.items()}, prefix


def names_of(spec: Backbone, *, source: str, state_dict: Mapping[str, Tensor]) -> dict[str, Wanted]:
    """Give what each tensor of the source becomes, by its name there. Arguments and errors as in `convert`."""
    spec, layout, _ = _asked_for(source, spec, state_dict)
    return wanted_tensors(spec, layout)


def sources_of(name: str) -> list[str]:
    """Give where weights of a network come from, as `convert` takes it; empty for nowhere."""
    return [source for source, layouts in SOURCES.items() if name in layouts]


def check_known(*, source: str, name: str) -> None:
    """See, before a file is read, that a source has a network of that name.

    Raises:
        UnknownModel: if it has none.
        WeightsError: if there is no such source.
    """
    _layout_for(source, name.lower())


def _asked_for(
    source: str, name: str | Backbone, state_dict: Mapping[str, Tensor]
) -> tuple[Backbone, Layout, dict[str, Tensor]]:
    """Find the network that was asked for, the names of the source for it that the weights have, and these by them."""
    layout = _layout_for(source, name.lower() if isinstance(name, str) else name.name)
    tensors, _ = unwrapped(state_dict, source=source, name=name)
    spec = get_spec(name) if isinstance(name, str) else name
    return spec, layout.spoken_in(tensors.keys(), spec), tensors


def _layout_for(source: str, asked: str) -> Layout:
    source = source.lower()
    layouts = SOURCES.get(source)
    if layouts is None:
        known = f"Weights come from {', '.join(map(repr, SOURCES))}, not {source!r}."
        if source in LAYERS:
            raise WeightsError(
                f"{known} That one has a layer and no network: in Python, visiongraft.convert_layer takes its weights."
            )
        raise WeightsError(f"{known}{nearest(source, SOURCES)}")
    layout = layouts.get(asked)
    if layout is None:
        where = _whose(asked) or nearest(asked, layouts)
        raise UnknownModel(
            f"No network whose weights come from {source} is named {asked!r}.{where}"
            f" Those from {source} are for {_first_of(list(layouts))}."
        )
    return layout


def _whose(name: str) -> str:
    """Say from where weights of a network come, as a sentence to put into an error; empty for nowhere."""
    sources = sources_of(name)
    return f" Its weights come from {' or '.join(map(repr, sources))}." if sources else ""


def _first_of(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more of `graft list`" if rest > 0 else "")


_LISTED = 12


def _remedy(
    faults: Faults,
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Wanted],
    spec: Backbone,
    source: str,
    layout: Layout,
) -> str:
    if not faults.misshapen and len(faults.missing) == len(faults.left) == 1:
        theirs, other = faults.missing[0], faults.left[0]
        if wanted[theirs].fits(shape_of(found[other])):
            return f"If {other!r} is {theirs!r} by another name, rename it."
    forms = _other_forms(found, wanted, spec, layout)
    if forms:
        said = (", ".join(f"{key}={value}" for key, value in each.items()) for each in forms)
        specs = " or ".join(f"name=create_model({spec.name!r}, {each}).spec" for each in said)
        which = "; the shapes do not tell which" if len(forms) > 1 else ""
        return f"They fit another form of it: ask for {specs}{which}."
    tables = sum(wanted[name].tables is not None for name in faults.misshapen)
    if faults.count - tables > _FEW * len(wanted):
        return _resemblance(found, faults.count - tables, source, spec, layout)
    if tables == faults.count:
        return (
            f"No images of up to {LARGEST_IMAGE} pixels a side have such position tables: take them from their source"
            " again, and check which image size they are of."
        )
    return "Take them from their source again, or ask for the network that they are of."


def _resemblance(found: Mapping[str, Tensor], faults: int, source: str, spec: Backbone, layout: Layout) -> str:
    """Say which network the weights look like, of this source or of another one, or where in them one is."""
    for each in _first(source):
        better = resembling(found, SOURCES[each], below=_MUCH * min(faults, len(found)))
        if better:
            whose, where = ("", "") if each == source else (f"{each}'s ", f" from {each!r}")
            return f"These look like {whose}{' or '.join(better)} weights: ask for {better[0]!r}{where}."
    if place := place_of(found.keys(), layout, spec):
        return (
            f"Their network seems to be what {place!r} holds, among other things: give those tensors alone whose names"
            f" begin with {place + '.'!r}."
        )
    for each in _first(source):
        if part := part_of(found, SOURCES[each]):
            network, place = part
            return (
                f"These are weights of a part alone: {place!r} of {each}'s {network}. Give those of the whole network,"
                f" in which each of these names has {place + '.'!r} before it."
            )
    return "They look like no network that is known here: check where they come from."


def _first(source: str) -> list[str]:
    return [source, *(other for other in SOURCES if other != source)]


_MUCH = 0.2  # a fit with a fifth of the faults is a better one
_FEW = 0.02  # of a network's tensors: so many may be damaged in a file that is otherwise the network's own


def _other_forms(
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Wanted],
    spec: Backbone,
    layout: Layout,
    image: Grid | None = None,
) -> list[dict[str, Any]]:
    """Give the arguments of `create_model` that make the network one that the weights fit; empty if none do.

    There are several only where shapes do not tell the image size. `image` is taken before all others.
    """
    if not _may_be_another_form(faults_of(found, wanted), wanted):
        return []
    choices: dict[str, Any] = dict(_evident_form(found, wanted, spec))
    if not any(wanted[name].ours.startswith(CLASSIFIER) for name in wanted if name in found):
        choices["num_classes"] = 0
    form = customized(spec, **choices)
    wanted = wanted_tensors(form, layout)
    rest = faults_of(found, wanted)
    if rest.missing or rest.left or any(wanted[name].tables is None for name in rest.misshapen):
        return []
    images = likely_images(found, wanted, form, image=image)
    sizes = (each[0] if each[0] == each[1] else each for each in images)
    return [
        choices if each == spec.image else {**choices, "image": size} for each, size in zip(images, sizes, strict=True)
    ]


def _may_be_another_form(faults: Faults, wanted: Mapping[str, Wanted]) -> bool:
    """Tell whether nothing is at fault but what other classes, channels and image sizes change."""
    first = next(iter(wanted))
    return (
        not faults.left
        and all(wanted[name].ours.startswith(CLASSIFIER) for name in faults.missing)
        and all(
            wanted[name].ours.startswith(CLASSIFIER) or wanted[name].tables or name == first
            for name in faults.misshapen
        )
    )


def _evident_form(found: Mapping[str, Tensor], wanted: Mapping[str, Wanted], spec: Backbone) -> dict[str, int]:
    """Give the arguments of `create_model` that single tensors tell: the classes and the channels of the images."""
    choices: dict[str, int] = {}
    theirs = {each.ours: name for name, each in wanted.items()}
    classifier = found.get(theirs.get(f"{CLASSIFIER}.weight", ""))
    if classifier is not None and classifier.ndim and classifier.shape[0] != spec.head.num_classes:
        choices["num_classes"] = classifier.shape[0]
    first = found.get(next(iter(wanted)))
    if first is not None and first.ndim == 4 and first.shape[1] != spec.in_chans:
        choices["in_chans"] = first.shape[1]
    return choices


def _finite(name: str, tensor: Tensor, called: str) -> Tensor:
    if not tensor.is_floating_point() and not name.endswith("num_batches_tracked"):
        raise WeightsError(
            f"{name!r} of these weights for {called} holds no fractions but {tensor.dtype}, as after quantisation."
            " Take the weights of before."
        )
    if tensor.is_floating_point() and not tensor.is_meta and not bool(torch.isfinite(tensor).all()):
        raise WeightsError(
            f"{name!r} of these weights for {called} holds numbers that are not finite."
            " The file is damaged, or its training had diverged: take it from its source again."
        )
    return tensor
