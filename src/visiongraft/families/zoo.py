"""The zoo by name."""

import operator
from dataclasses import replace
from fnmatch import fnmatchcase

from visiongraft.errors import SpecError, UnknownModel, nearest
from visiongraft.families import (
    botnet,
    coatnet,
    convmixer,
    cotnet,
    listings,
    lucidrains,
    resnet,
    timm_botnet,
    timm_coatnet,
)
from visiongraft.kernels.types import Grid
from visiongraft.spec import Backbone, small_image

FAMILIES: dict[str, tuple[Backbone, ...]] = {
    "resnet": resnet.SPECS,
    "botnet": (*botnet.SPECS, *timm_botnet.SPECS, *lucidrains.SPECS),
    "coatnet": (*coatnet.SPECS, *timm_coatnet.SPECS),
    "convmixer": convmixer.SPECS,
    "cotnet": cotnet.SPECS,
    "listings": listings.SPECS,
}
"""The specs of each family, in the order of the papers' tables; then those of timm, under its names; last, what public
listings have instead of the papers' networks."""

_SPECS = {spec.name: spec for specs in FAMILIES.values() for spec in specs}


def list_models(pattern: str = "*") -> list[str]:
    """List the names of the zoo that match a pattern.

    Args:
        pattern: a name with * for any letters and ? for any one, such as "cot*".

    >>> list_models("cot*50")
    ['cotnet50', 'cotnext50']
    """
    return [name for name in _SPECS if fnmatchcase(name, pattern.lower())]


def get_spec(name: str) -> Backbone:
    """Give the network called `name`, as a value.

    Args:
        name: one of `list_models`; with "_small" behind it, its form for images of 32 pixels or so.

    Raises:
        UnknownModel: if there is none; the error suggests near names.
    """
    if not isinstance(name, str):
        raise UnknownModel(f"A network is told by its name, or as a Backbone, not by a {type(name).__name__}.")
    spec = _SPECS.get(name.lower().removesuffix("_small"))
    if spec is not None and name.lower().endswith("_small"):
        return small_image(spec)
    if spec is None:
        raise UnknownModel(f"No network is named {name!r}.{nearest(name, _SPECS)} `graft list` shows all.")
    return spec


def customized(
    model: str | Backbone,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    image: int | Grid | None = None,
    drop_path: float | None = None,
    dropout: float | None = None,
) -> Backbone:
    """Give the spec that `create_model` builds from the same arguments. Those that are None leave what the spec says.

    Raises:
        UnknownModel: if no network has that name.
        SpecError: if the parts do not fit together, or a number is none.
    """
    num_classes, in_chans = _whole("num_classes", num_classes), _whole("in_chans", in_chans)
    for name, rate in (("drop_path", drop_path), ("dropout", dropout)):
        if isinstance(rate, bool) or not isinstance(rate, int | float | None):
            raise SpecError(f"{name} is a probability in [0, 1), not {rate!r}.")
    spec = model if isinstance(model, Backbone) else get_spec(model)
    head = replace(
        spec.head,
        num_classes=spec.head.num_classes if num_classes is None else num_classes,
        dropout=spec.head.dropout if dropout is None else dropout,
    )
    spec = replace(
        spec,
        head=head,
        in_chans=spec.in_chans if in_chans is None else in_chans,
        drop_path=spec.drop_path if drop_path is None else drop_path,
    )
    return spec if image is None else spec.at(image)


def _whole(name: str, value: object) -> int | None:
    """Give a whole number of any type as Python's, and None as it is."""
    try:
        if not isinstance(value, bool):
            return None if value is None else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise SpecError(f"{name} is a whole number, not {value!r}.")
