"""How good a network is on labelled images: the one place where scores are computed."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from visiongraft.data.loader import Failure, Samples, make_loader
from visiongraft.data.sampling import ScoringSampler, Share
from visiongraft.data.sets import ImageSet
from visiongraft.data.transforms import EvalTransform
from visiongraft.errors import DataError, RunError, is_shortage
from visiongraft.preprocessing import Preprocessing, normalize
from visiongraft.surgery.network import AnyNetwork
from visiongraft.train.team import ALONE, Team

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

    def __reduce__(self) -> tuple[type, tuple[tuple[Failure, ...]]]:
        """Go from process to process as what it is made from, and not as the text of it."""
        return type(self), (self.failures,)


class NoRoomError(RunError):
    """A batch of images does not fit into the memory; `what` says so without a remedy."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        count, _, height, width = shape
        self.what = f"{count} images of {height} x {width} to be judged at a time do not fit into the memory"
        super().__init__(f"{self.what}. Use a smaller --batch-size, --image or --model.")

    def __reduce__(self) -> tuple[type, tuple[tuple[int, ...]]]:
        """Go from process to process as what it is made from, and not as the text of it."""
        return type(self), (self.shape,)


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
    network: AnyNetwork,
    images: ImageSet,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 64,
    workers: int = 0,
    on_batch: Callable[[int], None] | None = None,
    team: Team = ALONE,
) -> Evaluation:
    """Judge every image of a set, in float32 and in eval mode; its modules are left in the modes that they were in.

    Args:
        network: on the device where the work is to be done.
        images: with labels below the network's number of classes.
        preprocessing: what images go through.
        batch_size: images at a time.
        workers: processes that read images beside this one.
        on_batch: told after each batch how many images were done in it.
        team: processes that share the work. Each takes whole batches, and each gets the whole answer, which is that of
            one process, to the last bit.

    Raises:
        NothingToJudgeError: if no image at all could be read.
        NoRoomError: if the memory does not suffice.
        DataError: if a label has no logit.
    """
    if len(images) and int(images.labels.max()) >= network.num_classes:
        raise DataError(
            f"The data has a class number {int(images.labels.max())}, and {network.spec.name} tells"
            f" {network.num_classes} classes apart. Use data with the classes that the network was trained on."
        )
    samples = Samples(images, EvalTransform(preprocessing))
    share = Share(team.rank, team.size)
    loader = make_loader(samples, ScoringSampler(len(images), batch_size=batch_size, share=share), workers=workers)
    device = next(network.parameters()).device
    found: list[_Judged] = []
    began = perf_counter()
    with evaluating(network), torch.inference_mode():
        for batch in loader:
            logits = torch.empty(0, network.num_classes)
            if len(batch.labels):
                logits = _logits(network, batch.images, preprocessing, device)
            elif team.size > 1:  # a network that is spread computes in all processes at once, or not at all
                network(_nothing(network, device))
            found.append(_Judged(logits, batch.labels, batch.indices, batch.failures))
            if on_batch is not None:
                on_batch(len(batch.labels) + len(batch.failures))
        for _ in range(len(loader), math.ceil(len(images) / batch_size / team.size)):
            network(_nothing(network, device))
    # Batch by batch in the order of the set: the processes took them in turn.
    turns = zip_longest(*team.gathered(found))
    return _evaluation([each for turn in turns for each in turn if each is not None], perf_counter() - began)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode, and each of its modules back into the mode that it was in."""
    mode = network.training
    frozen = [each for each in network.modules() if mode and not each.training]
    network.eval()
    try:
        yield
    finally:
        network.train(mode)
        for each in frozen:
            each.eval()


def _logits(
    network: AnyNetwork, images: torch.Tensor, preprocessing: Preprocessing, device: torch.device
) -> torch.Tensor:
    """Judge a batch."""
    try:
        return network(normalize(images.to(device), preprocessing)).float().cpu()
    except (RuntimeError, MemoryError) as error:
        if is_shortage(error):
            raise NoRoomError(tuple(images.shape)) from error
        raise


def _nothing(network: AnyNetwork, device: torch.device) -> torch.Tensor:
    """Give an image that shows nothing, for a process that has none to judge while others have."""
    return torch.zeros(1, network.spec.in_chans, *network.spec.image, device=device)


class _Judged(NamedTuple):
    """What came of one batch."""

    logits: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    failures: tuple[Failure, ...]


def _evaluation(found: Sequence[_Judged], seconds: float) -> Evaluation:
    """Put batches together."""
    failures = tuple(failure for each in found for failure in each.failures)
    logits = torch.cat([each.logits for each in found])
    labels = torch.cat([each.labels for each in found])
    indices = torch.cat([each.indices for each in found])
    if not len(labels):
        raise NothingToJudgeError(failures)
    return Evaluation(
        logits.softmax(dim=1).numpy(),
        labels.numpy(),
        indices.numpy(),
        float(F.cross_entropy(logits, labels)),
        failures,
        seconds,
    )
