"""What the training of a classifier is made of, beside the network and the data."""

from dataclasses import dataclass, replace
from typing import Literal

from visiongraft.data.augment import parse_policy
from visiongraft.errors import GraftError
from visiongraft.kernels.types import Grid
from visiongraft.train.course import Course, Range, check_ranges

Loss = Literal["cross_entropy", "bce"]
Balance = Literal["none", "balanced"]
Remode = Literal["pixel", "const"]

NONE = "none"
"""Says of an option that takes words that there is to be none of it."""


@dataclass(frozen=True)
class Recipe(Course):
    """How to train: the defaults suit a few thousand images and a network of a few million parameters.

    `graft train --help` shows this list, behind that of a course: in it, words in code are options.

    Args:
        freeze: parts that keep their weights, as stem,stage1 or patterns as stages.0.*; none for none.
        loss: cross-entropy over the classes, or bce, binary cross-entropy of each class, in the mean over
            images and classes.
        label_smoothing: share of the target that is spread over all classes, in [0, 1).
        class_weights: balanced lets all classes count alike in the loss, however many images they have.
        sampler: balanced shows each class as often as any other, some images then more than once an epoch.
        aug_repeats: how often an image appears in a batch, each time drawn anew; an epoch then shows fewer images.
        drop_path: probability of dropping the last residual branch, in [0, 1); it grows from 0 at the first.
        dropout: probability of dropping a feature before the classifier, in [0, 1).
        grow_from: size of the training images at the first epoch, as a share of the network's, in (0, 1].
        grow_to: the same at the last epoch; validation is always at the full size, where objects look as large as in
            the random crops of somewhat smaller images.
        multi_scale: how far the size of a step's images is changed at random, as a share of it, in [0, 1).
        crop_scale: smallest share of an image's area that a random crop shows, in (0, 1].
        crop_ratio: largest width over height of a random crop, beside that of the image; the smallest is its inverse.
        crop_padding: pixels of black around an image of which a crop of its own size is taken; 0 for crops by
            `crop_scale` and `crop_ratio`.
        flip: probability of mirroring an image, in [0, 1].
        aa: changes of single images by torchvision, as rand-m9-n2, trivial or none.
        rotation: largest angle in degrees by which an image is turned at random, in [0, 180].
        color_jitter: how far saturation, contrast and brightness are changed at random, in [0, 1].
        cutout: side in pixels of a square that is cut out of each image; 0 for none.
        reprob: probability of erasing a rectangle of an image, in [0, 1].
        remode: what it is filled with, noise in every pixel or one constant colour, the mean.
        mixup: concentration of the Beta distribution that shares of two images are drawn from; 0 for no mixup.
        cutmix: the same for the area that is pasted from another image; 0 for no cutmix.
        mixup_prob: probability of mixing a batch, where mixup or cutmix is on, in [0, 1].
        mixup_switch_prob: probability that it is cutmix, where both are on, in [0, 1].
    """

    freeze: str = NONE
    loss: Loss = "cross_entropy"
    label_smoothing: float = 0.1
    class_weights: Balance = "none"
    sampler: Balance = "none"
    aug_repeats: int = 1
    drop_path: float = 0.1
    dropout: float = 0.0
    grow_from: float = 0.5
    grow_to: float = 0.9
    multi_scale: float = 0.0
    crop_scale: float = 0.25
    crop_ratio: float = 4 / 3
    crop_padding: int = 0
    flip: float = 0.5
    aa: str = NONE
    rotation: float = 15.0
    color_jitter: float = 0.3
    cutout: int = 0
    reprob: float = 0.0
    remode: Remode = "pixel"
    mixup: float = 0.0
    cutmix: float = 0.0
    mixup_prob: float = 1.0
    mixup_switch_prob: float = 0.5

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            GraftError: if one cannot be; it names the option of `graft train`.
        """
        check_ranges(self, _RANGES)
        super().__post_init__()
        self._check_together()
        parse_policy(self.aa)

    def _check_together(self) -> None:
        """Check values that depend on one another."""
        if self.batch_size % self.aug_repeats:
            raise GraftError(f"--aug-repeats must divide --batch-size {self.batch_size}, not be {self.aug_repeats}.")
        if self.sampler == "balanced" and self.aug_repeats > 1:
            raise GraftError("--sampler balanced and --aug-repeats are two orders of one epoch. Give one of them.")

    def at_a_standstill(self) -> "Recipe":
        """Give the recipe with rates so small that nothing is learnt and nothing can diverge, to time its steps."""
        return replace(self, lr=min(self.lr, _STANDSTILL), min_lr=0.0, warmup_lr=0.0)

    def image_at(self, epoch: int, image: Grid, *, smallest: int = 1) -> Grid:
        """Give height and width in pixels of the training images in an epoch: a line from `grow_from` to `grow_to`.

        Args:
            epoch: from 0.
            image: height and width of the network's images.
            smallest: no side gets shorter than this.

        Sides are multiples of 8, unless they are whole, so that an image does not grow by a pixel each epoch.
        """
        share = self.grow_from + (self.grow_to - self.grow_from) * epoch / max(self.epochs - 1, 1)
        return image if share == 1.0 else in_eights(share, image, smallest=smallest)


def in_eights(share: float, image: Grid, *, smallest: int) -> Grid:
    """Give a share of a height and a width in pixels, as multiples of 8, but none below `smallest`."""
    height, width = (max(8 * round(share * side / 8), smallest) for side in image)
    return height, width


_STANDSTILL = 1e-6

_RANGES = (
    Range("at least 1", lambda value: value >= 1, "aug_repeats crop_ratio"),
    Range("at least 2, since batches are normalised", lambda value: value >= 2, "batch_size"),
    Range("at least 0", lambda value: value >= 0, "crop_padding cutout mixup cutmix"),
    Range("in [0, 1)", lambda value: 0 <= value < 1, "label_smoothing drop_path dropout multi_scale"),
    Range("in (0, 1]", lambda value: 0 < value <= 1, "grow_from grow_to crop_scale"),
    Range("in [0, 1]", lambda value: 0 <= value <= 1, "color_jitter flip reprob mixup_prob mixup_switch_prob"),
    Range("in [0, 180]", lambda value: 0 <= value <= 180, "rotation"),
)
