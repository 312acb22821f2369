"""A backbone as a value: what it is made of, how its grids shrink, and its form as a document."""

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from operator import index as as_int
from typing import Literal

from visiongraft.blocks.head import Head
from visiongraft.blocks.site import Block, Runtime, Site, shrink
from visiongraft.blocks.stems import Patches, SmallStem, Stem, grid_after
from visiongraft.errors import ImageSizeError, SpecError
from visiongraft.kernels.types import Grid
from visiongraft.vocabulary import MOST_BLOCKS, check_choices, decode, encode, read_document, register

FORMAT = "visiongraft.spec/1"
"""Name and version of the JSON form. It rises when an older document would be misread."""

LARGEST_IMAGE = 8192
"""Pixels a side; beyond, one image alone fills the memory of most machines."""


@dataclass(frozen=True)
class Stage:
    """Blocks of one width.

    Args:
        width: channels of every block.
        stride: by how much the stage shrinks the grid, 1 or 2.
        blocks: one after the other, at least one.
        stride_in: what takes the stride: the first "block", or a 3x3 max "pool" before it, as in ResNet's first stage.
    """

    width: int
    stride: int
    blocks: tuple[Block, ...]
    stride_in: Literal["block", "pool"] = "block"

    def __post_init__(self) -> None:
        if self.stride not in (1, 2):
            raise SpecError(f"A stage has stride 1 or 2, not {self.stride}.")
        if not self.blocks:
            raise SpecError("A stage needs at least one block.")


register(Stage)


def way_to_other_strides() -> str:
    """Say what to do for another output stride than a spec has, as the end of an error."""
    return (
        "strides are those of the spec. Give a spec whose last stages have stride=1, as many as it takes, made with"
        " dataclasses.replace"
    )


@dataclass(frozen=True)
class Backbone:
    """A network, as data.

    Args:
        name: what the zoo calls it.
        stem: from the image to the first map.
        stages: from there on.
        head: from the last map to the classes.
        image: height and width in pixels that position tables are stored for. Any other size works as well.
        in_chans: channels of the image.
        drop_path: probability of dropping the last block's residual branch, in [0, 1); it grows from 0 at the first.
    """

    name: str
    stem: Stem
    stages: tuple[Stage, ...]
    head: Head = Head()
    image: Grid = (224, 224)
    in_chans: int = 3
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        check_size(self.image)
        if not self.stages:
            raise SpecError(f"{self.name} has no stages: a backbone needs at least one.")
        if not 0.0 <= self.drop_path < 1.0:
            raise SpecError(f"drop_path is a probability in [0, 1), not {self.drop_path}.")
        if self.in_chans < 1:
            raise SpecError(f"Images have at least one channel, and in_chans is {self.in_chans}.")
        if self.depth > MOST_BLOCKS:
            raise SpecError(f"{self.name} has {self.depth} blocks. A backbone has at most {MOST_BLOCKS}.")
        for part in (self.stem, self.head, *self.stages):
            check_choices(part)

    def at(self, image: int | Grid) -> "Backbone":
        """Give the same network with another native image size, in pixels: one number for a square, or (h, w)."""
        return replace(self, image=size_of(image))

    def grids(self, image: Grid | None = None) -> tuple[Grid, ...]:
        """Give height and width in cells after the stem and after each stage, for an image of (h, w) pixels.

        Raises:
            ImageSizeError: if a strided step would find less than two cells, or less than one patch, to work on.
        """
        image = image or self.image
        smallest = self.smallest_image
        if min(image) < smallest:
            raise ImageSizeError(
                f"{self.name} needs at least {smallest}x{smallest} pixels, and got {image[0]}x{image[1]}."
                f" Show it larger images{self._smaller_form()}."
            )
        return self._shrink(image)

    @property
    def smallest_image(self) -> int:
        """The smallest side in pixels at which every strided step still has at least two cells to halve."""
        sides = range(1, 2**31)
        found = bisect_left(sides, True, key=self._can_take)  # noqa: FBT003 - it is what is looked for
        if found == len(sides):
            raise SpecError(f"{self.name} halves its map so often that no image is large enough. Take strides out.")
        return sides[found]

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per cell after the stem and after each stage."""
        strides = [self.stem.stride]
        for stage in self.stages:
            strides.append(strides[-1] * stage.stride)
        return tuple(strides)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels after the stem and after each stage."""
        return (self.stem.width, *(stage.width for stage in self.stages))

    @property
    def num_classes(self) -> int:
        """How many logits go out; 0 where the head has no classifier."""
        return self.head.num_classes

    @property
    def depth(self) -> int:
        """Blocks of all stages."""
        return sum(len(stage.blocks) for stage in self.stages)

    def sites(self, runtime: Runtime) -> Iterator[list[Site]]:
        """Give, stage by stage, the site of each block."""
        rates = iter(drop_path_rates(self.drop_path, self.depth))
        in_width = self.stem.width
        grids = self.grids()
        for stage, before, after in zip(self.stages, grids, grids[1:], strict=False):
            sites = []
            for index, _ in enumerate(stage.blocks):
                strided = index == 0 and stage.stride_in == "block"
                grid = before if strided else after
                sites.append(Site(in_width, stage.width, stage.stride if strided else 1, grid, next(rates), runtime))
                in_width = stage.width
            yield sites

    def to_dict(self) -> dict[str, object]:
        """Give the spec as plain values that `from_dict` and JSON take."""
        return {"format": FORMAT, **encode(self)}

    @staticmethod
    def from_dict(document: dict[str, object]) -> "Backbone":
        """Make the spec that `to_dict` described.

        A key that is missing takes its default, so that a choice which a later version adds leaves what was written
        before as it was. For the same reason no default ever changes.

        Raises:
            SpecError: for another format, an unknown word of the vocabulary, an unknown key, or a missing one that
                has no default.
        """
        spec = described(document)
        if not isinstance(spec, Backbone):
            raise SpecError(f"A network description must describe a Backbone, not {document.get('kind')!r}.")
        return spec

    def to_json(self) -> str:
        """Give `to_dict` as JSON text."""
        return json.dumps(self.to_dict())

    @staticmethod
    def from_json(text: str) -> "Backbone":
        """Make the spec that `to_json` described. Raises SpecError where the text is not one."""
        return Backbone.from_dict(read_document(text, "A network description"))

    def _shrink(self, image: Grid) -> tuple[Grid, ...]:
        grids = [grid_after(self.stem, image)]
        for stage in self.stages:
            grids.append(shrink(grids[-1], stage.stride))
        return tuple(grids)

    def _smaller_form(self) -> str:
        """Name the form for small images, where that takes smaller ones."""
        if small_image(self).smallest_image >= self.smallest_image:
            return ""
        return (
            f", or take its form for small ones: {self.name}_small if it is of the zoo, or in Python what"
            " visiongraft.small_image makes of it"
        )

    def _can_take(self, side: int) -> bool:
        enough = self.stem.patch if isinstance(self.stem, Patches) else min(self.stem.stride, 2)
        if side < enough:
            return False
        grids = self._shrink((side, side))
        return all(stage.stride == 1 or grid[0] >= 2 for stage, grid in zip(self.stages, grids, strict=False))


register(Backbone)


def size_of(image: int | Grid) -> Grid:
    """Give height and width in pixels of what users write: one number for a square, or (h, w).

    Raises:
        SpecError: if it is neither.
    """
    try:
        if isinstance(image, bool | str | bytes):
            raise TypeError  # some of them count as numbers
        height, width = (image, image) if isinstance(image, int) else map(as_int, image)
    except (TypeError, ValueError):
        raise SpecError(f"An image size is one number of pixels, or (height, width), not {image!r}.") from None
    return height, width


def check_size(image: Grid) -> None:
    """Refuse what is no height and width of an image.

    Raises:
        SpecError: if it is not.
    """
    if len(image) != 2 or not all(isinstance(side, int) and side >= 1 for side in image):
        raise SpecError(f"An image has a height and a width in whole pixels, not {image}.")
    if max(image) > LARGEST_IMAGE:
        raise SpecError(f"An image has at most {LARGEST_IMAGE} pixels a side, not {max(image)}.")


def described(document: Mapping[str, object]) -> object:
    """Make the word that a document describes, once its format is known to be ours.

    Raises:
        SpecError: as `Backbone.from_dict` does.
    """
    content = dict(document)
    found = content.pop("format", None)
    if found != FORMAT:
        raise SpecError(f"This network description is of format {found!r}; this version reads {FORMAT!r}.")
    return decode(content)


def drop_path_rates(peak: float, depth: int) -> list[float]:
    """Spread stochastic depth linearly over the network: 0 at the first block, `peak` at the last.

    Args:
        peak: probability of dropping the last block, in [0, 1).
        depth: number of blocks in the whole network, at least 1.

    >>> drop_path_rates(0.5, 3)
    [0.0, 0.25, 0.5]

    Source: arXiv:1603.09382, section 4. We start at 0, as timm does; the paper starts at peak/depth.
    """
    return [peak * index / max(depth - 1, 1) for index in range(depth)]


def small_image(spec: Backbone, image: int | Grid = 32) -> Backbone:
    """Give the form of a network for images of 32 pixels or so: a 3x3 stem at stride 1, and no pooling before stage 1.

    Args:
        spec: any network of the zoo.
        image: the native size of the result, in pixels.
    """
    stem = SmallStem(spec.stem.width, spec.stem.act)
    stages = tuple(
        replace(stage, stride=1, stride_in="block") if stage.stride_in == "pool" else stage for stage in spec.stages
    )
    return replace(spec, name=f"{spec.name}_small", stem=stem, stages=stages).at(image)
