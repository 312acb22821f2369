"""What every training is made of, whatever it is that is trained: steps, rates, and what is kept."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

from visiongraft.errors import GraftError

Precision = Literal["float32", "bfloat16"]
Optimiser = Literal["muon", "adamw", "sgd", "nesterov", "lamb"]
Schedule = Literal["cosine", "linear", "step", "late_steps", "onecycle"]
Keep = Literal["best", "last"]


@dataclass(frozen=True)
class Course:
    """How a training goes, step by step. What is shown in a step, and what the loss is, are for others to say.

    The help of verbs that train shows this list: in it, words in code are options.

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
        sched: how the rate falls behind the warm-up: along half a cosine, a linear line, by `decay_rate` at each step
            of `decay_epochs`, or at the late_steps of detectors, two thirds and eight ninths of the run; or onecycle,
            ConvMixer's, up for two fifths of the run and down in two lines.
        warmup_epochs: epochs during which the learning rate rises.
        warmup_lr: where it rises from, at most `lr`.
        min_lr: where it falls to, at most `lr`.
        decay_epochs: epochs between two falls of the schedule in steps, above 0.
        decay_rate: factor of each of these falls, in (0, 1].
        model_ema_decay: share of the moving average of the weights that a step keeps, in [0, 1); above 0, the averaged
            weights are those that are scored and kept.
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
    sched: Schedule = "cosine"
    warmup_epochs: float = 2.0
    warmup_lr: float = 0.0
    min_lr: float = 0.0
    decay_epochs: float = 30.0
    decay_rate: float = 0.1
    model_ema_decay: float = 0.0
    precision: Precision = "float32"
    val_every: int = 4
    keep: Keep = "best"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            GraftError: if one cannot be; it names the option of `graft train`.
        """
        check_ranges(self, _RANGES)
        for field in fields(self):
            words = get_args(field.type)
            if words and getattr(self, field.name) not in words:
                expected, found = " or ".join(words), getattr(self, field.name)
                raise GraftError(f"{option_of(field.name)} must be {expected}, not {found}.")
        for name in ("min_lr", "warmup_lr"):
            if getattr(self, name) > self.lr:
                raise GraftError(f"{option_of(name)} must be at most --lr {self.lr:g}, not {getattr(self, name):g}.")


class Range(NamedTuple):
    """What some numbers have to be, in words and as a test; their names have spaces between them.

    What is no number is in no range.
    """

    words: str
    holds: Callable[[float], bool]
    names: str


def check_ranges(course: Any, ranges: tuple[Range, ...]) -> None:  # noqa: ANN401 - has the names, as numbers
    """Refuse a number that is out of its range.

    Raises:
        GraftError: if one is; it names the option.
    """
    for each in ranges:
        for name in each.names.split():
            if not each.holds(getattr(course, name)):
                raise GraftError(f"{option_of(name)} must be {each.words}, not {getattr(course, name)}.")


def option_of(name: str) -> str:
    """Give the option that sets a value."""
    return f"--{name.replace('_', '-')}"


_LARGEST = 1e30  # steps of a larger rate are no float32 numbers any more

_RANGES = (
    Range("at least 1", lambda value: value >= 1, "epochs batch_size grad_accum_steps val_every"),
    Range(f"above 0 and at most {_LARGEST:g}", lambda value: 0 < value <= _LARGEST, "lr opt_eps decay_epochs"),
    Range("at least 0", lambda value: value >= 0, "warmup_epochs warmup_lr min_lr weight_decay clip_grad"),
    Range("at least 0 and below 2**63", lambda value: 0 <= value < 2**63, "seed"),
    Range("in [0, 1)", lambda value: 0 <= value < 1, "momentum beta1 beta2 model_ema_decay"),
    Range("in (0, 1]", lambda value: 0 < value <= 1, "layer_decay decay_rate"),
)
