"""A weight file of others becomes one of ours."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from visiongraft.errors import WeightsError
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone
from visiongraft.weights.convert import convert, fitting_form, laid_beside
from visiongraft.weights.faults import Comparison
from visiongraft.weights.foreign import Foreign, Which, read_state_dict
from visiongraft.weights.origins import layout_for
from visiongraft.weights.sources import get_weight_set, preprocessing_of
from visiongraft.weights.store import save_tensors


@dataclass(frozen=True)
class Conversion:
    """What was done.

    Args:
        path: the file that was written.
        spec: the network, in the form that the weights are of.
        preprocessing: what images go through, as noted in the file.
        assumed: whether that is a guess: ImageNet's usual preprocessing, for want of knowledge of the source's own, or
            that of the network's first published weights, where others of them have another.
        taken: the part of the other file that the weights are from; empty where it held nothing else.
        averaged: whether these are averaged weights.
        others: further sets of weights there, which were not taken.
        prefix: what wrappers had put before every name there, such as "module."; empty where nothing was.
        params: learnt numbers.
        tensors: how many tensors were read.
        renamed: how many of them have another name now.
        rearranged: how many of them were reordered, reshaped or joined with others.
    """

    path: Path
    spec: Backbone
    preprocessing: Preprocessing
    assumed: bool
    taken: str
    averaged: bool
    others: tuple[str, ...]
    prefix: str
    params: int
    tensors: int
    renamed: int
    rearranged: int


def convert_file(
    path: Path,
    output: Path,
    *,
    source: str,
    name: str,
    which: Which = "auto",
    classes: tuple[str, ...] = (),
    image: int | Grid | None = None,
) -> Conversion:
    """Read a weight file of others and write it as one of ours, whole or not at all.

    Tensors go from the one file to the other with hardly a copy: what is in memory at one time is little more than
    the weights themselves.

    Args:
        path: a .safetensors file or a checkpoint of PyTorch.
        output: the file to write; one that is there is replaced.
        source: whose names the tensors have, as in `convert`.
        name: which network of the zoo they are of, perhaps with the tag of the published weights that they are, which
            says what images go through. The numbers of classes and channels and the native size are those of the
            weights.
        which: which weights to take where the file holds averaged ones beside the last ones.
        classes: the names of the classes, if they are known.
        image: the native size in pixels that the weights are of, one number or (height, width), where their shapes
            leave it open; by default what the position tables tell, or else the network's own.

    Raises:
        UnknownModel: if the source has no network of that name, or there are no weights with that tag.
        WeightsError: if the file cannot be read, its weights do not fit, or the other file cannot be written.
        ImageSizeError: if the network cannot take `image`.
    """
    network, _, tag = name.partition(".")
    layout_for(source, network.lower())  # refuses what is unknown before the file is read
    if tag:
        get_weight_set(name)  # likewise
    foreign = read_state_dict(path, which=which)
    with foreign.telling_of_others():
        spec = fitting_form(foreign.tensors, source=source, name=network, image=image)
        tensors = convert(foreign.tensors, source=source, name=spec)
    _check_size(spec, image)
    preprocessing, assumed = preprocessing_of(name, spec.image)
    save_tensors(spec, tensors, output, preprocessing=preprocessing, classes=classes)
    compared = laid_beside(foreign.tensors, source=source, name=spec)
    return _told(foreign, compared, output, preprocessing=preprocessing, assumed=assumed)


def _check_size(spec: Backbone, image: int | Grid | None) -> None:
    """See that weights are of the image size that was asked for, if one was."""
    if image is not None and spec.image != spec.at(image).image:
        own, asked = (f"{height}x{width}" for height, width in (spec.image, spec.at(image).image))
        raise WeightsError(
            f"The position tables of these weights are for images of {own} pixels (height x width), not {asked}. Leave"
            " the image size out: any other size can be asked for when they are used."
        )


def _told(
    foreign: Foreign, compared: Comparison, output: Path, *, preprocessing: Preprocessing, assumed: bool
) -> Conversion:
    names = compared.wanted
    shares = Counter(each.ours for each in names.values())
    with torch.device("meta"):
        params = sum(each.numel() for each in Network(compared.spec).parameters())
    return Conversion(
        path=output,
        spec=compared.spec,
        preprocessing=preprocessing,
        assumed=assumed,
        taken=foreign.taken,
        averaged=foreign.averaged,
        others=foreign.others,
        prefix=compared.prefix,
        params=params,
        tensors=len(compared.tensors),
        renamed=sum(theirs != each.ours for theirs, each in names.items()),
        rearranged=sum(each.change is not None or shares[each.ours] > 1 for each in names.values()),
    )
