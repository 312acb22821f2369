"""What an image goes through before a network sees it: a value that travels inside the weight file."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from operator import index
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from visiongraft.errors import DataError

RGB = tuple[float, float, float]
"""A number for each of red, green and blue, on the scale 0 to 1."""

IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)

Interpolation = Literal["bilinear", "bicubic"]
"""How images are resized."""

Fit = Literal["crop", "squash"]
"""How an image of another shape becomes one of the network's: cut at its longer side, or squeezed along it."""


@dataclass(frozen=True)
class Preprocessing:
    """What an image goes through before a network sees it; it travels inside the weight file.

    Args:
        image: height and width in pixels that the network is shown.
        mean: of the pixels, subtracted; ImageNet's unless told otherwise.
        std: of the pixels, divided by.
        interpolation: how images are resized.
        crop: the share of the resized image that the central crop keeps, in (0, 1]; timm's `crop_pct`.
        fit: whether resizing keeps the image's shape, so that the "crop" cuts off the rest, or "squash"es it into the
            network's; timm's `crop_mode`.
    """

    image: tuple[int, int] = (224, 224)
    mean: RGB = IMAGENET_MEAN
    std: RGB = IMAGENET_STD
    interpolation: Interpolation = "bicubic"
    crop: float = 0.875
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            DataError: if one cannot be.
        """
        if min(self.image) < 1:
            raise DataError(f"Images of {self.image} pixels cannot be shown. Expected at least 1 each way.")
        if not 0 < self.crop <= 1:
            raise DataError(f"A central crop of {self.crop} cannot be taken. Expected a share in (0, 1].")
        _known(self.interpolation, Interpolation, "Interpolation")
        _known(self.fit, Fit, "A fit")
        if not all(math.isfinite(each) for each in self.mean + self.std) or min(self.std) <= 0:
            raise DataError(f"Pixels cannot be normalised by mean {self.mean} and std {self.std}. A std is above 0.")

    def at(self, image: tuple[int, int]) -> "Preprocessing":
        """Give the same for another image size, (height, width) in pixels."""
        return replace(self, image=image)

    def to_dict(self) -> dict[str, Any]:
        """Give the values as JSON knows them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Preprocessing":
        """Read what `to_dict` gave, perhaps before there was a `fit`.

        Raises:
            DataError: if a key is missing or unknown, or a value is of another kind.
        """
        expected = {each.name for each in fields(cls)}
        document = {"fit": cls.fit, **document}
        if set(document) != expected:
            raise DataError(
                f"A preprocessing has the keys {sorted(expected)}. Missing here: "
                f"{sorted(expected - set(document)) or 'none'}; unknown: {sorted(set(document) - expected) or 'none'}."
            )
        try:
            height, width = (index(each) for each in document["image"])
            return cls(
                image=(height, width),
                mean=_rgb(document["mean"]),
                std=_rgb(document["std"]),
                interpolation=_known(document["interpolation"], Interpolation, "Interpolation"),
                crop=float(document["crop"]),
                fit=_known(document["fit"], Fit, "A fit"),
            )
        except (TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"A preprocessing cannot be read from {dict(document)}: {error}.") from None


def _known(value: Any, kind: Any, what: str) -> Any:  # noqa: ANN401 - whatever a document holds
    """See that a value is one of those that a `Literal` lists."""
    if value not in get_args(kind):
        raise DataError(f"{what} {value!r} is unknown. Expected one of {sorted(get_args(kind))}.")
    return value


def _rgb(values: Any) -> RGB:  # noqa: ANN401 - whatever a document holds
    """Read three numbers."""
    red, green, blue = (float(each) for each in values)
    return red, green, blue


def normalize(
    images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"], pre: Preprocessing
) -> Float[Tensor, "b 3 h w"]:
    """Turn pixels into the numbers that a network was trained on: (images / 255 - mean) / std.

    Batches stay bytes until they are on the device, since they travel four times as fast. The work is done in
    float32, and the memory format is kept.

    Args:
        images: from 0 to 255.
        pre: holds mean and std.
    """
    mean = torch.tensor(pre.mean, device=images.device).view(3, 1, 1) * 255
    std = torch.tensor(pre.std, device=images.device).view(3, 1, 1) * 255
    return torch.sub(images, mean).div_(std).float()
