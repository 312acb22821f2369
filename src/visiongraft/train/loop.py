"""The loop of a training: steps, epochs, and what stands between them. It knows no library of loops."""

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from time import perf_counter

import torch
from torch import Tensor, nn

from visiongraft.data.fingerprint import fingerprint
from visiongraft.data.loader import Batch, Failure, Samples, Share, StepSampler, make_loader
from visiongraft.data.sets import ImageData
from visiongraft.data.transforms import Transform
from visiongraft.errors import RunError, ToldToEndError, is_shortage
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.network import AnyNetwork, named_as_in_files
from visiongraft.train.average import averaged
from visiongraft.train.clock import Clock
from visiongraft.train.compiling import stance
from visiongraft.train.computing import Computing
from visiongraft.train.devices import Hardware
from visiongraft.train.evaluate import Evaluation, NoRoomError, NothingToJudgeError, evaluate
from visiongraft.train.freezing import set_learning
from visiongraft.train.ledger import LOG_EVERY, Ledger
from visiongraft.train.news import News, Taken, is_odd
from visiongraft.train.optim import make_optimizer
from visiongraft.train.parts import Turn, stand_in, turns_of
from visiongraft.train.recipe import Recipe
from visiongraft.train.schedule import rate_at, set_rate
from visiongraft.train.sharding import is_spread, load, outline, whole
from visiongraft.train.shortage import largest_that_fits, too_large
from visiongraft.train.state import Metrics, State, Tally, notes_on, read_in_all, read_state, scores_of, write_state
from visiongraft.train.step import ahead_of, lesson_on, order_of, training_transform
from visiongraft.train.stopping import Stop, listening
from visiongraft.train.synced import uncounted
from visiongraft.weights import store


class Training:
    """One training.

    Args:
        computing: the device of this process.
        ledger: where everything is written down; it knows the folder and the other processes.
        network: as it is before the first step, on its device.
        module: the same as `computing` has set it up: with gradients of all processes.
        data: what to learn from, and to be scored on.
        recipe: how.
        preprocessing: what images go through.
        hardware: what computes, as `computing` gives it.
        save_minutes: time between two writings of the state.
    """

    def __init__(
        self,
        computing: Computing,
        ledger: Ledger,
        network: AnyNetwork,
        module: nn.Module,
        data: ImageData,
        recipe: Recipe,
        *,
        preprocessing: Preprocessing,
        hardware: Hardware,
        save_minutes: float,
    ) -> None:
        self.computing = computing
        self.ledger = ledger
        self.run = ledger.run
        self.team = ledger.team
        self.network = network
        self.data = data
        self.recipe = recipe
        self.preprocessing = preprocessing
        self.hardware = hardware
        self.save_minutes = save_minutes
        self.module = module
        self.optimizer = make_optimizer(network, recipe)
        self.share = Share(self.team.rank, self.team.size, recipe.grad_accum_steps)
        self.average = averaged(network, recipe.model_ema_decay) if recipe.model_ema_decay else None
        self.lesson = lesson_on(data, recipe, preprocessing, share=self.share, smallest=network.smallest_image)
        self.steps_per_epoch = len(data.train) // recipe.batch_size
        self.best: Evaluation | None = None
        self.tally = self._fresh_tally()
        self.belongs = {
            "spec": network.spec.to_dict(),
            "recipe": asdict(recipe),
            "preprocessing": preprocessing.to_dict(),
            "data": self.team.led(lambda: fingerprint(data)),  # for which each file is looked at
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
        self.ledger.progress, self._saved = state.progress, state.progress.step
        self.tally = state.tally(self.team.rank, self.team.size)
        self.tally.loss = self.tally.loss.to(self.computing.device)
        load(self.network, self.optimizer, state.tensors)
        if self.average is not None:
            self.average.load_state_dict(state.tensors["average"])
        self.team.gathered(None)  # all have read the state before one of its files takes the place of the other
        self.team.led(lambda: self._put_back(state, damaged=note is not None))
        return [*([note] if note else []), *others]

    def _read(self) -> tuple[State, str | None]:
        """Read the state; where the network is spread, the first process alone holds its tensors."""
        if not is_spread(self.network):
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
            if scores_of(state.progress.best) == store.read(self.run.coming).scores:
                self.run.promote()  # killed once the state was written
            else:
                self.run.coming.unlink()  # killed before: it comes again

    def through(self) -> Evaluation:
        """Take all steps that are left, and give the score of the weights that are kept.

        Raises:
            DivergedError: when a loss is no number.
            DataError: when too many images cannot be read.
            RunError: when the state cannot be written, or the system ends the process.
        """
        progress, steps = self.ledger.progress, self.ledger.steps
        clock = Clock(progress.seconds)
        batches = iter(self._loader())
        set_learning(self.network)
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
                    f" Go on with `graft train --resume {self.run.path}`."
                )
            self._score_what_was_cut_short()
        progress.seconds = clock.seconds
        if self.best is None:  # it was found before the run was taken up again
            self.best = self._judged(store.read(self.run.best).network.to(self.computing.device))
        return self.best

    def _loader(self) -> torch.utils.data.DataLoader[Batch]:
        """Make what hands out the batches of the rest of the run."""
        sampler = StepSampler(
            len(self.data.train),
            batch_size=self.recipe.batch_size,
            epochs=self.recipe.epochs,
            seed=self.recipe.seed,
            first_step=self.ledger.progress.step,
            share=self.share,
            order=order_of(self.data, self.recipe),
            ahead=ahead_of(self.data),
        )
        return make_loader(
            Samples(self.data.train, self._transforms(), seed=self.recipe.seed),
            sampler,
            workers=self.hardware.workers,
            memory="pinned" if self.computing.device.type == "cuda" else "pageable",
        )

    def _transforms(self) -> list[Transform]:
        """Make one transform per epoch."""
        image, smallest = self.network.spec.image, self.network.smallest_image
        sizes = [self.recipe.image_at(epoch, image, smallest=smallest) for epoch in range(self.recipe.epochs)]
        return [training_transform(self.recipe, self.preprocessing.at(size)) for size in sizes]

    def _take_step(self, batches: Iterator[Batch], step: int) -> None:
        """Learn from one batch."""
        rate = set_rate(self.optimizer, self.recipe, step, steps=self.ledger.steps)
        began = perf_counter()
        parts = [next(batches) for _ in range(self.share.parts)]
        self.tally.waited += perf_counter() - began
        self._failures += [failure for batch in parts for failure in batch.failures]
        turns = turns_of(self.team.counts([len(batch.labels) for batch in parts]), self.team.rank)
        losses, images = torch.zeros((), device=self.computing.device), sum(turn.images for turn in turns)
        for turn in turns:
            loss = self._learnt(parts[turn.part], step, turn)
            if loss is None:
                raise self._too_much(parts[turn.part], step, turn.part)
            losses += loss * turn.images
        if images:
            self._untold.append(Taken(step + 1, rate, losses / images))
            self.tally.loss += losses
            self.tally.images += images
        if turns and self.recipe.clip_grad:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _learnt(self, batch: Batch, step: int, turn: Turn) -> Tensor | None:
        """Add the gradients of a part of a batch, and give its loss; None where the memory does not suffice."""
        waits = self.team.size > 1 and not turn.last
        sending = self.computing.no_backward_sync(self.module) if waits else nullcontext()
        counted = nullcontext() if turn.images else uncounted(self.network)
        usual = self.recipe.batch_size // self.share.of
        try:
            batch = (batch if turn.images else stand_in(batch)).to(self.computing.device)
            with sending, counted, stance(self.hardware.code, turn.images, usual):
                loss = self.lesson.loss(self.module, batch, step=step, part=turn.part)
                self.computing.backward(loss * turn.weight)
        except (RuntimeError, MemoryError) as error:
            if is_shortage(error):
                return None  # and no error, which would hold on to all that was computed
            raise
        return loss.detach()

    def _too_much(self, batch: Batch, step: int, part: int) -> RunError:
        """Make the error that says how many images of a part the memory takes. The training is over then."""

        def forward(pixels: Tensor) -> Tensor:
            with self.computing.autocast():
                return self.network(pixels)

        def loss(some: Batch) -> Tensor:
            return self.lesson.loss(forward, some, step=step, part=part)

        fits, device = None, self.computing.device
        if not is_spread(self.network):  # to whose steps every process would have to come
            if self.team.size > 1:  # in training, batch-norms wait for one another
                self.network.eval()
            fits = largest_that_fits(loss, batch, self.network, self.optimizer, device)
        return too_large(batch, fits, number=step + 1, recipe=self.recipe, share=self.share, device=device)

    def _end_step(self, stop: Stop, clock: Clock, began: float) -> News:
        """Look at what happened, where that is due, and end the epoch, if this was its last step."""
        done = self.ledger.progress.step
        last = done % self.steps_per_epoch == 0
        news = self._settle(stop, clock) if last or done % self._settled_every == 0 else News()
        self.tally.seconds += perf_counter() - began  # with the time that a GPU takes, which nobody waits for before
        if not last:
            return news
        number = done // self.steps_per_epoch
        due = number in (1, self.recipe.epochs) or number % self.recipe.val_every == 0
        before = self.ledger.progress.best
        self.ledger.add(self._row(number, self._scored(number) if due else _UNSCORED))
        self.tally = self._fresh_tally()
        news = self._settle(stop, clock)
        if self.ledger.progress.best is not before:
            self._save(clock)  # or a run that is killed would hold better weights than its state knows of
        return news

    def _fresh_tally(self) -> Tally:
        return Tally(torch.zeros((), device=self.computing.device))

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
            raise self.ledger.diverged(f"the loss is {value}", number, rate, peak=self.recipe.lr)
        return news

    def _row(self, epoch: int, score: Metrics) -> Metrics:
        """Sum up an epoch, counted from 1, as a row of metrics.csv."""
        sums = self.team.gathered((float(self.tally.loss), self.tally.images))
        images, seconds = sum(each for _, each in sums), max(self.tally.seconds, _SHORTEST)
        return {
            "epoch": epoch,
            "step": self.ledger.progress.step,
            "lr": self._last_rate(),
            "train_loss": sum(each for each, _ in sums) / max(images, 1),
            "train_images_per_second": images / seconds,
            "wait_share": self.tally.waited / seconds,
            **score,
        }

    def _scored(self, epoch: int) -> Metrics:
        """Score the network, keep its weights if the recipe wants these, and give the columns of the score."""
        found = self._judged(self._to_keep())
        if is_odd(found.loss):
            what, number = f"the validation loss is {found.loss}", self.ledger.progress.step
            raise self.ledger.diverged(what, number, self._last_rate(), peak=self.recipe.lr)
        if self.ledger.is_kept(found.top1, found.loss, epoch, keep=self.recipe.keep):
            self.best = found
            tensors = whole(self._to_keep().state_dict(), self.team)
            self.team.led(lambda: self._keep(tensors))
        return {"val_loss": found.loss, "val_top1": found.top1}

    def _last_rate(self) -> float:
        """Give the learning rate of the last step."""
        return rate_at(self.recipe, self.ledger.progress.step - 1, steps=self.ledger.steps)

    def _to_keep(self) -> AnyNetwork:
        """Give the network that is scored and kept: the averaged one, where there is an average."""
        if self.average is None:
            return self.network
        network = self.average.module
        assert isinstance(network, AnyNetwork)
        return network

    def _judged(self, network: AnyNetwork) -> Evaluation:
        """Score a network on the validation images."""
        # In batches of the size that `graft eval` takes: another size may choose other kernels, and other last bits.
        try:
            found = evaluate(network, self.data.val, self.preprocessing, workers=self.hardware.workers, team=self.team)
        except NothingToJudgeError as error:
            self.ledger.note(error.failures)
            raise
        except NoRoomError as error:
            raise RunError(f"{error.what}. Use a smaller --val-image, --image or --model.") from error
        self.ledger.note(found.failures)
        return found

    def _keep(self, tensors: Mapping[str, Tensor]) -> None:
        """Write the best weights, which take their place when the state that knows of them is written."""
        store.save_tensors(
            self.network.spec,
            named_as_in_files(self.network.spec, tensors),
            self.run.coming,
            preprocessing=self.preprocessing,
            classes=self.data.classes,
            scores=scores_of(self.ledger.progress.best),
        )

    def _save(self, clock: Clock) -> None:
        """Write the state, as it is after the present step, unless that is done."""
        if self._saved == self.ledger.progress.step:
            return
        self._saved = self.ledger.progress.step
        self.ledger.progress.seconds = clock.seconds
        tallies = self.team.gathered(replace(self.tally, loss=self.tally.loss.cpu()))
        tensors = whole({"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}, self.team)
        if self.average is not None:
            tensors["average"] = self.average.state_dict()
        self.team.led(lambda: write_state(self.run, State(self.belongs, self.ledger.progress, tallies, tensors)))
        self.team.led(self.run.promote)
        clock.saved()

    def _score_what_was_cut_short(self) -> None:
        """Score a run that Ctrl-C ended, perhaps in the middle of an epoch. The state knows nothing of this score."""
        progress = self.ledger.progress
        complete = progress.step % self.steps_per_epoch == 0
        if complete and progress.rows[-1]["val_top1"] is not None:
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

_UNSCORED: Metrics = {"val_loss": None, "val_top1": None}
