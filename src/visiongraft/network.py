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
from visiongraft.blocks.recompute import recomputed
from visiongraft.blocks.site import Runtime, Site
from visiongraft.errors import ImageSizeError, SpecError
from visiongraft.kernels.types import Grid
from visiongraft.spec import Backbone, Stage

CLASSIFIER = "head.classifier"
"""The module that gives a network's logits, and so the beginning of its tensors' names."""


HISTORY = "_visiongraft_history"
"""The attribute in which a network keeps what was grafted into it, each with `repeat_on(network)`."""


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

    @staticmethod
    def of(spec: Backbone) -> "FeatureInfo":
        """Describe all maps of a network."""
        names = ["stem", *(f"stage{index}" for index in range(1, len(spec.stages) + 1))]
        widths = (*spec.widths[:-1], spec.head.cell_hidden or spec.widths[-1])
        found = tuple(Feature(*each) for each in zip(names, widths, spec.strides, strict=True))
        return FeatureInfo(found, tuple(range(len(found))))

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


class Trunk(nn.Module):
    """What all networks begin with: the stem, the stages, and what a training has to know of them."""

    spec: Backbone
    runtime: Runtime
    smallest_image: int
    stem: nn.Module
    stages: nn.Sequential
    grad_checkpointing = False

    def set_grad_checkpointing(self, enable: bool = True) -> None:  # noqa: FBT001, FBT002 - timm's own signature
        """Keep only what goes into each block while training, and compute its inside again for the gradients."""
        self.grad_checkpointing = enable

    def no_weight_decay(self) -> set[str]:
        """Name the parameters that weight decay should leave alone although they are tables: the learnt positions."""
        return {
            f"{name}.{key}"
            for name, module in self.named_modules()
            if isinstance(module, PositionTables)
            for key, _ in module.named_parameters()
        }

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:  # noqa: FBT001, FBT002 - timm's own signature
        """Give regular expressions that order the parameters by depth: stem, then each block, or with `coarse` stage.

        What none of them matches is the head and comes last. This is what timm's layer decay takes.
        """
        return {"stem": r"^stem", "blocks": r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)"}

    def _begin(self, images: Tensor) -> Tensor:
        return self.stem(_checked(images, self.spec, self.runtime, self.smallest_image))

    def _go_on(self, stage: nn.Module, maps: Tensor) -> Tensor:
        if not (self.grad_checkpointing and torch.is_grad_enabled()):
            return stage(maps)
        for block in stage.children():
            maps = recomputed(block, maps)
        return maps

    def _maps(self, images: Tensor, stages: int) -> list[Tensor]:
        """Give the maps after the stem and so many of the first stages."""
        found = [self._begin(images)]
        for stage in tuple(self.stages)[:stages]:
            found.append(self._go_on(stage, found[-1]))
        if len(found) == len(self.spec.widths):
            found[-1] = self._end(found[-1])
        return found

    def _end(self, maps: Tensor) -> Tensor:
        """Give the network's last map from that of its last stage: it has the head's hidden layer of each cell."""
        raise NotImplementedError


class Network(Trunk):
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
        self.stages = nn.Sequential(*(_stage(stage, each) for stage, each in zip(spec.stages, sites, strict=True)))
        self.head: ClassifierHead = spec.head.build(spec.widths[-1])
        if runtime.channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits, (b, num_classes)."""
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """Give the last feature map, (b, num_features, h', w')."""
        maps = self._begin(images)
        for stage in self.stages:
            maps = self._go_on(stage, maps)
        return self._end(maps)

    def forward_head(self, maps: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Give logits from the last feature map, or with `pre_logits` the features that the classifier would see."""
        return self.head.pool(maps) if pre_logits else self.head(maps)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Give the maps after the stem and after each stage: {"stem": ..., "stage1": ...}.

        The last one is that of `forward_features`.
        """
        names = FeatureInfo.of(self.spec).module_name()
        return dict(zip(names, self._maps(images, len(self.stages)), strict=True))

    def forward_intermediates(
        self,
        images: Tensor,
        indices: int | Sequence[int] | None = None,
        *,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Give feature maps by number, and where the network ended, with timm's words.

        Args:
            images: a batch.
            indices: which maps: 0 for the stem, 1 for the first stage, and so on; negative ones count from the end.
                One number means so many of the last, None all.
            norm: normalise the last map, where the head normalises cells and not their means.
            stop_early: compute nothing behind the last chosen map.
            output_fmt: the order of the axes, which is always "NCHW".
            intermediates_only: leave out the first of the two results.

        Returns:
            The last map that was computed, as `forward_features` gives it, and the chosen maps in the order of
            `indices`.

        Raises:
            SpecError: for maps that there are not, and another order of the axes.
        """
        if output_fmt != "NCHW":
            raise SpecError(f"Feature maps are NCHW, and output_fmt asks for {output_fmt!r}. Permute them afterwards.")
        chosen = chosen_maps(self.spec, "indices", indices)
        found = self._maps(images, max(chosen) if stop_early else len(self.stages))
        maps = found[-1]
        if norm and len(found) > len(self.stages) and self.spec.head.norm_of == "cells":
            found[-1] = self.head.norm(maps)
        wanted = [found[index] for index in chosen]
        return wanted if intermediates_only else (maps, wanted)

    @property
    def num_classes(self) -> int:
        """How many logits go out; 0 where the head has no classifier."""
        return self.spec.head.num_classes

    @property
    def num_features(self) -> int:
        """Channels of the last feature map."""
        return FeatureInfo.of(self.spec).features[-1].num_chs

    @property
    def head_hidden_size(self) -> int:
        """Channels of the features that the classifier sees."""
        return self.head.num_features

    @property
    def feature_info(self) -> FeatureInfo:
        """Channels and strides of the maps that `features` gives."""
        return FeatureInfo.of(self.spec)

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
        other = copy.deepcopy(self)
        other.set_input_size(image)
        return other

    def set_input_size(self, img_size: int | Grid) -> None:
        """Store the position tables for another image size, in pixels, from now on, resampled.

        They become new parameters, so an optimiser is made afterwards.
        """
        spec = self.spec.at(img_size)
        with torch.device("meta"):
            native = Network(spec)
        for deed in getattr(self, HISTORY, ()):
            deed.repeat_on(native)
        self.spec = spec
        for name, module in self.named_modules():
            if isinstance(module, PositionTables):
                module.adopt(_tables(native, name).grid)

    def _end(self, maps: Tensor) -> Tensor:
        return self.head.cell_hidden(maps)


class FeatureExtractor(Trunk):
    """The front of a network, which gives a list of feature maps, as timm's `features_only` does.

    Args:
        network: what to take the maps from. Its modules are shared, not copied; what comes behind the last chosen map
            is left out.
        out_indices: which maps: 0 for the stem, 1 for the first stage, and so on; negative ones count from the end.
            One number means so many of the last, None all.
    """

    def __init__(self, network: Network, out_indices: int | Sequence[int] | None = None) -> None:
        super().__init__()
        chosen = chosen_maps(network.spec, "out_indices", out_indices)
        self.feature_info = replace(FeatureInfo.of(network.spec), out_indices=chosen)
        self.spec = network.spec
        self.runtime = network.runtime
        self.smallest_image = network.smallest_image
        self.stem = network.stem
        self.stages = network.stages[: max(chosen)]
        whole = len(self.stages) == len(network.stages)
        self.cell_hidden = network.head.cell_hidden if whole else nn.Identity()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Give the chosen maps, in the order of `out_indices`."""
        found = self._maps(images, len(self.stages))
        return [found[index] for index in self.feature_info.out_indices]

    def _end(self, maps: Tensor) -> Tensor:
        return self.cell_hidden(maps)


def chosen_maps(spec: Backbone, argument: str, indices: int | Sequence[int] | None) -> tuple[int, ...]:
    """Give the numbers of the maps that are asked for, counted from the stem."""
    count = len(spec.widths)
    if indices is None:
        return tuple(range(count))
    asked = tuple(range(-min(indices, count + 1), 0)) if isinstance(indices, int) else tuple(indices)
    if not asked or any(not -count <= index < count for index in asked):
        raise SpecError(f"{spec.name} has feature maps 0 to {count - 1}, and {argument} asks for {asked}.")
    return tuple(index % count for index in asked)


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
