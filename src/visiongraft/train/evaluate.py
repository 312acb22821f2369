"""How good a network is on labelled images: the one place where scores are computed."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from visiongraft.data.loader import Failure, Samples, make_loader
from visiongraft.data.sets import ImageSet
from visiongraft.data.transforms import EvalTransform
from visiongraft.errors import DataError
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing, normalize

_TOP = 5


class NothingToJudgeError(DataError):
    """No image at all could be read."""

    def __init__(self, failures: tuple[Failure, ...]) -> None:
        first = failures[0]
        super().__init__(
            f"None of the {len(failures)} images to be judged could be read, the first is {first.name}:"
            f" {first.reason}. Give readable ones in --data."
        )
        self.failures = failures


@dataclass(frozen=True)
class Evaluation:
    """What a network said of every image, and how often it was right.

    Args:
        probabilities: (images, classes), each row summing to 1.
        labels: the true class of each image.
        indices: the place of each image in its set.
        loss: mean cross-entropy, in nats.
        failures: images that could not be read and count nowhere.
        seconds: duration, reading included.
    """

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    loss: float
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def images(self) -> int:
        """How many images were judged."""
        return len(self.labels)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The most probable class of each image."""
        return self.probabilities.argmax(axis=1)

    @property
    def top1(self) -> float:
        """Share of images whose most probable class is the true one, in [0, 1]."""
        return float((self.predictions == self.labels).mean())

    @property
    def top5(self) -> float:
        """Share of images whose true class is among the five most probable, in [0, 1]."""
        own = self.probabilities[np.arange(self.images), self.labels][:, None]
        # Of equal ones the first counts as more probable, as in `predictions`. Written so that numbers which are none,
        # after a division by zero, make the answer wrong and not right.
        earlier = np.arange(self.probabilities.shape[1]) < self.labels[:, None]
        ahead = ~(self.probabilities <= own) | ((self.probabilities == own) & earlier)
        return float((ahead.sum(axis=1) < _TOP).mean())

    @property
    def confusion(self) -> NDArray[np.int64]:
        """How many images of each class (row) were taken for each class (column)."""
        classes = self.probabilities.shape[1]
        pairs = self.labels * classes + self.predictions
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def evaluate(
    network: Network,
    images: ImageSet,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 64,
    workers: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> Evaluation:
    """Judge every image of a set, in float32 and in eval mode; the network is left in the mode that it was in.

    Args:
        network: on the device where the work is to be done.
        images: with labels below the network's number of classes.
        preprocessing: what images go through.
        batch_size: images at a time.
        workers: processes that read images beside this one.
        on_batch: told after each batch how many images were done in it.

    Raises:
        NothingToJudgeError: if no image at all could be read.
        DataError: if a label has no logit.
    """
    if len(images) and int(images.labels.max()) >= network.num_classes:
        raise DataError(
            f"The data has a class number {int(images.labels.max())}, and {network.spec.name} tells"
            f" {network.num_classes} classes apart. Use data with the classes that the network was trained on."
        )
    samples = Samples(images, EvalTransform(preprocessing))
    loader = make_loader(samples, batch_size=batch_size, order="sequential", workers=workers)
    device = next(network.parameters()).device
    rows: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    failures: list[Failure] = []
    began, mode = perf_counter(), network.training
    network.eval()
    try:
        with torch.inference_mode():
            for batch in loader:
                failures += batch.failures
                if len(batch.labels):
                    logits = network(normalize(batch.images.to(device), preprocessing)).float().cpu()
                    rows.append((logits, batch.labels, batch.indices))
                if on_batch is not None:
                    on_batch(len(batch.labels) + len(batch.failures))
    finally:
        network.train(mode)
    if not rows:
        raise NothingToJudgeError(tuple(failures))
    logits, labels, indices = (torch.cat(column) for column in zip(*rows, strict=True))
    return Evaluation(
        logits.softmax(dim=1).numpy(),
        labels.numpy(),
        indices.numpy(),
        float(F.cross_entropy(logits, labels)),
        tuple(failures),
        perf_counter() - began,
    )
