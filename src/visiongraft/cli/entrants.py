"""What `graft compare` compares: networks by their names, grafted forms of the first one, and what they begin with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from visiongraft.cli.beginning import begin
from visiongraft.cli.grafting import grafted
from visiongraft.cli.groups import Source
from visiongraft.cli.values import check_takes_rgb
from visiongraft.compare.plan import check_question
from visiongraft.compare.presets import get_preset
from visiongraft.errors import GraftError, nearest
from visiongraft.families.zoo import customized
from visiongraft.kernels.types import Grid
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.foreign import Blueprint
from visiongraft.surgery.network import check_takes
from visiongraft.surgery.words import Graft
from visiongraft.weights.store import Trained

MODELS = "resnet_pico,botnet_pico,cotnet_pico,coatnet_pico"
"""What is compared where nobody says."""


@dataclass(frozen=True)
class Entrants:
    """What is compared.

    Args:
        specs: the networks.
        preprocessing: what images go through, as the weights of the first network want it.
        starts: the weights with which networks begin, by the network's name; none for random ones.
    """

    specs: Sequence[Blueprint]
    preprocessing: Preprocessing = Preprocessing()
    starts: Mapping[str, Trained] = field(default_factory=dict)


def entrants_of_preset(preset: str, size: Grid | None, variants: Sequence[tuple[Graft, ...]]) -> Entrants:
    """Give the networks of a paper's ablation, and grafted forms of the first; all begin at random."""
    specs: list[Blueprint] = [customized(spec, image=size) for spec in get_preset(preset).specs]
    specs[1:1] = [grafted(specs[0], each) for each in variants]
    return Entrants(specs)


def entrants_named(models: str, size: Grid | None, variants: Sequence[tuple[Graft, ...]], source: Source) -> Entrants:
    """Give networks by their names, and grafted forms of the first one, which begin with the same weights.

    Args:
        models: names, with commas between them.
        size: of the images; None for each network's own.
        variants: what is grafted into the first one, once for each form.
        source: of the weights.

    Raises:
        GraftError: if one cannot be had, a file is to be that of several networks, or weights want other images.
    """
    names = [name.strip() for name in models.split(",") if name.strip()]
    if source.weights is not None and len(names) > 1:
        raise GraftError(
            f"--weights {source.weights} is of one network, and --models names {len(names)}. Name that one, or use"
            " --pretrained, by which each begins with its own."
        )
    begun = [begin(name, size, source) for name in names]
    if not begun:
        return Entrants(())
    first, *others = begun
    odd = [each.spec.name for each in others if each.preprocessing.at((1, 1)) != first.preprocessing.at((1, 1))]
    if odd:
        raise GraftError(
            f"Weights of {odd[0]} and of {first.spec.name} want images that are prepared differently, and a comparison"
            " shows all networks the same. Compare networks whose weights do not."
        )
    forms = [replace(first, spec=grafted(first.spec, each)) for each in variants]
    entrants = [first, *forms, *others]
    starts = {each.spec.name: each.weights for each in entrants if each.weights is not None}
    return Entrants([each.spec for each in entrants], first.preprocessing, starts)


def check_entrants(found: Entrants, seeds: int) -> None:
    """Refuse what cannot be compared.

    Raises:
        GraftError: if there are too few, two with one name, or one that takes no images in colour.
        ImageSizeError: if one cannot take the images.
    """
    check_question([spec.name for spec in found.specs], seeds)
    for spec in found.specs:
        check_takes_rgb(spec)
        check_takes(spec, spec.image)


def reference_among(against: str | None, specs: Sequence[Blueprint]) -> str:
    """Give the name of the network that the others are compared with.

    Raises:
        GraftError: if it is not among them.
    """
    names = [spec.name for spec in specs]
    if against is None:
        return names[0]
    if against.lower() not in names:
        raise GraftError(
            f"--against names {against!r}, which is not compared.{nearest(against, names)} Name one of"
            f" {', '.join(names)}."
        )
    return against.lower()
