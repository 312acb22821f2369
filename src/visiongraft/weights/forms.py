"""In which form of a network foreign weights fit: its classes, its channels and its image size."""

from typing import Any

from visiongraft.families.zoo import customized
from visiongraft.kernels.types import Grid
from visiongraft.network import CLASSIFIER
from visiongraft.weights.faults import Comparison, faults_of
from visiongraft.weights.native_size import likely_images
from visiongraft.weights.renaming import wanted_tensors


def other_forms(compared: Comparison, image: Grid | None = None) -> list[dict[str, Any]]:
    """Give the arguments of `create_model` that make the network one that the weights fit; empty if none do.

    There are several only where shapes do not tell the image size. `image` is taken before all others.
    """
    if not _may_be_another_form(compared):
        return []
    spec, found = compared.spec, compared.found
    choices: dict[str, Any] = dict(evident_form(compared))
    if not any(each.ours.startswith(CLASSIFIER) for name, each in compared.wanted.items() if name in found):
        choices["num_classes"] = 0
    form = customized(spec, **choices)
    wanted = wanted_tensors(form, compared.layout)
    rest = faults_of(found, wanted)
    if rest.missing or rest.left or any(wanted[name].tables is None for name in rest.misshapen):
        return []
    images = likely_images(found, wanted, form, image=image)
    sizes = (each[0] if each[0] == each[1] else each for each in images)
    return [
        choices if each == spec.image else {**choices, "image": size} for each, size in zip(images, sizes, strict=True)
    ]


def _may_be_another_form(compared: Comparison) -> bool:
    """Tell whether nothing is at fault but what other classes, channels and image sizes change."""
    faults, wanted = compared.faults, compared.wanted
    first = next(iter(wanted))
    return (
        not faults.left
        and all(wanted[name].ours.startswith(CLASSIFIER) for name in faults.missing)
        and all(
            wanted[name].ours.startswith(CLASSIFIER) or wanted[name].tables or name == first
            for name in faults.misshapen
        )
    )


def evident_form(compared: Comparison) -> dict[str, int]:
    """Give the arguments of `create_model` that single tensors tell: the classes and the channels of the images."""
    found, wanted, spec = compared.found, compared.wanted, compared.spec
    choices: dict[str, int] = {}
    theirs = {each.ours: name for name, each in wanted.items()}
    classifier = found.get(theirs.get(f"{CLASSIFIER}.weight", ""))
    if classifier is not None and classifier.ndim and classifier.shape[0] != spec.head.num_classes:
        choices["num_classes"] = classifier.shape[0]
    first = found.get(next(iter(wanted)))
    if first is not None and first.ndim == 4 and first.shape[1] != spec.in_chans:
        choices["in_chans"] = first.shape[1]
    return choices
