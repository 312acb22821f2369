"""Networks with weights: published ones and those of a file, under the names that users call."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, overload

from torch import Tensor

from visiongraft.blocks.site import Runtime
from visiongraft.errors import SpecError, WeightsError, nearest
from visiongraft.families import zoo
from visiongraft.families.zoo import customized, get_spec
from visiongraft.kernels.types import Grid
from visiongraft.network import FeatureExtractor, Network
from visiongraft.spec import Backbone, way_to_other_strides
from visiongraft.weights import hub, store
from visiongraft.weights.adapt import adapted, check_alike
from visiongraft.weights.convert import convert, fitting_form
from visiongraft.weights.foreign import read_state_dict
from visiongraft.weights.imagenet import IMAGENET, imagenet_classes
from visiongraft.weights.libraries import load_published
from visiongraft.weights.paths import path_of
from visiongraft.weights.publication import Keeping
from visiongraft.weights.sources import WeightSet, find_weight_sets, get_weight_set, names_weights, preprocessing_of
from visiongraft.weights.store import Trained


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """List the names of the zoo that match a pattern.

    Args:
        pattern: a name with * for any letters and ? for any one, such as "cot*".
        pretrained: list published weights instead, as names with tags.

    >>> list_models("cot*50")
    ['cotnet50', 'cotnext50']
    >>> list_models("coatnet_0*", pretrained=True)
    ['coatnet_0_rw_224.sw_in1k']
    """
    if not pretrained:
        return zoo.list_models(pattern)
    return [each.name for each in find_weight_sets(pattern)]


@overload
def create_model(
    model: str | Backbone | None = ...,
    *,
    pretrained: bool | str = ...,
    weights: str | Path | None = ...,
    num_classes: int | None = ...,
    in_chans: int | None = ...,
    image: int | Grid | None = ...,
    drop_path: float | None = ...,
    dropout: float | None = ...,
    features_only: Literal[False] = ...,
    runtime: Runtime | None = ...,
    weights_dir: str | Path | None = ...,
    offline: bool = ...,
) -> Network: ...


@overload
def create_model(
    model: str | Backbone | None = ...,
    *,
    pretrained: bool | str = ...,
    weights: str | Path | None = ...,
    num_classes: int | None = ...,
    in_chans: int | None = ...,
    image: int | Grid | None = ...,
    drop_path: float | None = ...,
    dropout: float | None = ...,
    features_only: Literal[True],
    out_indices: Sequence[int] | None = ...,
    runtime: Runtime | None = ...,
    weights_dir: str | Path | None = ...,
    offline: bool = ...,
) -> FeatureExtractor: ...


def create_model(
    model: str | Backbone | None = None,
    *,
    pretrained: bool | str = False,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    image: int | Grid | None = None,
    drop_path: float | None = None,
    dropout: float | None = None,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    runtime: Runtime | None = None,
    weights_dir: str | Path | None = None,
    offline: bool = False,
    **unknown: object,
) -> Network | FeatureExtractor:
    """Build a network, with fresh random weights unless others are asked for. It is in training mode.

    Args:
        model: a name of the zoo, a spec, or with `pretrained` also a name with a tag: "coatnet_0_rw_224.sw_in1k". May
            be left out where `weights` is a file of ours, which says what it holds.
        pretrained: True for the published weights, or the tag of some: they are fetched once, and kept. Images then go
            through what `load_pretrained` gives beside the network.
        weights: a weight file to take instead: see `read_weights`.
        num_classes: how many logits go out; 0 leaves out the classifier. Another number than the weights have makes
            that one fresh.
        in_chans: channels of the images. Another number than the weights have sums or repeats the first convolution.
        image: native size in pixels, one number or (height, width). Any other size works as well. Another one than the
            weights have resamples the position tables.
        drop_path: probability of dropping the last residual branch while training, in [0, 1).
        dropout: probability of dropping a feature before the classifier while training, in [0, 1).
        features_only: give a list of feature maps instead of logits, as timm does.
        out_indices: with `features_only`, which maps: 0 is the stem, 1 the first stage. None means all.
        runtime: what follows from the machine.
        weights_dir: where published weights are kept, in the layout of Hugging Face's cache; by default that cache.
        offline: fetch nothing.
        unknown: nothing else is taken: the error says what timm's word for it is here.

    Arguments that are None leave what the spec, or the weights, say.

    Raises:
        UnknownModel: if no network, or no weights, have that name.
        WeightsError: if there are no such weights, they cannot be fetched or read, or do not fit.
        ImageSizeError: if the network cannot take `image`.
        SpecError: if the parts do not fit together, or there is no such argument.
    """
    if unknown:
        raise SpecError(_refusal(next(iter(unknown))))
    if out_indices is not None and not features_only:
        raise SpecError("out_indices chooses among feature maps. Give features_only=True as well.")
    source = _source(model, pretrained, weights, image=image, weights_dir=weights_dir, offline=offline)
    base = model if source is None or isinstance(model, Backbone) else source.spec
    assert base is not None, "what _source refuses"
    spec = customized(
        base, num_classes=num_classes, in_chans=in_chans, image=image, drop_path=drop_path, dropout=dropout
    )
    if source is None:
        network = Network(spec, runtime)
    elif spec == source.spec and runtime is None:  # nobody else has it, so no copy is needed
        network = source.train()
    else:
        network = adapted(source, spec, runtime=runtime)
    return FeatureExtractor(network, out_indices) if features_only else network


_OF_TIMM = {
    "img_size": "image",
    "drop_path_rate": "drop_path",
    "drop_rate": "dropout",
    "checkpoint_path": "weights",
    "cache_dir": "weights_dir",
}
"""What timm calls arguments of `create_model`, and what they are called here."""


def _refusal(argument: str) -> str:
    """Say what to give in the place of an argument that `create_model` does not have."""
    if argument == "output_stride":
        return f"create_model takes no output_stride: {way_to_other_strides()}."
    known = [each for each in inspect.signature(create_model).parameters if each != "unknown"]
    ours = f" What timm calls so is {_OF_TIMM[argument]!r} here." if argument in _OF_TIMM else nearest(argument, known)
    return f"create_model takes no {argument!r}.{ours} It takes {', '.join(known)}."


def load_pretrained(
    name: str, *, image: int | Grid | None = None, weights_dir: str | Path | None = None, offline: bool = False
) -> Trained:
    """Give a network with published weights, in eval mode, and what images go through before it.

    Args:
        name: of a network, for the first of its published weights, or with a tag: "coatnet_0_rw_224.sw_in1k"; or of a
            library's, as "torchvision:resnet50" or "timm:resnet50.a1_in1k".
        image: native size in pixels to resample the position tables for; by default that of the weights.
        weights_dir: where weights are kept, in the layout of Hugging Face's cache; by default that cache. For those of
            torchvision, a folder with its files; by default torch.hub's.
        offline: fetch nothing.

    Returns:
        Network, preprocessing, the names of ImageNet's classes where these are told apart, and at the size that it was
        published for, the score that others claim.

    Raises:
        UnknownModel: if no network, or no weights, have that name.
        WeightsError: if there are none, or they cannot be fetched or do not fit.
        ImageSizeError: if the network cannot take `image`.
    """
    if ":" in name:
        folder = None if weights_dir is None else Path(weights_dir).expanduser()
        return load_published(name, image=image, keeping=Keeping(folder, offline))
    weights = get_weight_set(name)
    network = _published(weights, weights_dir=weights_dir, offline=offline)
    native = network.spec.image
    classes = imagenet_classes() if weights.num_classes == IMAGENET else ()
    shown = native if image is None else network.spec.at(image).image
    claim = weights.claim if weights.claim and shown == (weights.claim.image,) * 2 else None
    return Trained(
        network if shown == native else network.at(shown),
        weights.preprocessing_at(shown),
        classes,
        {"claimed_top1": claim.top1, "claimed_top5": claim.top5} if claim else {},
    )


def _published(weights: WeightSet, *, weights_dir: str | Path | None, offline: bool) -> Network:
    spec = customized(weights.network, num_classes=weights.num_classes, image=weights.preprocessing.image)
    file = hub.fetch(weights, folder=weights_dir, offline=offline)
    return _filled(spec, read_state_dict(file).tensors)


def read_weights(path: str | Path, *, model: str | Backbone | None = None, image: int | Grid | None = None) -> Trained:
    """Read a weight file, with what its use needs. The network is in eval mode.

    Args:
        path: a file of ours, or one with timm's weights: .safetensors, or a checkpoint of PyTorch.
        model: the network that the weights are of. A file of ours says that itself, and is only compared with it. For
            timm's weights it is a name, perhaps with the tag of the published weights that they come from, or a spec;
            the numbers of classes and channels, and the image size, follow from the weights.
        image: native size in pixels to resample the position tables for; by default the file's own. Where shapes alone
            do not tell timm's (192x256 or 256x192), it says which one it is.

    Raises:
        UnknownModel: if no network has the name `model`, or none whose weights come from timm.
        WeightsError: if the file is missing, damaged, of another format, or of another network.
        ImageSizeError: if the network cannot take `image`.
    """
    path = path_of(path)
    if model is None or store.is_ours(path):
        trained = store.read(path, image=image)
        if model is not None:
            check_alike(_backbone_of(trained, path), _spec(model))
        return trained
    foreign = read_state_dict(path)
    with foreign.telling_of_others():
        return _of_timm(foreign.tensors, model, image)


def _of_timm(tensors: Mapping[str, Tensor], model: str | Backbone, image: int | Grid | None) -> Trained:
    """Give a network with weights by timm's names, and what timm's images go through before that network."""
    spec = fitting_form(tensors, source="timm", name=_spec(model), image=image)
    shown = spec.image if image is None else spec.at(image).image
    network = _filled(spec, tensors)
    preprocessing, _ = preprocessing_of(model if isinstance(model, str) else spec.name, shown)
    tagged = isinstance(model, str) and "." in model
    classes = imagenet_classes() if tagged and spec.head.num_classes == IMAGENET else ()
    return Trained(network if shown == spec.image else network.at(shown), preprocessing, classes)


def _source(
    model: str | Backbone | None,
    pretrained: bool | str,  # noqa: FBT001 - create_model's own argument, which timm has taught everyone
    weights: str | Path | None,
    *,
    image: int | Grid | None,
    weights_dir: str | Path | None,
    offline: bool,
) -> Network | None:
    """Give the network whose weights `create_model` is to take; None for fresh ones."""
    if pretrained and weights is not None:
        raise SpecError("pretrained and weights are two places to take weights from. Give one of them.")
    if weights is not None:
        trained = read_weights(weights, model=model, image=image)
        _backbone_of(trained, weights)
        assert isinstance(trained.network, Network)
        return trained.network
    if model is None:
        raise SpecError("Which network? Name one, or give weights=FILE with one that visiongraft.save wrote.")
    name = model.name if isinstance(model, Backbone) else str(model)
    network, _, tag = name.partition(".")
    if not pretrained:
        if isinstance(model, str) and tag and names_weights(model):
            raise SpecError(f"{name!r} names weights. To get them, add pretrained=True; or leave out {'.' + tag!r}.")
        return None
    if isinstance(pretrained, str):
        if tag and tag.lower() != pretrained.lower():
            raise SpecError(f"{name!r} and pretrained={pretrained!r} name two sets of weights. Give one of them.")
        name = f"{network}.{pretrained}"
    return _published(get_weight_set(name), weights_dir=weights_dir, offline=offline)


def _backbone_of(trained: Trained, path: str | Path) -> Backbone:
    """Refuse a network of others, or a grafted one, where one of ours is wanted."""
    spec = trained.network.spec
    if not isinstance(spec, Backbone):
        raise WeightsError(f"{path} holds {spec.name}, which is no network of the zoo. visiongraft.load reads it.")
    return spec


def _spec(model: str | Backbone) -> Backbone:
    return get_spec(model.partition(".")[0]) if isinstance(model, str) else customized(model)


def _filled(spec: Backbone, tensors: Mapping[str, Tensor]) -> Network:
    """Make a network with weights by timm's names, in eval mode."""
    network = Network(spec)
    network.load_state_dict(convert(tensors, source="timm", name=spec))
    return network.eval()
