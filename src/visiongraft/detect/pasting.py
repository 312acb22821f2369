"""Masks drawn into their image one by one: a hundred at once, at 12 megapixels, take ten gigabytes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from visiongraft.detect.outlines import RunLengths
from visiongraft.detect.scores import LIKELY, Prediction
from visiongraft.kernels.types import Grid


@contextmanager
def unpasted(detector: nn.Module) -> Iterator[None]:
    """Let a detector of torchvision give masks as its head makes them, each for its box alone.

    Boxes are those of the image as it was given, as ever.
    """
    transform: Any = detector.transform
    transform.postprocess = _resized
    try:
        yield
    finally:
        del transform.postprocess  # which shows that of its class again


def _resized(
    found: list[dict[str, Tensor]], shown: list[tuple[int, int]], given: list[tuple[int, int]]
) -> list[dict[str, Tensor]]:
    """Do what the method of this name does, with boxes alone."""
    for each, small, large in zip(found, shown, given, strict=True):
        each["boxes"] = resize_boxes(each["boxes"], small, large)
    return found


def pasted(output: Mapping[str, Tensor], size: Grid) -> Prediction:
    """Read what a detector gives for an image of a height and width while its masks are not drawn into that."""
    plain = Prediction.of({name: each for name, each in output.items() if name != "masks"})
    if "masks" not in output:
        return plain
    drawn = (
        paste_masks_in_image(mask[None], box[None], size)[0, 0] > LIKELY  # h w
        for mask, box in zip(output["masks"], output["boxes"], strict=True)
    )
    return plain._replace(masks=tuple(RunLengths.of(each.cpu().numpy()) for each in drawn))
