"""Weights of others, as weights of ours: every tensor is used and every one of ours is filled, or nothing is."""

from collections.abc import Mapping

import torch
from torch import Tensor

from visiongraft.blocks.site import Mixer, Site
from visiongraft.errors import WeightsError, nearest
from visiongraft.families.zoo import customized, get_spec
from visiongraft.kernels.types import Grid
from visiongraft.spec import Backbone
from visiongraft.weights.faults import Comparison, checked, counters, faults_of
from visiongraft.weights.foreign import FRACTIONS, is_finite
from visiongraft.weights.forms import evident_form, other_forms
from visiongraft.weights.origins import LAYERS, layout_for
from visiongraft.weights.remedies import remedy
from visiongraft.weights.renaming import Wanted, joined, under, wanted_by


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
        WeightsError: if a tensor is missing, left over, of another shape, or holds numbers that it cannot have. The
            error names the network that the weights fit better, if the source has one.
    """
    source = str(source).lower()
    compared = laid_beside(state_dict, source=source, name=name)
    called, found, wanted = compared.spec.name, compared.found, compared.wanted
    if compared.faults.count:
        said = f"{compared.faults.in_words(found, wanted)}. {remedy(compared, source)}"
        bare = f" (Told without the prefix {compared.prefix!r} that all names have.)" if compared.prefix else ""
        raise WeightsError(f"These weights do not fit {source}'s {called}: {compared.torn_head or said}{bare}")
    return made_ours(found, wanted, called=called, prefix=compared.prefix)


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
    source = str(source).lower()
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
    given = checked(state_dict).items()
    inside = {name: each for name, each in given if not at or name.startswith(f"{at}.")}
    found = {**counters(inside, wanted), **inside}
    faults = faults_of(found, wanted)
    if faults.count:
        raise WeightsError(
            f"These weights do not fit {source}'s {called}: {faults.in_words(found, wanted)}."
            f" Check the layer's name in the network, at={at!r}, its choices, and the width and grid of its site."
        )
    return made_ours(found, wanted, called=called)


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
    compared = laid_beside(state_dict, source=source, name=name)
    spec = compared.spec
    asked = None if image is None else spec.at(image).image
    if asked is None and not compared.faults.count:
        return spec
    forms = other_forms(compared, asked)
    if len(forms) > 1:
        one, *others = [each["image"] for each in forms]
        height, width = customized(spec, image=one).image
        raise WeightsError(
            f"These weights of {spec.name} fit images of (height, width) {one} as well as"
            f" {' or '.join(map(str, others))}, since their position tables have the same shapes. Say which, as"
            f" image={one} or as `graft convert --image {height}x{width}`."
        )
    return customized(spec, **(forms[0] if forms else evident_form(compared)))


def laid_beside(state_dict: Mapping[str, Tensor], *, source: str, name: str | Backbone) -> Comparison:
    """Compare foreign weights with the network that they are for. Arguments and errors as in `convert`."""
    layout = layout_for(source, name.lower() if isinstance(name, str) else name.name)
    return Comparison.of(checked(state_dict), get_spec(name) if isinstance(name, str) else name, layout)


def made_ours(
    found: Mapping[str, Tensor], wanted: Mapping[str, Wanted], *, called: str, prefix: str = ""
) -> dict[str, Tensor]:
    """Make our tensors of foreign ones whose names and shapes are right.

    Args:
        found: the foreign tensors.
        wanted: what the network needs of them.
        called: what to call the network in an error.
        prefix: what the names of the foreign tensors have before them at the source.

    Raises:
        WeightsError: if one holds numbers that it cannot have.
    """
    shares = ((each, _sound(prefix + theirs, found[theirs], called)) for theirs, each in wanted.items())
    return joined((each.ours, each.take(tensor)) for each, tensor in shares)


_INTEGERS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_AGAIN = "The file is damaged, or its training had diverged: take it from its source again."


def _sound(name: str, tensor: Tensor, called: str) -> Tensor:
    if tensor.is_meta:
        return tensor
    said = f"{name!r} of these weights for {called}"
    if name.endswith("num_batches_tracked"):
        if tensor.dtype not in FRACTIONS | _INTEGERS or not bool(((tensor >= 0) & (tensor % 1 == 0)).all()):
            raise WeightsError(
                f"{said} counts batches, and is {tensor.item()} ({tensor.dtype}) instead of a whole number of at least"
                " 0. Set it to torch.tensor(0): what comes out does not depend on it."
            )
        return tensor.to(torch.int64)
    if tensor.dtype not in FRACTIONS:
        raise WeightsError(
            f"{said} holds numbers of {tensor.dtype}, and float16, bfloat16, float32 or float64 was expected. If they"
            " were quantised, take the weights of before."
        )
    if not is_finite(tensor):
        raise WeightsError(f"{said} holds numbers that are not finite. {_AGAIN}")
    if name.endswith("running_var") and bool((tensor < 0).any()):
        raise WeightsError(f"{said} holds variances, and some of them are below 0. {_AGAIN}")
    return tensor
