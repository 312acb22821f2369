"""What the loop of a training asks of what is trained. It knows neither images nor labels, and a task no loop."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from visiongraft.data.loader import Failure
from visiongraft.data.sampling import Share
from visiongraft.train.course import Course
from visiongraft.train.devices import Hardware
from visiongraft.train.team import Team


class Part(Protocol):
    """A part of a step's batch: what a device learns from at a time."""

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The images that could not be read, and are missing."""

    @property
    def readable(self) -> int:
        """How many images it has."""

    @property
    def size(self) -> str:
        """Height and width of its images, in words."""

    def to(self, device: torch.device) -> Self:
        """Give it on a device."""

    def first(self, number: int) -> Self:
        """Keep the first images."""

    def blank(self) -> Self:
        """Give one image that shows nothing, in place of a part of which none could be read."""


P = TypeVar("P", bound=Part)
E = TypeVar("E")
S_co = TypeVar("S_co", covariant=True)
E_co = TypeVar("E_co", covariant=True)


class Loss(NamedTuple):
    """The mean loss of a part of a batch, and the terms of which it is the sum, where it is one of several."""

    total: Tensor
    terms: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Score(Generic[E_co]):
    """How good a network is.

    Args:
        row: in named numbers, as metrics.csv and the file of the weights tell it.
        found: all that the validation gave.
        failures: images that could not be read.
        fault: what shows that the training has diverged; empty where nothing does.
    """

    row: Mapping[str, float]
    found: E_co
    failures: tuple[Failure, ...] = ()
    fault: str = ""


class Task(Protocol[P, E_co]):
    """What is trained, in one of the processes: its network, and what the network is shown."""

    @property
    def network(self) -> nn.Module:
        """The network as it is before the first step; the loop lets it learn."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a score's numbers, in the order of metrics.csv."""

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of a loss' terms."""

    @property
    def fewest(self) -> int:
        """How many images a part of a batch needs, on all devices together."""

    @property
    def remedy(self) -> str:
        """The options, beside those of a batch, with which a step takes less memory."""

    def belongs(self) -> dict[str, Any]:
        """Tell what the run is of, as plain values; the first process alone is asked."""

    def batches(self, first_step: int) -> Iterable[P]:
        """Hand out the parts of this process, of all steps from one on."""

    def loss(self, network: Callable[..., Any], part: P, *, step: int, place: int) -> Loss:
        """Give the loss of a part of at least one image, on the network's device: the so-manieth part of a step."""

    def score(self, network: nn.Module, team: Team) -> Score[E_co]:
        """Judge a network; all processes are asked at once, and get the same answer.

        Raises:
            NothingToJudgeError: if no image could be read.
            RunError: if the memory does not suffice.
        """

    def rank(self, row: Mapping[str, float]) -> tuple[float, ...]:
        """Give what decides between two scores: the greater one is better."""

    def write(self, tensors: Mapping[str, Tensor], path: Path, scores: Mapping[str, float]) -> None:
        """Write weights to a file, with their scores."""

    def read(self, path: Path) -> tuple[nn.Module, Mapping[str, float]]:
        """Read what `write` wrote: the network on the CPU, and the scores."""


class Job(Protocol[S_co, P, E_co]):
    """What is to be trained, as values, before any process has begun."""

    @property
    def recipe(self) -> Course:
        """How the training goes."""

    @property
    def spec(self) -> S_co:
        """What the network is."""

    @property
    def images(self) -> int:
        """How many there are, to learn from and to be scored on."""

    @property
    def norms(self) -> Literal["together", "apart"]:
        """Whether batch-norms see the part of a batch that all processes have, or each that of its own."""

    def check(self, hardware: Hardware) -> None:
        """Refuse what cannot be trained so.

        Raises:
            GraftError: if it cannot.
        """

    def steps(self, share: Share) -> int:
        """Count the steps of the whole run.

        Raises:
            DataError: if a batch cannot be filled, or not be cut so.
        """

    def begun(self) -> tuple[nn.Module, tuple[str, ...]]:
        """Make the network with the numbers that it begins with, and tell what the user should know of these."""

    def outlined(self) -> nn.Module:
        """Make the network without any care for its numbers, for processes that are told them."""

    def task(self, network: nn.Module, share: Share, hardware: Hardware) -> Task[P, E_co]:
        """Take up the work in one process, with the network on its device."""
