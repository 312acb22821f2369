"""Images with their objects, as torchvision's detectors take them, drawn by (seed, epoch, index), in batches."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import tv_tensors

from visiongraft.data.images import UnreadableImage
from visiongraft.data.loader import Failure, Memory, loader_of
from visiongraft.data.sampling import Draw
from visiongraft.detect.annotations import DetectionSet
from visiongraft.detect.scenes import Scene, Step, without_vanished
from visiongraft.errors import DataError

Wanted = Literal["boxes", "masks"]
"""What a detector learns: boxes alone, or masks with them."""


class _Boxes(TypedDict):
    """What every target has."""

    boxes: Float32[Tensor, "n 4"]
    labels: Int64[Tensor, " n"]
    image_id: int
    name: str
    area: Float32[Tensor, " n"]
    iscrowd: Int64[Tensor, " n"]


class Target(_Boxes, total=False):
    """What is on an image, in torchvision's words: boxes x0 y0 x1 y1, labels from 1, and masks where they are wanted.

    `image_id` is the place of the image in its set, from 0, `name` is its file, for errors, and `area` is that of what
    is seen, in pixels.
    """

    masks: UInt8[Tensor, "n h w"]


class DetectionSample(NamedTuple):
    """An image ready to be batched."""

    image: UInt8[Tensor, "3 h w"]
    target: Target
    index: int  # type: ignore[assignment]  # hides tuple.index


class DetectionBatch(NamedTuple):
    """Images with targets, each of its own size. Those that could not be read are missing, and may be all."""

    images: list[UInt8[Tensor, "3 h w"]]
    targets: list[Target]
    indices: tuple[int, ...]
    failures: tuple[Failure, ...]

    def to(self, device: torch.device) -> "DetectionBatch":
        """Give the batch on a device; from pinned memory it travels while the device computes."""
        images = [each.to(device, non_blocking=True) for each in self.images]
        return self._replace(images=images, targets=[_target_on(device, each) for each in self.targets])

    @property
    def readable(self) -> int:
        """How many images there are."""
        return len(self.images)

    @property
    def size(self) -> str:
        """The largest height and the largest width of the images, in words."""
        return " x ".join(str(max(each.shape[axis] for each in self.images)) for axis in (1, 2))

    def first(self, number: int) -> "DetectionBatch":
        """Keep the first images."""
        return self._replace(images=self.images[:number], targets=self.targets[:number], indices=self.indices[:number])

    def blank(self) -> "DetectionBatch":
        """Give one black image that shows nothing, in place of a batch of none."""
        target: Target = {
            "boxes": torch.zeros(0, 4),
            "labels": torch.zeros(0, dtype=torch.int64),
            "image_id": -1,
            "name": "",
            "area": torch.zeros(0),
            "iscrowd": torch.zeros(0, dtype=torch.int64),
            "masks": torch.zeros(0, _BLANK, _BLANK, dtype=torch.uint8),
        }
        return DetectionBatch([torch.zeros(3, _BLANK, _BLANK, dtype=torch.uint8)], [target], (-1,), ())

    def inputs(self) -> list[Float32[Tensor, "3 h w"]]:
        """Give the images as torchvision's detectors take them, in [0, 1]."""
        return [each.float() / 255 for each in self.images]


_BLANK = 64  # pixels a side


def _target_on(device: torch.device, target: Target) -> Target:
    moved = {name: each.to(device, non_blocking=True) for name, each in target.items() if isinstance(each, Tensor)}
    return {**target, **moved}  # type: ignore[typeddict-item]  # the same names


class DetectionSamples(Dataset[DetectionSample | Failure]):
    """Images of a set under some steps, each drawn as (seed, epoch, index) says, whatever was drawn before.

    Objects that vanish are left out of the target, and an image whose objects all vanish stays, with none.

    Args:
        images: where they come from.
        steps: what is done to each, in turn; none to be scored on.
        wanted: "masks" draws shapes too.
        crowd: "drop" leaves crowd regions out of targets, as everybody does for learning.
        seed: of the run.

    Raises:
        DataError: if masks are wanted of objects without a shape.
    """

    def __init__(
        self,
        images: DetectionSet,
        steps: Sequence[Step] = (),
        *,
        wanted: Wanted = "boxes",
        crowd: Literal["drop", "keep"] = "drop",
        seed: int = 0,
    ) -> None:
        if wanted == "masks" and len(images.labels) and not images.has_masks:
            refuse_without_masks(images)
        self.images = images
        self.steps = tuple(steps)
        self.wanted = wanted
        self.crowd = crowd
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> DetectionSample | Failure:
        """Make one sample."""
        try:
            scene = self.scene(draw.index)
        except UnreadableImage as error:
            return Failure(draw.index, error.name, error.reason)
        generator = torch.Generator().manual_seed(draw.seed(self.seed))
        for step in self.steps:
            scene = step(scene, generator)
        target = target_of(without_vanished(scene), draw.index, self.images.name_of(draw.index))
        return DetectionSample(scene.image.as_subclass(Tensor), target, draw.index)

    def scene(self, index: int) -> Scene:
        """Read an image with its objects, as they are.

        Raises:
            UnreadableImage: if it cannot be read.
        """
        image = torch.from_numpy(np.array(self.images.load(index))).permute(2, 0, 1)
        objects = self.images.objects(index)
        if self.crowd == "drop":
            objects = objects.chosen(~objects.crowd)
        boxes = tv_tensors.BoundingBoxes(
            torch.from_numpy(objects.boxes).float(), format="XYXY", canvas_size=objects.size
        )
        return Scene(
            tv_tensors.Image(image),
            boxes,
            tv_tensors.Mask(torch.from_numpy(objects.masks())) if self.wanted == "masks" else None,
            torch.from_numpy(objects.labels.copy()),
            torch.from_numpy(objects.crowd.copy()),
        )


def refuse_without_masks(images: DetectionSet) -> None:
    """Say which object lacks a shape.

    Raises:
        DataError: in one line.
    """
    shaped = np.array([each is not None for each in images.outlines] or [False] * len(images.labels))
    bare = np.flatnonzero(~shaped)
    place = int(np.searchsorted(images.starts, bare[0], side="right")) - 1
    raise DataError(
        f"Masks are to be learnt, and {len(bare):,} of {len(images.labels):,} objects have none, the first on"
        f" {images.name_of(place)!r} (its {images.keys[bare[0]]!r}). Draw them, or take a detector of boxes."
    )


def target_of(scene: Scene, index: int, name: str) -> Target:
    """Write what is on an image as torchvision's detectors take it."""
    boxes = scene.boxes.as_subclass(Tensor).contiguous()
    sides = boxes[:, 2:] - boxes[:, :2]
    target: Target = {
        "boxes": boxes,
        "labels": scene.labels,
        "image_id": index,
        "name": name,
        "area": sides[:, 0] * sides[:, 1],
        "iscrowd": scene.crowd.long(),
    }
    if scene.masks is not None:
        masks = scene.masks.as_subclass(Tensor).contiguous()
        target["masks"] = masks
        pixels = [np.count_nonzero(each) for each in masks.numpy()]  # sums in 64 bits take a hundred times longer
        target["area"] = torch.tensor(pixels, dtype=torch.float32)
    return target


def make_detection_loader(
    samples: DetectionSamples, sampler: Sampler[list[Draw]], *, workers: int = 0, memory: Memory = "pageable"
) -> DataLoader[DetectionBatch]:
    """Batch images with their objects. Arguments as in `data.loader.loader_of`."""
    return loader_of(samples, sampler, collate_scenes, workers=workers, memory=memory)


def collate_scenes(samples: Sequence[DetectionSample | Failure]) -> DetectionBatch:
    """Put samples side by side, and failures aside."""
    made = [each for each in samples if isinstance(each, DetectionSample)]
    return DetectionBatch(
        [each.image for each in made],
        [each.target for each in made],
        tuple(each.index for each in made),
        tuple(each for each in samples if isinstance(each, Failure)),
    )
