"""The classes of ImageNet's thousand, in the order of the logits of weights that tell them apart."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import import_module

IMAGENET = 1000
"""How many classes there are."""


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Give the names, as torchvision has them; of two with one name, each gets its number from 0 as well."""
    torchvision = import_module("torchvision.models")  # takes a second, and has no types
    names: list[str] = torchvision.ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    times = Counter(names)
    return tuple(name if times[name] == 1 else f"{name} ({index})" for index, name in enumerate(names))


def are_imagenet(classes: Sequence[str]) -> bool:
    """Tell whether these are ImageNet's classes in their usual order: by name, or as folders such as n01440764."""
    if len(classes) != IMAGENET:
        return False
    folders = all(re.fullmatch(r"n\d{8}", name) for name in classes) and list(classes) == sorted(classes)
    return folders or tuple(classes) == imagenet_classes()
