"""Weights of networks that libraries build: published ones, and those of files of ours and of the library's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from visiongraft.errors import UnknownModel, WeightsError
from visiongraft.kernels.types import Grid
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone
from visiongraft.surgery.foreign import Foreign, Grafted, open_door
from visiongraft.surgery.network import ForeignNetwork, body_of, build, build_empty, fill
from visiongraft.weights import store
from visiongraft.weights.adapt import classifier_of
from visiongraft.weights.foreign import read_state_dict
from visiongraft.weights.imagenet import IMAGENET, imagenet_classes
from visiongraft.weights.of_torchvision import as_built, preprocessing_of_file, publication_of_torchvision
from visiongraft.weights.paths import path_of
from visiongraft.weights.publication import Keeping, Publisher
from visiongraft.weights.store import Trained

PUBLISHERS: dict[str, Publisher] = {"torchvision": publication_of_torchvision}
"""Who gives the published weights of a library's networks. Doors add theirs."""


def source_and_tag(name: str) -> tuple[str, str]:
    """Take apart the name of a library's network with a tag of weights or without: "timm:resnet50.a1_in1k"."""
    source, _, tag = name.partition(".")
    return source, tag


def load_published(name: str, *, image: int | Grid | None, keeping: Keeping) -> Trained:
    """Give a network of a library with weights that the library publishes, in eval mode.

    Args:
        name: as "torchvision:resnet50", for the library's default, or with a tag.
        image: native size in pixels; by default the one that the weights are tested at.
        keeping: where files are kept.

    Raises:
        UnknownModel: if there is no such network, or there are no such weights.
        WeightsError: if they cannot be fetched, or do not fit.
        MissingExtra: if the library is not installed.
    """
    source, tag = source_and_tag(name)
    library = Foreign(source).source.partition(":")[0]  # which refuses what names no network
    open_door(library)
    if library not in PUBLISHERS:
        raise UnknownModel(f"Nobody publishes weights of {source}. Give a file of yours.")
    found = PUBLISHERS[library](source, tag, keeping)
    spec = found.spec if image is None else found.spec.at(image)
    trained = read_weights_of_others(found.file, spec)
    scores = found.scores if spec.image == found.spec.image else {}
    return replace(trained, preprocessing=found.preprocessing.at(spec.image), scores=scores)


def read_weights_of_others(path: str | Path, spec: Foreign) -> Trained:
    """Read a weight file for a network that a library builds: one of ours, or a checkpoint of that library.

    Args:
        path: the file.
        spec: the network; how many classes it has follows from the weights, and its image size is used.

    Raises:
        WeightsError: if the file is missing, damaged, or of another network.
    """
    path = path_of(path)
    if store.is_ours(path):
        trained = store.read(path, image=spec.image)
        found = trained.network.spec
        base = found.base if isinstance(found, Grafted) else found
        if isinstance(base, Backbone) or base.source != spec.source:
            raise WeightsError(f"{path} holds weights of {found.name}, and {spec.source} was asked for.")
        return trained
    foreign = read_state_dict(path)
    of_torchvision = spec.source.startswith("torchvision:")
    tensors = as_built(spec.source, foreign.tensors) if of_torchvision else foreign.tensors
    last = f"{classifier_of(body_of(build_empty(spec)), spec.num_classes)}.weight"
    if last not in tensors:
        raise WeightsError(f"{path} holds no {last!r}, so it is not of {spec.source}.")
    spec = replace(spec, num_classes=tensors[last].shape[0])
    network = build(spec)
    assert isinstance(network, ForeignNetwork)
    own = network.body.state_dict()
    odd = sorted(name for name in own.keys() | tensors.keys() if _differ(own, tensors, name))
    if odd:
        raise WeightsError(
            f"{path} does not fit {spec.source}: {odd[0]!r} is missing, left over, or of another shape."
        )
    fill(network, tensors)
    classes = imagenet_classes() if spec.num_classes == IMAGENET else ()
    known = preprocessing_of_file(spec.source, path.name) if of_torchvision else None
    return Trained(network.eval(), (known or Preprocessing()).at(spec.image), classes)


def _differ(own: Mapping[str, Tensor], found: Mapping[str, Tensor], name: str) -> bool:
    return name not in own or name not in found or own[name].shape != found[name].shape
