"""What a training run is made of, beside the network and the data."""

from dataclasses import dataclass
from typing import Literal

from visiongraft.errors import GraftError
from visiongraft.kernels.types import Grid

Precision = Literal["float32", "bfloat16"]
_LARGEST_LR = 1e30  # steps of a larger one are no float32 numbers any more

Optimiser = Literal["muon", "adamw"]


@dataclass(frozen=True)
class Recipe:
    """How to train: the defaults suit a few thousand images and a network of a few million parameters.

    Args:
        epochs: passes over the training images.
        batch_size: images per step, over all devices.
        grad_accum_steps: parts that each device takes its share of a batch in, one after the other, which needs less
            memory. Normalisations see a part at a time.
        opt: "adamw", or "muon": Muon for the matrices in the middle of the network, and AdamW for the rest.
        lr: highest learning rate; it rises from 0 during the warm-up and falls to 0 along a cosine.
        warmup_epochs: epochs during which the learning rate rises.
        weight_decay: pull of the weights towards 0; biases, normalisations and position tables feel none.
        clip_grad: longest gradient, as a Euclidean norm; longer ones are shortened. 0 leaves them.
        label_smoothing: share of the target that is spread over all classes, in [0, 1).
        drop_path: probability of dropping the last residual branch, in [0, 1).
        dropout: probability of dropping a feature before the classifier, in [0, 1).
        grow_from: size of the training images at the first epoch, as a share of the network's image size, in (0, 1].
        grow_to: the same at the last epoch. Validation is always at the full size, where objects look as large as in
            the random crops of somewhat smaller images.
        crop_scale: smallest share of an image's area that a random crop shows, in (0, 1].
        rotation: largest angle by which an image is turned, in degrees, in [0, 180].
        color_jitter: how far saturation, contrast and brightness are changed at random, in [0, 1].
        flip: probability of mirroring an image, in [0, 1].
        precision: number format of the layers' arithmetic; weights are always float32.
        val_every: epochs between two validations; the first and the last epoch are always validated.
        seed: of weights, order and augmentation.
    """

    epochs: int = 52
    batch_size: int = 128
    grad_accum_steps: int = 1
    opt: Optimiser = "muon"
    lr: float = 8e-3
    warmup_epochs: float = 2.0
    weight_decay: float = 0.05
    clip_grad: float = 1.0
    label_smoothing: float = 0.1
    drop_path: float = 0.1
    dropout: float = 0.0
    grow_from: float = 0.5
    grow_to: float = 0.9
    crop_scale: float = 0.25
    rotation: float = 15.0
    color_jitter: float = 0.3
    flip: float = 0.5
    precision: Precision = "float32"
    val_every: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 2, "at least 2, since batches are normalised"),
            "grad_accum_steps": (self.grad_accum_steps >= 1, "at least 1"),
            "lr": (0.0 < self.lr <= _LARGEST_LR, f"above 0 and at most {_LARGEST_LR:g}"),
            "warmup_epochs": (self.warmup_epochs >= 0, "at least 0"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "clip_grad": (self.clip_grad >= 0, "at least 0"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
            "drop_path": (0 <= self.drop_path < 1, "in [0, 1)"),
            "dropout": (0 <= self.dropout < 1, "in [0, 1)"),
            "grow_from": (0 < self.grow_from <= 1, "in (0, 1]"),
            "grow_to": (0 < self.grow_to <= 1, "in (0, 1]"),
            "crop_scale": (0 < self.crop_scale <= 1, "in (0, 1]"),
            "rotation": (0 <= self.rotation <= 180, "in [0, 180]"),
            "color_jitter": (0 <= self.color_jitter <= 1, "in [0, 1]"),
            "flip": (0 <= self.flip <= 1, "in [0, 1]"),
            "seed": (0 <= self.seed < 2**63, "at least 0 and below 2**63"),
            "val_every": (self.val_every >= 1, "at least 1"),
        }
        for name, (holds, expected) in rules.items():
            if not holds:
                raise GraftError(f"--{name.replace('_', '-')} must be {expected}, not {getattr(self, name)}.")

    def image_at(self, epoch: int, image: Grid, *, smallest: int = 1) -> Grid:
        """Give height and width in pixels of the training images in an epoch: a line from `grow_from` to `grow_to`.

        Args:
            epoch: from 0.
            image: height and width of the network's images.
            smallest: no side gets shorter than this.

        Sides are multiples of 8, unless they are whole, so that an image does not grow by a pixel each epoch.
        """
        share = self.grow_from + (self.grow_to - self.grow_from) * epoch / max(self.epochs - 1, 1)
        if share == 1.0:
            return image
        height, width = (max(8 * round(share * side / 8), smallest) for side in image)
        return height, width
