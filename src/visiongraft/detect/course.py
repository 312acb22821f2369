"""What the training of a detector is made of, beside the detector and the data."""

from dataclasses import dataclass

from visiongraft.errors import GraftError
from visiongraft.train.course import Course, Optimiser, Range, check_ranges
from visiongraft.train.recipe import NONE


@dataclass(frozen=True)
class DetectionCourse(Course):
    """How to train a detector: the defaults suit a few hundred images, and weights that begin at random.

    Args:
        flip: probability of mirroring an image, in [0, 1].
        jitter: by which factors an image is at random shown smaller and larger, as 0.1,2.0, or none; what is larger is
            cut and what is smaller is padded, to a square of --max-size.
        color_jitter: how far brightness, contrast and saturation are changed at random, in [0, 1].
    """

    epochs: int = 36
    batch_size: int = 4
    opt: Optimiser = "adamw"
    lr: float = 1e-3
    warmup_epochs: float = 1.0
    flip: float = 0.5
    jitter: str = NONE
    color_jitter: float = 0.0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            GraftError: if one cannot be; it names the option of `graft detect train`.
        """
        check_ranges(self, _RANGES)
        super().__post_init__()
        if self.layer_decay < 1.0:
            raise GraftError(f"A detector has no --layer-decay, and {self.layer_decay} came. Leave it out.")
        parse_jitter(self.jitter)

    @property
    def scales(self) -> tuple[float, float]:
        """Smallest and largest factor of `jitter`; 1 and 1 for none."""
        return parse_jitter(self.jitter)


_RANGES = (Range("in [0, 1]", lambda value: 0 <= value <= 1, "flip color_jitter"),)


def parse_jitter(text: str) -> tuple[float, float]:
    """Read the factors of a scale jitter; 1 and 1 where there is to be none.

    Raises:
        GraftError: if it is no pair of numbers above 0, the smaller one first.

    >>> parse_jitter("0.1,2.0")
    (0.1, 2.0)
    """
    if text == NONE:
        return 1.0, 1.0
    try:
        least, most = (float(each) for each in text.split(","))
    except ValueError:
        least, most = 0.0, 0.0
    if not 0 < least <= most <= _LARGEST:
        raise GraftError(f"--jitter takes two factors, as 0.1,2.0, the smaller one first, or none, and got {text!r}.")
    return least, most


_LARGEST = 100.0
