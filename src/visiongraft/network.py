"""The one network class: any backbone spec, as a module."""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from visiongraft.blocks.head import ClassifierHead
from visiongraft.blocks.positions import PositionTables
from visiongraft.blocks.site import Runtime, Site
from visiongraft.errors import ImageSizeError, SpecError
from visiongraft.kernels.types import Grid
from visiongraft.spec import Backbone, Stage


class Feature(NamedTuple):
    """One feature map of a network: its name, its channels, and how many pixels one cell spans."""

    module: str
    num_chs: int
    reduction: int


@dataclass(frozen=True)
class FeatureInfo:
    """What the feature maps of a network look like, with timm's words."""

    features: tuple[Feature, ...]
    out_indices: tuple[int, ...]

    def channels(self) -> list[int]:
        """Channels of each chosen map."""
        return [self.features[index].num_chs for index in self.out_indices]

    def reduction(self) -> list[int]:
        """Pixels per cell of each chosen map."""
        return [self.features[index].reduction for index in self.out_indices]

    def module_name(self) -> list[str]:
        """Name of each chosen map, as in `Network.features`."""
        return [self.features[index].module for index in self.out_indices]

    def __len__(self) -> int:
        return len(self.out_indices)


class Network(nn.Module):
    """A backbone that takes images of any size.

    Args:
        spec: what to build.
        runtime: what follows from the machine.

    Images are (batch, in_chans, h, w) floating-point tensors. `forward` gives logits (batch, num_classes).
    """

    def __init__(self, spec: Backbone, runtime: Runtime | None = None) -> None:
        super().__init__()
        runtime = runtime or Runtime()
        self.spec = spec
        self.runtime = runtime
        self.smallest_image = spec.smallest_image
        self.stem = spec.stem.build(spec.in_chans)
        sites = spec.sites(runtime)
        self.stages = nn.ModuleList(_stage(stage, each) for stage, each in zip(spec.stages, sites, strict=True))
        self.head: ClassifierHead = spec.head.build(spec.widths[-1])
        if runtime.channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, (b, num_classes)."""
        return self.head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """Give the last feature map, (b, c, h', w')."""
        maps = self.stem(_checked(images, self.spec, self.runtime, self.smallest_image))
        for stage in self.stages:
            maps = stage(maps)
        return maps

    def forward_head(self, maps: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Give logits from the last feature map, or with `pre_logits` the features that the classifier would see."""
        return self.head.pool(maps) if pre_logits else self.head(maps)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Give the maps after the stem and after each stage: {"stem": ..., "stage1": ...}."""
        maps = self.stem(_checked(images, self.spec, self.runtime, self.smallest_image))
        found = {"stem": maps}
        for index, stage in enumerate(self.stages, start=1):
            maps = stage(maps)
            found[f"stage{index}"] = maps
        return found

    @property
    def num_classes(self) -> int:
        """How many logits go out; 0 where the head has no classifier."""
        return self.spec.head.num_classes

    @property
    def num_features(self) -> int:
        """Channels of the features that the classifier sees."""
        return self.head.num_features

    @property
    def feature_info(self) -> FeatureInfo:
        """Channels and strides of the maps that `features` gives."""
        names = ["stem", *(f"stage{index}" for index in range(1, len(self.stages) + 1))]
        found = tuple(Feature(*each) for each in zip(names, self.spec.widths, self.spec.strides, strict=True))
        return FeatureInfo(found, tuple(range(len(found))))

    def get_classifier(self) -> nn.Module:
        """Give the last linear layer."""
        return self.head.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Put a fresh classifier for `num_classes` classes in the place of the present one; 0 leaves it out."""
        like = next(self.parameters())
        self.spec = replace(self.spec, head=replace(self.spec.head, num_classes=num_classes))
        self.head.reset(num_classes)
        self.head.to(like.device, like.dtype)

    def at(self, image: int | Grid) -> "Network":
        """Give a copy whose position tables are stored for another image size, in pixels, resampled from ours."""
        spec = self.spec.at(image)
        with torch.device("meta"):
            native = Network(spec)
        other = copy.deepcopy(self)
        other.spec = spec
        for name, module in other.named_modules():
            if isinstance(module, PositionTables):
                module.adopt(_tables(native, name).grid)
        return other


class FeatureExtractor(nn.Module):
    """The front of a network, which gives a list of feature maps, as timm's `features_only` does.

    Args:
        network: what to take the maps from. Its stem and stages are shared, not copied; what comes behind the last
            chosen map is left out.
        out_indices: which maps: 0 for the stem, 1 for the first stage, and so on; negative ones count from the end.
            None means all.
    """

    def __init__(self, network: Network, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        everything = network.feature_info
        count = len(everything)
        chosen = tuple(range(count)) if out_indices is None else tuple(out_indices)
        if not chosen or any(not -count <= index < count for index in chosen):
            raise SpecError(
                f"{network.spec.name} has feature maps 0 to {count - 1}, and out_indices asks for {chosen}."
            )
        self.feature_info = replace(everything, out_indices=tuple(index % count for index in chosen))
        self.spec = network.spec
        self.runtime = network.runtime
        self.smallest_image = network.smallest_image
        self.stem = network.stem
        self.stages = nn.ModuleList(list(network.stages)[: max(self.feature_info.out_indices)])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Give the chosen maps, in the order of `out_indices`."""
        maps = self.stem(_checked(images, self.spec, self.runtime, self.smallest_image))
        found = [maps]
        for stage in self.stages:
            maps = stage(maps)
            found.append(maps)
        return [found[index] for index in self.feature_info.out_indices]


def _checked(images: Tensor, spec: Backbone, runtime: Runtime, smallest: int) -> Tensor:
    """Refuse what is no batch of images for this network, and lay the rest out as the runtime wants it."""
    if images.ndim != 4 or images.shape[1] != spec.in_chans:
        raise ImageSizeError(
            f"{spec.name} takes images of shape (batch, {spec.in_chans}, height, width),"
            f" and got {tuple(images.shape)}."
        )
    if not images.is_floating_point():
        raise ImageSizeError(
            f"{spec.name} takes floating-point images, and got {images.dtype}."
            " Scale them to [0, 1] and normalise them first."
        )
    if images.shape[2] < smallest or images.shape[3] < smallest:
        spec.grids((int(images.shape[2]), int(images.shape[3])))  # raises, with the reason
    return images.contiguous(memory_format=torch.channels_last) if runtime.channels_last else images


def _stage(stage: Stage, sites: list[Site]) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if stage.stride_in == "pool":
        parts["pool"] = nn.MaxPool2d(3, stride=stage.stride, padding=1)
    for index, (block, site) in enumerate(zip(stage.blocks, sites, strict=True)):
        parts[str(index)] = block.build(site)
    return nn.Sequential(parts)


def _tables(network: Network, name: str) -> PositionTables:
    module = network.get_submodule(name)
    assert isinstance(module, PositionTables)
    return module
