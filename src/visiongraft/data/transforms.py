"""From an image of any size to the pixels that a network takes: the same for everyone, or drawn at random."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from visiongraft.data.views import View
from visiongraft.errors import DataError
from visiongraft.preprocessing import Preprocessing

RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
"""Pillow's filters, which average over all pixels that an output pixel covers (antialiasing)."""

CROP_ATTEMPTS = 10
"""How often a crop is drawn before the largest central one is taken, as in torchvision."""


@runtime_checkable
class Transform(Protocol):
    """Turns an RGB image of any size into the pixels of one fixed size.

    What is random in it comes from the global generators of torch, Python or numpy: the loader seeds them anew for
    each sample.
    """

    @property
    def pre(self) -> Preprocessing:
        """What the network expects."""

    def __call__(self, image: Image.Image) -> UInt8[Tensor, "3 h w"]:
        """Transform an image."""


@dataclass(frozen=True)
class EvalTransform:
    """Shrink the image until its central crop is what `pre` asks for: nothing is random.

    Where `pre` asks for squashing, each side is shrunk by itself.

    An image that has the right size already is passed on as it is. For a square the result is that of torchvision's
    `Resize` and `CenterCrop`; for another shape the image is resized just so far that it covers the crop.
    """

    pre: Preprocessing

    def __call__(self, image: Image.Image) -> UInt8[Tensor, "3 h w"]:
        """Transform an image."""
        return to_tensor(self.show(image))

    def show(self, image: Image.Image) -> Image.Image:
        """Give what the network is shown of an image."""
        height, width = self.pre.image
        if image.size != (width, height):
            image = self._resize(image if self.pre.fit == "squash" else _middle(image, height, width))
            left, top = round((image.width - width) / 2), round((image.height - height) / 2)
            image = image.crop((left, top, left + width, top + height))
        return image

    def _resize(self, image: Image.Image) -> Image.Image:
        """Resize so that the image just covers the crop, and the margin that the crop cuts off."""
        height, width = (int(side / self.pre.crop) for side in self.pre.image)
        if self.pre.fit == "squash":
            return image.resize((width, height), RESAMPLING[self.pre.interpolation])
        # The side that just covers is set exactly; the other follows, cut to whole pixels as torchvision does.
        if image.width * height <= image.height * width:
            size = (width, width * image.height // image.width)
        else:
            size = (height * image.width // image.height, height)
        return image if size == image.size else image.resize(size, RESAMPLING[self.pre.interpolation])


def _middle(image: Image.Image, height: int, width: int) -> Image.Image:
    """Cut the ends off an image that is far longer than what is shown of it: resized, it could fill the memory."""
    longest_width = min(image.width, round(_LONGEST * image.height * width / height))
    longest_height = min(image.height, round(_LONGEST * image.width * height / width))
    if (longest_width, longest_height) == image.size:
        return image
    left, top = (image.width - longest_width) // 2, (image.height - longest_height) // 2
    return image.crop((left, top, left + longest_width, top + longest_height))


_LONGEST = 64  # times longer than what is shown


@dataclass(frozen=True)
class TrainTransform:
    """Cut out a random part, resize it, and flip every other one: `RandomResizedCrop` and `RandomHorizontalFlip`.

    Args:
        pre: what the network expects.
        scale: the least and the largest share of the image's area that is cut out.
        ratio: the narrowest and the widest shape of what is cut out, as width over height, relative to the shape of
            `pre.image`, so that a network of wide images is shown wide parts. For a square this is torchvision's.
        flip: the probability of mirroring left and right.

    Source: torchvision's `RandomResizedCrop`, drawn and resized in the same way. Written again because at 64 pixels
    its general machinery takes about as long as the resizing itself: docs/decisions/0002-house.md has the figures.
    """

    pre: Preprocessing
    scale: tuple[float, float] = (0.35, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            DataError: if one is empty or out of bounds.
        """
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise DataError(f"A crop's scale of {self.scale} is no range of shares within (0, 1].")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise DataError(f"A crop's ratio of {self.ratio} is no range of numbers above 0.")
        if not 0 <= self.flip <= 1:
            raise DataError(f"A flip of {self.flip} is no probability in [0, 1].")

    def __call__(self, image: Image.Image) -> UInt8[Tensor, "3 h w"]:
        """Transform an image."""
        return to_tensor(self.show(image))

    def show(self, image: Image.Image) -> Image.Image:
        """Give a random part of an image, resized."""
        height, width = self.pre.image
        view = self.draw(image.size)
        image = image.resize((width, height), RESAMPLING[self.pre.interpolation], box=view[:4])
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.mirrored else image

    def draw(self, size: tuple[int, int]) -> View:
        """Choose, from torch's global generator, what to show of an image of a width and a height."""
        # One call draws all that the crop and the flip can need; a call for each number would take far longer.
        *draws, mirror = torch.rand(2 * CROP_ATTEMPTS + 3).tolist()
        return View(*self._box(size, draws), mirrored=mirror < self.flip)

    def _box(self, size: tuple[int, int], draws: Sequence[float]) -> tuple[int, int, int, int]:
        """Choose the part to cut out: left, top, right and bottom."""
        width, height = size
        shape = self.pre.image[1] / self.pre.image[0]
        low, high = (math.log(each * shape) for each in self.ratio)
        across, down = draws[-2:]
        for attempt in range(CROP_ATTEMPTS):
            area = width * height * (self.scale[0] + (self.scale[1] - self.scale[0]) * draws[2 * attempt])
            aspect = math.exp(low + (high - low) * draws[2 * attempt + 1])
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                left, top = int(across * (width - w + 1)), int(down * (height - h + 1))
                return left, top, left + w, top + h
        aspect = min(max(width / height, math.exp(low)), math.exp(high))
        w, h = min(width, round(height * aspect)), min(height, round(width / aspect))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h


@dataclass(frozen=True)
class PaddedCrop:
    """Put a black margin around an image, cut out a part of the image's size, and flip every other one.

    It is what CIFAR's recipes do: torchvision's `RandomCrop(size, padding)` and `RandomHorizontalFlip`. An image of
    another size is resized and cut as for evaluation first, without a further crop.

    Args:
        pre: what the network expects.
        padding: width of the margin in pixels.
        flip: the probability of mirroring left and right.
    """

    pre: Preprocessing
    padding: int
    flip: float = 0.5

    def __call__(self, image: Image.Image) -> UInt8[Tensor, "3 h w"]:
        """Transform an image."""
        return to_tensor(self.show(image))

    def show(self, image: Image.Image) -> Image.Image:
        """Give a random part of an image and its margin."""
        height, width = self.pre.image
        view = self.draw((width, height))  # of the resized image, in whole pixels
        image = EvalTransform(replace(self.pre, crop=1.0)).show(image)
        image = image.crop((int(view.left), int(view.top), int(view.right), int(view.bottom)))
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.mirrored else image

    def draw(self, size: tuple[int, int]) -> View:
        """Choose, from torch's global generator, what to show of an image of a width and a height in this shape."""
        across, down, mirror = torch.rand(3).tolist()
        height, width = self.pre.image
        left, top = (int(draw * (2 * self.padding + 1)) - self.padding for draw in (across, down))
        wide, high = size[0] / width, size[1] / height  # the image's pixels for each one shown
        box = (left * wide, top * high, (left + width) * wide, (top + height) * high)
        return View(*box, mirrored=mirror < self.flip)


def to_tensor(image: Image.Image) -> UInt8[Tensor, "3 h w"]:
    """Copy the pixels of an RGB image. They keep their order in memory, which is channels-last."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)  # h w 3 -> 3 h w


@dataclass(frozen=True)
class Rows:
    """Which rows of a batch a part of it holds: what is drawn for a row does not depend on how a batch is cut.

    Args:
        whole: how many rows the batch has.
        first: the place of the part's first row.
        places: of the rows that the part really has, counted from its first; None for one after the other.
    """

    whole: int
    first: int = 0
    places: tuple[int, ...] | None = None

    def uniform(self, count: int, *, each: int = 1, device: torch.device) -> Float[Tensor, "each count"]:
        """Draw from [0, 1) for the whole batch, from torch's global generator, and give what the part's rows get.

        Args:
            count: how many rows the part has.
            each: how many numbers each row gets.
            device: of the generator, and of the numbers.
        """
        drawn = torch.rand(each, self.whole, device=device)[:, self.first :]
        return drawn[:, :count] if self.places is None else drawn[:, list(self.places)]


def rotate(pixels: Float[Tensor, "b 3 h w"], degrees: float, rows: Rows | None = None) -> Float[Tensor, "b 3 h w"]:
    """Turn each image around its middle by an angle drawn from -degrees to degrees; its edge fills the corners.

    The angles come from torch's global generator of the images' device. As for `jitter_colors`, a batch is turned at
    once; torchvision's `RandomRotation` turns one image after another. The filter is bicubic, and so shoots over the
    range of the pixels where they change at once: a bilinear one blurs, and a network that learns from blurred images
    does worse on sharp ones (docs/decisions/0004-muon.md has the figures).

    Args:
        pixels: of any scale.
        degrees: the largest angle, in [0, 180]; 0 changes nothing.
        rows: which rows of a batch these are; by default all.
    """
    if degrees == 0.0:
        return pixels
    draws = (rows or Rows(len(pixels))).uniform(len(pixels), device=pixels.device)[0]  # b
    with torch.autocast(pixels.device.type, enabled=False):  # half precision would shift the pixels
        return _turned(pixels, (2.0 * draws - 1.0) * math.radians(degrees))


def _turned(pixels: Tensor, angles: Tensor) -> Tensor:
    height, width = pixels.shape[2:]
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]  # b 1 1
    x, y = (2.0 * torch.arange(side, device=pixels.device) + 1.0 - side for side in (width, height))
    y = y[:, None]
    # Counted in half pixels from the middle; the sampling grid is told in halves of a side.
    grid = torch.stack([(x * cos - y * sin) / width, (x * sin + y * cos) / height], dim=-1)  # b h w 2
    return F.grid_sample(pixels, grid, mode="bicubic", padding_mode="border", align_corners=False)


def jitter_colors(
    pixels: Float[Tensor, "b 3 h w"], strength: float, rows: Rows | None = None
) -> Float[Tensor, "b 3 h w"]:
    """Change saturation, contrast and brightness of each image by factors drawn from 1 - strength to 1 + strength.

    The factors come from torch's global generator of the images' device. A whole batch is changed at once, which costs
    a small part of what torchvision's `ColorJitter` takes for one image after another.

    Args:
        pixels: from 0 to 255, or a little beyond.
        strength: in [0, 1]; 0 changes nothing but what lies beyond.
        rows: which rows of a batch these are; by default all.

    Returns:
        Pixels from 0 to 255.
    """
    if strength == 0.0:
        return pixels.clamp(0.0, 255.0)
    draws = (rows or Rows(len(pixels))).uniform(len(pixels), each=3, device=pixels.device)[..., None, None]
    saturation, contrast, brightness = 1.0 + strength * (2.0 * draws - 1.0)  # b 1 1 each
    gray = sum(share * pixels[:, channel] for channel, share in enumerate(_LUMA))  # b h w
    assert isinstance(gray, Tensor)
    # The three changes are each a mix of the pixel with gray, with the mean gray and with black: so is all of them.
    own = brightness * contrast * saturation
    rest = gray * (brightness * contrast - own) + gray.mean((1, 2), keepdim=True) * (
        brightness - brightness * contrast
    )
    return torch.addcmul(rest[:, None], pixels, own[:, None]).clamp_(0.0, 255.0)


_LUMA = (0.299, 0.587, 0.114)  # how much red, green and blue count for the eye: ITU-R BT.601
