"""One step of a training: from the parts of a batch to changed weights."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Generic, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visiongraft.data.sampling import Share
from visiongraft.errors import RunError, is_shortage
from visiongraft.train.average import averaged
from visiongraft.train.compiling import Code, stance
from visiongraft.train.computing import Computing
from visiongraft.train.course import Course
from visiongraft.train.optim import make_optimizer
from visiongraft.train.parts import Turn, turns_of
from visiongraft.train.schedule import set_rate
from visiongraft.train.sharding import is_spread
from visiongraft.train.shortage import largest_that_fits, too_large
from visiongraft.train.synced import uncounted
from visiongraft.train.task import E, Loss, P, Task
from visiongraft.train.team import Team


class Learnt(NamedTuple):
    """What a device saw in a step: how many images, the sums of their losses and of these' terms, and the rate."""

    images: int
    loss: Tensor
    terms: tuple[Tensor, ...]
    rate: float


class Steps(Generic[P, E]):
    """Takes steps.

    Args:
        computing: the device of this process.
        team: the processes.
        task: what is learnt, and by which network.
        module: the network as `computing` has set it up: with gradients of all processes.
        course: how.
        code: how the network computes.
        steps: of the whole run.
    """

    def __init__(
        self,
        computing: Computing,
        team: Team,
        task: Task[P, E],
        module: nn.Module,
        course: Course,
        *,
        code: Code,
        steps: int,
    ) -> None:
        self.computing = computing
        self.team = team
        self.task = task
        self.module = module
        self.course = course
        self.code = code
        self.steps = steps
        self.share = Share(team.rank, team.size, course.grad_accum_steps)
        self.optimizer = make_optimizer(task.network, course)
        self.average = averaged(task.network, course.model_ema_decay) if course.model_ema_decay else None

    @property
    def to_keep(self) -> nn.Module:
        """The network that is scored and kept: the averaged one, where there is an average."""
        return self.task.network if self.average is None else self.average.module

    def nothing(self) -> Tensor:
        """Give a sum of nothing, on the device."""
        return torch.zeros((), device=self.computing.device)

    def take(self, parts: Sequence[P], step: int) -> Learnt:
        """Learn from the parts of a batch, in a step counted from 0.

        Raises:
            RunError: if the memory does not suffice.
        """
        rate = set_rate(self.optimizer, self.course, step, steps=self.steps)
        turns = turns_of(self.team.counts([each.readable for each in parts]), self.team.rank, fewest=self.task.fewest)
        losses, terms = self.nothing(), [self.nothing() for _ in self.task.terms]
        for turn in turns:
            loss = self._learnt(parts[turn.part], step, turn)
            if loss is None:
                raise self._too_much(parts[turn.part], step, turn.part)
            losses += loss.total * turn.images
            for term, more in zip(terms, loss.terms, strict=True):
                term += more * turn.images  # in place
        if turns and self.course.clip_grad:
            nn.utils.clip_grad_norm_(self.task.network.parameters(), self.course.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.task.network)
        return Learnt(sum(turn.images for turn in turns), losses, tuple(terms), rate)

    def _learnt(self, part: P, step: int, turn: Turn) -> Loss | None:
        """Add the gradients of a part of a batch, and give its loss; None where the memory does not suffice."""
        waits = self.team.size > 1 and not turn.last
        sending = self.computing.no_backward_sync(self.module) if waits else nullcontext()
        counted = nullcontext() if turn.images else uncounted(self.task.network)
        usual = self.course.batch_size // self.share.of
        try:
            part = (part if turn.images else part.blank()).to(self.computing.device)
            with sending, counted, stance(self.code, turn.images, usual):
                loss = self.task.loss(self.module, part, step=step, place=turn.part)
                self.computing.backward(loss.total * turn.weight)
        except (RuntimeError, MemoryError) as error:
            if is_shortage(error):
                return None  # and no error, which would hold on to all that was computed
            raise
        return Loss(loss.total.detach(), tuple(each.detach() for each in loss.terms))

    def _too_much(self, part: P, step: int, place: int) -> RunError:
        """Make the error that says how many images of a part the memory takes. The training is over then."""

        def forward(*images: Any) -> Any:  # noqa: ANN401 - whatever the network takes and gives
            with self.computing.autocast():
                return self.task.network(*images)

        def loss(some: P) -> Tensor:
            return self.task.loss(forward, some, step=step, place=place).total

        fits, network = None, self.task.network
        if not is_spread(network):  # to whose steps every process would have to come
            for each in network.modules():
                if self.team.size > 1 and isinstance(each, _BatchNorm):  # in training they wait for one another
                    each.eval()
            fits = largest_that_fits(
                loss, part, network, self.optimizer, self.computing.device, fewest=self.task.fewest
            )
        return too_large(
            part,
            fits,
            number=step + 1,
            course=self.course,
            share=self.share,
            device=self.computing.device,
            fewest=self.task.fewest,
            remedy=self.task.remedy,
        )
