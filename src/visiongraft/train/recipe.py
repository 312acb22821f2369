"""What a training run is made of, beside the network and the data."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple, get_args

from visiongraft.data.augment import parse_policy
from visiongraft.errors import GraftError
from visiongraft.kernels.types import Grid

Precision = Literal["float32", "bfloat16"]
Optimiser = Literal["muon", "adamw", "sgd", "nesterov", "lamb"]
Schedule = Literal["cosine", "linear", "step", "late_steps", "onecycle"]
Loss = Literal["cross_entropy", "bce"]
Balance = Literal["none", "balanced"]
Remode = Literal["pixel", "const"]
Keep = Literal["best", "last"]

NONE = "none"
"""Says of an option that takes words that there is to be none of it."""


@dataclass(frozen=True)
class Recipe:
    """How to train: the defaults suit a few thousand images and a network of a few million parameters.

    `graft train --help` shows this list: in it, words in code are options.

    Args:
        epochs: passes over the training images.
        batch_size: images per step, over all devices.
        grad_accum_steps: parts that each device learns from its share of a batch in, one after the other, which needs
            less memory; normalisations see a part at a time.
        opt: muon (for the matrices of the layers, with AdamW for the rest), adamw, sgd with momentum, nesterov (the
            same looking ahead) or lamb.
        lr: highest learning rate, reached after the warm-up.
        momentum: share of the running mean that a step of SGD keeps, in [0, 1).
        beta1: the same of AdamW and LAMB, in [0, 1).
        beta2: share that they keep of the running mean of squares, in [0, 1).
        opt_eps: what they add to the divisor, above 0.
        weight_decay: pull of the weights towards 0, but not of biases, normalisations and position tables.
        clip_grad: longest gradient as a Euclidean norm, to which longer ones are shortened; 0 switches clipping off.
        layer_decay: factor of the learning rate from each block to the one before it, in (0, 1].
        freeze: parts that keep their weights, as stem,stage1 or patterns as stages.0.*; none for none.
        sched: how the rate falls behind the warm-up: along half a cosine, a linear line, by `decay_rate` at each step
            of `decay_epochs`, or at the late_steps of detectors, two thirds and eight ninths of the run; or onecycle,
            ConvMixer's, up for two fifths of the run and down in two lines.
        warmup_epochs: epochs during which the learning rate rises.
        warmup_lr: where it rises from, at most `lr`.
        min_lr: where it falls to, at most `lr`.
        decay_epochs: epochs between two falls of the schedule in steps, above 0.
        decay_rate: factor of each of these falls, in (0, 1].
        loss: cross-entropy over the classes, or bce, binary cross-entropy of each class, in the mean over
            images and classes.
        label_smoothing: share of the target that is spread over all classes, in [0, 1).
        class_weights: balanced lets all classes count alike in the loss, however many images they have.
        sampler: balanced shows each class as often as any other, some images then more than once an epoch.
        aug_repeats: how often an image appears in a batch, each time drawn anew; an epoch then shows fewer images.
        model_ema_decay: share of the moving average of the weights that a step keeps, in [0, 1); above 0, the averaged
            weights are those that are scored and kept.
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
        precision: number format of the layers' arithmetic; weights are always float32.
        val_every: epochs between two validations; the first and the last epoch are always validated.
        keep: weights of the best validation, which its images then score as the ones that chose it; or of the last
            epoch, whose score is that of images that chose nothing.
        seed: of weights, order and augmentation.
    """

    epochs: int = 52
    batch_size: int = 128
    grad_accum_steps: int = 1
    opt: Optimiser = "muon"
    lr: float = 8e-3
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    opt_eps: float = 1e-8
    weight_decay: float = 0.05
    clip_grad: float = 1.0
    layer_decay: float = 1.0
    freeze: str = NONE
    sched: Schedule = "cosine"
    warmup_epochs: float = 2.0
    warmup_lr: float = 0.0
    min_lr: float = 0.0
    decay_epochs: float = 30.0
    decay_rate: float = 0.1
    loss: Loss = "cross_entropy"
    label_smoothing: float = 0.1
    class_weights: Balance = "none"
    sampler: Balance = "none"
    aug_repeats: int = 1
    model_ema_decay: float = 0.0
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
    precision: Precision = "float32"
    val_every: int = 4
    keep: Keep = "best"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            GraftError: if one cannot be; it names the option of `graft train`.
        """
        for each in _RANGES:
            for name in each.names.split():
                if not each.holds(getattr(self, name)):
                    raise GraftError(f"{_option(name)} must be {each.words}, not {getattr(self, name)}.")
        for field in fields(self):
            words = get_args(field.type)
            if words and getattr(self, field.name) not in words:
                expected, found = " or ".join(words), getattr(self, field.name)
                raise GraftError(f"{_option(field.name)} must be {expected}, not {found}.")
        self._check_together()
        parse_policy(self.aa)

    def _check_together(self) -> None:
        """Check values that depend on one another."""
        for name in ("min_lr", "warmup_lr"):
            if getattr(self, name) > self.lr:
                raise GraftError(f"{_option(name)} must be at most --lr {self.lr:g}, not {getattr(self, name):g}.")
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
_LARGEST = 1e30  # steps of a larger rate are no float32 numbers any more


class _Range(NamedTuple):
    """What some numbers have to be. What is no number is in no range."""

    words: str
    holds: Callable[[float], bool]
    names: str


_RANGES = (
    _Range("at least 1", lambda value: value >= 1, "epochs grad_accum_steps val_every aug_repeats crop_ratio"),
    _Range("at least 2, since batches are normalised", lambda value: value >= 2, "batch_size"),
    _Range(f"above 0 and at most {_LARGEST:g}", lambda value: 0 < value <= _LARGEST, "lr opt_eps decay_epochs"),
    _Range(
        "at least 0",
        lambda value: value >= 0,
        "warmup_epochs warmup_lr min_lr weight_decay clip_grad crop_padding cutout mixup cutmix",
    ),
    _Range("at least 0 and below 2**63", lambda value: 0 <= value < 2**63, "seed"),
    _Range(
        "in [0, 1)",
        lambda value: 0 <= value < 1,
        "momentum beta1 beta2 label_smoothing model_ema_decay drop_path dropout multi_scale",
    ),
    _Range("in (0, 1]", lambda value: 0 < value <= 1, "layer_decay decay_rate grow_from grow_to crop_scale"),
    _Range("in [0, 1]", lambda value: 0 <= value <= 1, "color_jitter flip reprob mixup_prob mixup_switch_prob"),
    _Range("in [0, 180]", lambda value: 0 <= value <= 180, "rotation"),
)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
