"""What is drawn at random for an image with objects: size, cut, mirroring and colours, objects along with pixels."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from visiongraft.kernels.types import Grid

MEAN_COLOR = (124, 116, 104)
"""Red, green and blue of padding: ImageNet's mean, so 0 once images are normalised, as where torchvision pads."""

SMALLEST = 1.0
"""Pixels that an object needs in width and height, or it has vanished."""


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and what is on it, as torchvision's own kinds of tensors.

    Args:
        image: uint8, (3, h, w).
        boxes: float32, (objects, 4), x0 y0 x1 y1.
        masks: uint8, (objects, h, w); None where boxes are all.
        labels: (objects,), from 1.
        crowd: (objects,).
    """

    image: tv_tensors.Image
    boxes: tv_tensors.BoundingBoxes
    masks: tv_tensors.Mask | None
    labels: Int64[Tensor, " n"]
    crowd: Bool[Tensor, " n"]

    @property
    def size(self) -> Grid:
        """Height and width."""
        return self.image.shape[1], self.image.shape[2]

    def chosen(self, which: Bool[Tensor, " n"]) -> "Scene":
        """Keep some of the objects."""
        return Scene(
            self.image,
            tv_tensors.wrap(self.boxes[which], like=self.boxes),
            None if self.masks is None else tv_tensors.Mask(self.masks[which]),
            self.labels[which],
            self.crowd[which],
        )


Step = Callable[[Scene, Generator], Scene]
"""Changes a scene, and draws only from the generator that it is given."""


def _uniform(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


@dataclass(frozen=True)
class Flip:
    """Mirrors left and right.

    Args:
        probability: how often, in [0, 1].
    """

    probability: float = 0.5

    def __call__(self, scene: Scene, generator: Generator) -> Scene:
        """Mirror the scene, or not."""
        if _uniform(generator, 0, 1) >= self.probability:
            return scene
        masks = None if scene.masks is None else F.horizontal_flip(scene.masks)
        return replace(scene, image=F.horizontal_flip(scene.image), boxes=F.horizontal_flip(scene.boxes), masks=masks)


@dataclass(frozen=True)
class ScaleJitter:
    """Draws a size, cuts a window out at random where that is too large, and pads at the right and below otherwise.

    Args:
        image: height and width of what comes out.
        least: the smallest size, as a multiple of that which just fits into `image`.
        most: the largest.

    Source: large-scale jitter, arXiv:2012.07177, section 3.1; BoTNet (arXiv:2101.11605) uses 0.1 to 2.0 at 1024. The
    window is cut in whole pixels of the photograph before it is resized, which spares resizing what is not shown.
    """

    image: Grid = (1024, 1024)
    least: float = 0.1
    most: float = 2.0

    def __call__(self, scene: Scene, generator: Generator) -> Scene:
        """Give the scene at a drawn size, cut or padded."""
        (height, width), (rows, columns) = scene.size, self.image
        scale = _uniform(generator, self.least, self.most) * min(rows / height, columns / width)
        window = min(height, max(1, round(rows / scale))), min(width, max(1, round(columns / scale)))
        top = round(_uniform(generator, 0, height - window[0]))
        left = round(_uniform(generator, 0, width - window[1]))
        size = min(rows, max(1, round(height * scale))), min(columns, max(1, round(width * scale)))
        return padded(cut_out(scene, (top, left), window, size), self.image)


@dataclass(frozen=True)
class ShortSide:
    """Resizes so that the short side is one of some lengths, and the long one no longer than a limit.

    Args:
        sides: pixels of the short side, of which one is drawn.
        longest: pixels of the long side at the most.

    Source: the usual multi-scale training of detectors, as torchvision's `GeneralizedRCNNTransform` draws it from the
    global generator.
    """

    sides: tuple[int, ...] = (800,)
    longest: int = 1333

    def __call__(self, scene: Scene, generator: Generator) -> Scene:
        """Give the scene at a drawn size."""
        height, width = scene.size
        side = self.sides[int(torch.randint(len(self.sides), (), generator=generator))]
        scale = min(side / min(height, width), self.longest / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        return cut_out(scene, (0, 0), (height, width), size)


@dataclass(frozen=True)
class ColorJitter:
    """Changes brightness, contrast and saturation, in this order.

    Args:
        strength: by which factor each may differ from 1, in [0, 1].
    """

    strength: float = 0.4

    def __call__(self, scene: Scene, generator: Generator) -> Scene:
        """Give the scene in other colours."""
        image = scene.image
        for change in (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation):
            image = change(image, _uniform(generator, 1 - self.strength, 1 + self.strength))
        return replace(scene, image=image)


def steps_for(
    short: tuple[int, ...],
    longest: int,
    jitter: tuple[float, float] = (1.0, 1.0),
    *,
    flip: float = 0.5,
    color: float = 0.0,
) -> tuple[Step, ...]:
    """Give the usual steps of training.

    Args:
        short: pixels of the short side, of which one is drawn for each image.
        longest: pixels that the long side has at most.
        jitter: smallest and largest factor by which the size is changed; what comes out is then a square of `longest`
            pixels, cut or padded. (1, 1) for images of their own shape.
        flip: how often images are mirrored.
        color: as in `ColorJitter`; 0 for none.
    """
    size: Step = ShortSide(short, longest) if jitter == (1.0, 1.0) else ScaleJitter((longest, longest), *jitter)
    colors: tuple[Step, ...] = (ColorJitter(color),) if color else ()
    return (size, Flip(flip), *colors)


def cut_out(scene: Scene, corner: Grid, window: Grid, size: Grid) -> Scene:
    """Cut a window out and resize it.

    Objects that are cut get the box of what is left of their shape, if they have one; those that vanish stay, empty,
    for `without_vanished`.

    Args:
        scene: an image with objects.
        corner: top and left of the window.
        window: its height and width.
        size: height and width that it is given.
    """
    if corner == (0, 0) and window == scene.size == size:
        return scene
    place = (*corner, *window)
    cut = _reaching_out(scene.boxes, corner, window)
    image = F.resized_crop(scene.image, *place, list(size), interpolation=InterpolationMode.BILINEAR, antialias=True)
    boxes = F.clamp_bounding_boxes(F.resized_crop(scene.boxes, *place, list(size)))
    if scene.masks is None:
        return replace(scene, image=image, boxes=boxes)
    masks = tv_tensors.Mask(_resampled(scene.masks.as_subclass(Tensor), corner, window, size))
    left = tightened(boxes.as_subclass(Tensor), masks.as_subclass(Tensor))
    boxes = tv_tensors.wrap(torch.where(cut[:, None], left, boxes.as_subclass(Tensor)), like=boxes)
    return replace(scene, image=image, boxes=boxes, masks=masks)


def _resampled(masks: UInt8[Tensor, "n h w"], corner: Grid, window: Grid, size: Grid) -> UInt8[Tensor, "n a b"]:
    """Cut a window out of masks and resize it, each pixel that of the place where its middle lies.

    torchvision takes the place of the pixel's corner, so its masks lie up to half a pixel beside its images and boxes;
    of many masks this one takes an eighth of the time.
    """
    places = []
    for first, wide, pixels in zip(corner, window, size, strict=True):
        places.append(first + ((np.arange(pixels) + 0.5) * (wide / pixels)).astype(np.int64))  # never below the window
    rows, columns = places
    values = masks.numpy()
    if len(rows) > values.shape[1]:
        return torch.from_numpy(values.take(columns, axis=2).take(rows, axis=1))
    return torch.from_numpy(values.take(rows, axis=1).take(columns, axis=2))


def _reaching_out(boxes: Tensor, corner: Grid, window: Grid) -> Bool[Tensor, " n"]:
    """Tell which boxes reach out of a window."""
    (top, left), (height, width) = corner, window
    ends = boxes.as_subclass(Tensor)
    edges = torch.tensor([left, top, left + width, top + height], dtype=ends.dtype)
    return (ends[:, :2] < edges[:2]).any(dim=1) | (ends[:, 2:] > edges[2:]).any(dim=1)


def padded(scene: Scene, size: Grid) -> Scene:
    """Add rows below and columns at the right, up to a height and width."""
    below, right = size[0] - scene.size[0], size[1] - scene.size[1]
    if not below and not right:
        return scene
    margins = [0, 0, right, below]
    masks = None if scene.masks is None else F.pad(scene.masks, margins)
    return replace(
        scene, image=F.pad(scene.image, margins, fill=list(MEAN_COLOR)), boxes=F.pad(scene.boxes, margins), masks=masks
    )


def without_vanished(scene: Scene) -> Scene:
    """Leave out objects of which nothing is seen."""
    boxes = scene.boxes.as_subclass(Tensor)
    seen = (boxes[:, 2:] - boxes[:, :2] >= SMALLEST).all(dim=1)
    if scene.masks is not None:
        seen &= scene.masks.as_subclass(Tensor).flatten(1).amax(dim=1) > 0
    return scene if bool(seen.all()) else scene.chosen(seen)


def tightened(boxes: Float[Tensor, "n 4"], masks: UInt8[Tensor, "n h w"]) -> Float32[Tensor, "n 4"]:
    """Shrink boxes to the pixels of their masks; one without any becomes empty."""
    rows, columns = masks.amax(dim=2) > 0, masks.amax(dim=1) > 0  # n h, n w
    ends = torch.stack([_first(columns), _first(rows), _last(columns), _last(rows)], dim=1).float()
    low, high = torch.maximum(boxes[:, :2], ends[:, :2]), torch.minimum(boxes[:, 2:], ends[:, 2:])
    return torch.cat([low, high], dim=1)


def _first(seen: Bool[Tensor, "n l"]) -> Int64[Tensor, " n"]:
    """Give the place of the first that is true; the length where none is."""
    place = seen.int().argmax(dim=1)
    return torch.where(seen.any(dim=1), place, seen.shape[1])


def _last(seen: Bool[Tensor, "n l"]) -> Int64[Tensor, " n"]:
    """Give the place behind the last that is true; 0 where none is."""
    place = seen.shape[1] - seen.flip(1).int().argmax(dim=1)
    return torch.where(seen.any(dim=1), place, 0)
