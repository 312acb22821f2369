"""The loop of a training: steps, epochs, and what stands between them. It knows no library of loops."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Generic

import torch
from torch import nn

from visiongraft.data.loader import Failure
from visiongraft.errors import RunError, ToldToEndError, WeightsError
from visiongraft.train.clock import Clock
from visiongraft.train.computing import Computing
from visiongraft.train.course import Course
from visiongraft.train.devices import Hardware
from visiongraft.train.evaluate import NothingToJudgeError
from visiongraft.train.freezing import set_learning
from visiongraft.train.ledger import LOG_EVERY, Ledger
from visiongraft.train.news import News, Taken, is_odd
from visiongraft.train.schedule import rate_at
from visiongraft.train.sharding import is_spread, load, outline, whole
from visiongraft.train.state import Metrics, State, Tally, notes_on, read_in_all, read_state, write_state
from visiongraft.train.stepping import Steps
from visiongraft.train.stopping import Stop, listening
from visiongraft.train.task import E, P, Score, Task


class Training(Generic[P, E]):
    """One training.

    Args:
        computing: the device of this process.
        ledger: where everything is written down; it knows the folder and the other processes.
        task: what is trained.
        module: its network as `computing` has set it up: with gradients of all processes.
        course: how it goes.
        hardware: what computes, as `computing` gives it.
        save_minutes: time between two writings of the state.
    """

    def __init__(
        self,
        computing: Computing,
        ledger: Ledger,
        task: Task[P, E],
        module: nn.Module,
        course: Course,
        *,
        hardware: Hardware,
        save_minutes: float,
    ) -> None:
        self.ledger = ledger
        self.run = ledger.run
        self.team = ledger.team
        self.task = task
        self.course = course
        self.save_minutes = save_minutes
        self.device = computing.device
        self.steps = Steps(computing, self.team, task, module, course, code=hardware.code, steps=ledger.steps)
        self.steps_per_epoch = ledger.steps // course.epochs
        self.best: E | None = None
        self.tally = self._fresh_tally()
        self.belongs = {
            **self.team.led(task.belongs),
            "devices": self.team.size,
            "device": computing.device.type,
            "strategy": hardware.strategy,
            "steps": hardware.code,
        }
        self._saved: int | None = None  # the step after which the state was last written
        self._untold: list[Taken] = []  # steps whose loss nobody has looked at yet
        self._failures: list[Failure] = []  # of these steps
        # To look at a loss makes a GPU's program wait for it, and others to agree with cost as much.
        self._settled_every = 1 if self.team.size == 1 and computing.device.type == "cpu" else LOG_EVERY

    def go_on(self) -> list[str]:
        """Take up the state that the run folder holds, and give what the user should know of it.

        Raises:
            RunError: if it is of another run, or cannot be read.
        """
        state, note = self._read()
        others = notes_on(self.belongs, state.belongs, self.run)
        if state.progress.step == self.ledger.steps:
            others = []  # no last bits will differ where no step is left
        kept = self.run.best, self.run.set_aside, self.run.coming
        if state.progress.best and not self.team.led(lambda: any(each.exists() for each in kept)):
            raise RunError(f"{self.run.best} is missing, and the run cannot go on without it. Put it back.")
        if state.progress.best:
            self.team.led(lambda: self._check_whole([each for each in kept if each.exists()]))
        self.ledger.progress, self._saved = state.progress, state.progress.step
        self.tally = state.tally(self.team.rank, self.team.size).to(self.device)
        load(self.task.network, self.steps.optimizer, state.tensors)
        if self.steps.average is not None:
            self.steps.average.load_state_dict(state.tensors["average"])
        self.team.gathered(None)  # all have read the state before one of its files takes the place of the other
        self.team.led(lambda: self._put_back(state, damaged=note is not None))
        return [*([note] if note else []), *others]

    def _check_whole(self, kept: Sequence[Path]) -> None:
        """Refuse weights that are damaged now, and not when the training is over and they are scored."""
        for each in kept:
            try:
                self.task.read(each)
            except WeightsError as error:
                raise RunError(
                    f"{each} is damaged, and the run cannot go on without it. Put a whole copy of it back, or train"
                    f" anew by `{self.run.verb} --config {self.run.config} --output` and another folder. ({error})"
                ) from error

    def _read(self) -> tuple[State, str | None]:
        """Read the state; where the network is spread, the first process alone holds its tensors."""
        if not is_spread(self.task.network):
            return read_in_all(self.run, self.team)
        found: list[State] = []

        def read() -> tuple[State, str | None]:
            state, note = read_state(self.run)
            found.append(state)
            return replace(state, tensors=outline(state.tensors)), note

        state, note = self.team.led(read)
        return (found or [state])[0], note

    def _put_back(self, state: State, *, damaged: bool) -> None:
        """Make the folder what it was when the state was written."""
        if damaged:  # the next writing would put the damaged state in the place of the whole one
            self.run.before.replace(self.run.last)
        self.run.restore(state.progress.rows, state.progress.unreadable.values())
        if self.run.coming.exists():
            best = state.progress.best
            if best is not None and best.row == self.task.read(self.run.coming)[1]:
                self.run.promote()  # killed once the state was written
            else:
                self.run.coming.unlink()  # killed before: it comes again

    def through(self) -> E:
        """Take all steps that are left, and give the score of the weights that are kept.

        Raises:
            DivergedError: when a loss is no number.
            DataError: when too many images cannot be read.
            RunError: when the state cannot be written, or the system ends the process.
        """
        progress, steps = self.ledger.progress, self.ledger.steps
        clock = Clock(progress.seconds)
        batches = iter(self.task.batches(progress.step))
        set_learning(self.task.network)
        with listening() as stop:
            if progress.step == 0:
                self._save(clock)
            for step in range(progress.step, steps):
                began = perf_counter()
                self._take_step(batches, step)
                progress.step = step + 1
                news = self._end_step(stop, clock, began)
                if news.ordered or news.asked:
                    break
                if news.due and progress.step < steps:
                    self._save(clock)
            self._save(clock)
            if progress.step < steps and news.ordered:
                raise ToldToEndError(
                    f"The run was told to end and has saved its state after step {progress.step} of {steps}."
                    f" Go on with `{self.run.verb} --resume {self.run.path}`."
                )
            self._score_what_was_cut_short()
        progress.seconds = clock.seconds
        if self.best is None:  # it was found before the run was taken up again
            self.best = self._judged(self.task.read(self.run.best)[0].to(self.device)).found
        return self.best

    def _take_step(self, batches: Iterator[P], step: int) -> None:
        """Learn from one batch."""
        began = perf_counter()
        parts = [next(batches) for _ in range(self.course.grad_accum_steps)]
        self.tally.waited += perf_counter() - began
        self._failures += [failure for each in parts for failure in each.failures]
        learnt = self.steps.take(parts, step)
        if learnt.images:
            self._untold.append(Taken(step + 1, learnt.rate, learnt.loss / learnt.images))
            self.tally.loss += learnt.loss
            self.tally.images += learnt.images
            self.tally.terms = tuple(a + b for a, b in zip(self.tally.terms, learnt.terms, strict=True))

    def _end_step(self, stop: Stop, clock: Clock, began: float) -> News:
        """Look at what happened, where that is due, and end the epoch, if this was its last step."""
        done = self.ledger.progress.step
        last = done % self.steps_per_epoch == 0
        news = self._settle(stop, clock) if last or done % self._settled_every == 0 else News()
        self.tally.seconds += perf_counter() - began  # with the time that a GPU takes, which nobody waits for before
        if not last:
            return news
        number = done // self.steps_per_epoch
        due = number in (1, self.course.epochs) or number % self.course.val_every == 0
        before = self.ledger.progress.best
        self.ledger.add(self._row(number, self._scored(number) if due else dict.fromkeys(self.task.columns)))
        self.tally = self._fresh_tally()
        news = self._settle(stop, clock)
        if self.ledger.progress.best is not before:
            self._save(clock)  # or a run that is killed would hold better weights than its state knows of
        return news

    def _fresh_tally(self) -> Tally:
        return Tally(self.steps.nothing(), terms=tuple(self.steps.nothing() for _ in self.task.terms))

    def _settle(self, stop: Stop, clock: Clock) -> News:
        """Look at the losses since the last time, and agree with the other processes on what to do."""
        taken, self._untold = self._untold, []
        failures, self._failures = tuple(self._failures), []
        values = torch.stack([each.loss for each in taken]).tolist() if taken else []
        wrong = [(each.number, each.rate, value) for each, value in zip(taken, values, strict=True) if is_odd(value)]
        if taken and not wrong:
            self.ledger.tell(taken[-1].number, values[-1])
        due = self.team.leads and clock.since_saved >= 60.0 * self.save_minutes
        news = News.of_all(self.team.gathered(News(stop.asked, stop.ordered, due, tuple(wrong[:1]), failures)))
        self.ledger.note(news.failures)
        if news.wrong:
            number, rate, value = min(news.wrong)
            raise self.ledger.diverged(f"the loss is {value}", number, rate, peak=self.course.lr)
        return news

    def _row(self, epoch: int, score: Mapping[str, float | None]) -> Metrics:
        """Sum up an epoch, counted from 1, as a row of metrics.csv."""
        own = [float(each) for each in (self.tally.loss, *self.tally.terms)]
        sums = self.team.gathered((own, self.tally.images))
        images, seconds = sum(each for _, each in sums), max(self.tally.seconds, _SHORTEST)
        loss, *terms = (sum(each) / max(images, 1) for each in zip(*(each for each, _ in sums), strict=True))
        return {
            "epoch": epoch,
            "step": self.ledger.progress.step,
            "lr": self._last_rate(),
            "train_loss": loss,
            **{f"train_{name}": value for name, value in zip(self.task.terms, terms, strict=True)},
            "train_images_per_second": images / seconds,
            "wait_share": self.tally.waited / seconds,
            **score,
        }

    def _scored(self, epoch: int) -> Mapping[str, float]:
        """Score the network, keep its weights if the course wants these, and give the columns of the score."""
        score = self._judged(self.steps.to_keep)
        if score.fault:
            number = self.ledger.progress.step
            raise self.ledger.diverged(score.fault, number, self._last_rate(), peak=self.course.lr)
        if self.ledger.is_kept(score.row, epoch, keep=self.course.keep, rank=self.task.rank):
            self.best = score.found
            tensors = whole(self.steps.to_keep.state_dict(), self.team)
            # They take the place of the best when the state that knows of them is written.
            self.team.led(lambda: self.task.write(tensors, self.run.coming, score.row))
        return score.row

    def _last_rate(self) -> float:
        """Give the learning rate of the last step."""
        return rate_at(self.course, self.ledger.progress.step - 1, steps=self.ledger.steps)

    def _judged(self, network: nn.Module) -> Score[E]:
        """Score a network on the validation images."""
        try:
            score = self.task.score(network, self.team)
        except NothingToJudgeError as error:
            self.ledger.note(error.failures)
            raise
        self.ledger.note(score.failures)
        return score

    def _save(self, clock: Clock) -> None:
        """Write the state, as it is after the present step, unless that is done."""
        if self._saved == self.ledger.progress.step:
            return
        self._saved = self.ledger.progress.step
        self.ledger.progress.seconds = clock.seconds
        tallies = self.team.gathered(self.tally.to(torch.device("cpu")))
        own = {"network": self.task.network.state_dict(), "optimizer": self.steps.optimizer.state_dict()}
        tensors = whole(own, self.team)
        if self.steps.average is not None:
            tensors["average"] = self.steps.average.state_dict()
        self.team.led(lambda: write_state(self.run, State(self.belongs, self.ledger.progress, tallies, tensors)))
        self.team.led(self.run.promote)
        clock.saved()

    def _score_what_was_cut_short(self) -> None:
        """Score a run that Ctrl-C ended, perhaps in the middle of an epoch. The state knows nothing of this score."""
        progress = self.ledger.progress
        complete = progress.step % self.steps_per_epoch == 0
        if complete and progress.rows[-1][self.task.columns[-1]] is not None:
            return
        self.team.led(self.run.set_best_aside)
        epoch = math.ceil(progress.step / self.steps_per_epoch)
        score = self._scored(epoch)
        self.team.led(self.run.promote)
        if complete:
            self.ledger.amend(score)
        else:
            self.ledger.add(self._row(epoch, score))


_SHORTEST = 1e-9  # of an epoch, in seconds: nothing is divided by 0
