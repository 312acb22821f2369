"""Training, by Lightning. This is the one file that knows it."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from types import FrameType
from typing import Any, Protocol

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from visiongraft.data.loader import Batch, Failure, Samples, make_loader, mix
from visiongraft.data.sets import ImageData
from visiongraft.data.transforms import TrainTransform, jitter_colors, rotate
from visiongraft.data.views import cut_out
from visiongraft.errors import DataError, DivergedError
from visiongraft.network import Network
from visiongraft.preprocessing import Preprocessing, normalize
from visiongraft.spec import Backbone
from visiongraft.train.evaluate import Evaluation, NothingToJudgeError, evaluate
from visiongraft.train.optim import make_optimizer, make_schedule
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder
from visiongraft.weights import store
from visiongraft.weights.adapt import adapted
from visiongraft.weights.imagenet import are_imagenet
from visiongraft.weights.store import Trained

Metrics = dict[str, float | None]
"""One row of metrics.csv; None where the epoch was not validated."""


class Listener(Protocol):
    """Someone who wants to know how a training goes, while it goes."""

    def step(self, done: int, steps: int, loss: float) -> None:
        """Hear of a step: how many are done, of how many, and its loss."""

    def epoch(self, row: Metrics) -> None:
        """Hear of an epoch: its row of metrics.csv."""


@dataclass(frozen=True)
class Outcome:
    """What a training gave.

    Args:
        spec: of the network, with the classes of the data.
        evaluation: of the best weights, on the validation images.
        epochs: how many were finished or, by Ctrl-C, begun.
        best_epoch: the one whose weights were kept, counted from 1.
        seconds: duration of training, validation included.
        run: the folder with the weights and everything else.
        unreadable: images that could not be read.
    """

    spec: Backbone
    evaluation: Evaluation
    epochs: int
    best_epoch: int
    seconds: float
    run: RunFolder
    unreadable: tuple[Failure, ...]


def train(
    spec: Backbone,
    data: ImageData,
    recipe: Recipe,
    run: RunFolder,
    *,
    preprocessing: Preprocessing,
    device: torch.device,
    start: Trained | None = None,
    options: Mapping[str, object] | None = None,
    workers: int = 0,
    max_unreadable: float = 0.01,
    listener: Listener | None = None,
) -> Outcome:
    """Train a network and keep the weights that validate best.

    Args:
        spec: the network; its head gets the classes of the data.
        data: what to learn from, and to validate on.
        recipe: how.
        run: the folder to make, once everything else is known to be possible.
        preprocessing: what images go through.
        device: where to compute.
        start: weights to begin with, of another form of the network; None for random ones. Their classifier is kept
            where it tells apart the very classes of the data.
        options: what to write into the run's config.yaml.
        workers: processes that read images beside this one.
        max_unreadable: share of the images that may be unreadable before the run stops, in [0, 1]; above 0, one always
            may.
        listener: told of every step and epoch.

    Ctrl-C ends the run after the present step: it is validated and saved as if its time were over.

    Raises:
        DivergedError: when the loss is no longer a number; the best weights so far stay in the run folder. A run that
            fails before it has any leaves no folder.
        DataError: when too many images cannot be read, or a batch is larger than the data.
    """
    _check_names(data.classes)
    torch.manual_seed(recipe.seed)
    head = replace(spec.head, num_classes=len(data.classes), dropout=recipe.dropout)
    network = _begun(replace(spec, head=head, drop_path=recipe.drop_path), start, data.classes)
    loader = make_loader(
        Samples(data.train, _transforms(recipe, network, preprocessing), seed=recipe.seed),
        batch_size=recipe.batch_size,
        order="shuffled",
        last_batch="drop",
        workers=workers,
        memory="pinned" if device.type == "cuda" else "pageable",
    )
    lesson = _Lesson(
        network=network,
        data=data,
        recipe=recipe,
        run=run,
        preprocessing=preprocessing,
        workers=workers,
        max_unreadable=max_unreadable,
        steps=len(loader) * recipe.epochs,
        listener=listener,
    )
    run.create(options or {})
    with _quiet():
        trainer = _trainer(recipe, run, device)
        began = perf_counter()
        try:
            with _stopping_on_interrupt(trainer):
                trainer.fit(lesson, loader)
        except BaseException:
            run.discard_if_fruitless()
            raise
        seconds = perf_counter() - began
    assert lesson.best is not None
    return Outcome(
        spec=network.spec,
        evaluation=lesson.best,
        epochs=lesson.rows,
        best_epoch=lesson.best_epoch,
        seconds=seconds,
        run=run,
        unreadable=tuple(lesson.unreadable.values()),
    )


def _begun(spec: Backbone, start: Trained | None, classes: tuple[str, ...]) -> Network:
    """Make the network to be trained, as it is before the first step."""
    if start is None:
        return Network(spec)
    same = start.classes == classes or (are_imagenet(start.classes) and are_imagenet(classes))
    return adapted(start.network, spec, classifier="kept" if same else "fresh")


def _trainer(recipe: Recipe, run: RunFolder, device: torch.device) -> L.Trainer:
    """Make Lightning's trainer, without what we do ourselves: bars, tables, orders of images."""
    return L.Trainer(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision="bf16-mixed" if recipe.precision == "bfloat16" else "32-true",
        max_epochs=recipe.epochs,
        callbacks=[ModelCheckpoint(run.path, filename=run.last.stem, enable_version_counter=False)],
        logger=TensorBoardLogger(run.path, name="", version=""),
        log_every_n_steps=_LOG_EVERY,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


_LOG_EVERY = 10  # steps between two points of TensorBoard's curves


class _Lesson(L.LightningModule):
    """One training, as Lightning wants to be told of it."""

    def __init__(
        self,
        *,
        network: Network,
        data: ImageData,
        recipe: Recipe,
        run: RunFolder,
        preprocessing: Preprocessing,
        workers: int,
        max_unreadable: float,
        steps: int,
        listener: Listener | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.data = data
        self.recipe = recipe
        self.run = run
        self.preprocessing = preprocessing
        self.workers = workers
        self.max_unreadable = max_unreadable
        self.steps = steps
        self.listener = listener
        self.best: Evaluation | None = None
        self.best_epoch = 0
        self.rows = 0
        self.unreadable: dict[str, Failure] = {}
        self._epoch_loss = torch.zeros(())
        self._epoch_images = 0
        self._epoch_began = 0.0
        self._step, self._lr = 0, 0.0  # of the latest step
        self._row: Metrics = {}  # of the latest epoch

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type has eight alternatives
        optimizer = make_optimizer(self.network, self.recipe)
        schedule = make_schedule(optimizer, self.recipe, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, *_: object, **__: object) -> None:
        # Lightning's own refuses fused optimisers in bfloat16, where there is nothing to unscale.
        if self.recipe.clip_grad:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_grad)

    def on_train_epoch_start(self) -> None:
        self._epoch_loss = torch.zeros((), device=self.device)
        self._epoch_images = 0
        self._epoch_began = perf_counter()

    def training_step(self, batch: Batch, _: int) -> Tensor | None:
        self._note(batch.failures)
        if len(batch.labels) < 2:  # too many could not be read: one image alone cannot be normalised over the batch
            return None
        self._step, self._lr = self.global_step + 1, self.trainer.optimizers[0].param_groups[0]["lr"]
        # What a step draws follows from its number, not from what was drawn before it.
        torch.manual_seed(mix("step", self.recipe.seed, self.global_step))
        pixels = batch.images.float() if batch.views is None else cut_out(batch.images, batch.views)
        pixels = rotate(pixels, self.recipe.rotation)
        pixels = jitter_colors(pixels, self.recipe.color_jitter)
        logits = self.network(normalize(pixels, self.preprocessing))
        loss = F.cross_entropy(logits.float(), batch.labels, label_smoothing=self.recipe.label_smoothing)
        if not torch.isfinite(loss):
            raise self._diverged(f"the loss is {float(loss.detach())}")
        self._epoch_loss += loss.detach() * len(batch.labels)
        self._epoch_images += len(batch.labels)
        self.log("train_loss_step", loss, batch_size=len(batch.labels))
        if self.listener is not None:
            self.listener.step(self._step, self.steps, float(loss.detach()))
        return loss

    def on_train_epoch_end(self) -> None:
        seconds = perf_counter() - self._epoch_began
        self._row = row = {
            "epoch": self.current_epoch + 1,
            "step": self.global_step,
            "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
            "train_loss": float(self._epoch_loss) / max(self._epoch_images, 1),
            "train_images_per_second": self._epoch_images / seconds,
        }
        row |= self._validate() if self._validation_is_due() else {"val_loss": None, "val_top1": None}
        self.rows += 1
        self.run.append_metrics(row)
        self.log_dict({name: float(value) for name, value in row.items() if value is not None})
        if self.listener is not None:
            self.listener.epoch(row)

    def _validation_is_due(self) -> bool:
        """Tell whether this epoch is scored: the first one is, so that there are weights to keep early on."""
        number = self.current_epoch + 1
        ends = number in (1, self.recipe.epochs) or self.trainer.should_stop
        return ends or number % self.recipe.val_every == 0

    def on_train_end(self) -> None:
        if self._row["val_top1"] is None:  # Ctrl-C came after the last epoch had passed its validation by
            self.run.amend_metrics(self._row | self._validate())

    def _validate(self) -> Metrics:
        """Score the network, keep its weights if they are the best so far, and give the columns of the score."""
        # In batches of the size that `graft eval` takes: another size may choose other kernels, and other last bits.
        try:
            found = evaluate(self.network, self.data.val, self.preprocessing, workers=self.workers)
        except NothingToJudgeError as error:
            self._note(error.failures)
            raise
        self._note(found.failures)
        if not torch.isfinite(torch.tensor(found.loss)):
            raise self._diverged(f"the validation loss is {found.loss}")
        if self.best is None or (found.top1, -found.loss) > (self.best.top1, -self.best.loss):
            self.best, self.best_epoch = found, int(self._row["epoch"] or 0)
            store.save(
                self.network,
                self.run.best,
                preprocessing=self.preprocessing,
                classes=self.data.classes,
                scores={"val_top1": found.top1, "val_loss": found.loss},
            )
        return {"val_loss": found.loss, "val_top1": found.top1}

    def _note(self, failures: tuple[Failure, ...]) -> None:
        new = [each for each in failures if each.name not in self.unreadable]
        if not new:
            return
        self.unreadable |= {each.name: each for each in new}
        self.run.append_unreadable(new)
        total = len(self.data.train) + len(self.data.val)
        # One bad image is within any share but none: of few images it would be more than most shares.
        allowed = max(1.0, self.max_unreadable * total) if self.max_unreadable else 0.0
        if len(self.unreadable) > allowed:
            raise DataError(
                f"Of {total} images {len(self.unreadable)} could not be read so far, more than the"
                f" {self.max_unreadable:.1%} that --max-unreadable allows, the last {new[-1].name}: {new[-1].reason}."
                f" Remove or mend what {self.run.unreadable} lists, or raise --max-unreadable."
            )

    def _diverged(self, what: str) -> DivergedError:
        kept = f"the best weights so far are in {self.run.best}" if self.best else "no weights were worth keeping yet"
        return DivergedError(
            f"At step {self._step} of {self.steps}, with a learning rate of {self._lr:.3g}, {what}: training"
            f" stopped, and {kept}. Use a lower --lr than {self.recipe.lr:g}."
        )


def _check_names(classes: tuple[str, ...]) -> None:
    """Refuse, before any work, class names that a weight file could not hold."""
    for name in classes:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"The class name {name!r} is no UTF-8 text. Rename its folder.") from error


def _transforms(recipe: Recipe, network: Network, preprocessing: Preprocessing) -> list[TrainTransform]:
    """Make one transform per epoch."""
    full = TrainTransform(preprocessing, scale=(recipe.crop_scale, 1.0), flip=recipe.flip)
    sizes = [
        recipe.image_at(epoch, preprocessing.image, smallest=network.smallest_image) for epoch in range(recipe.epochs)
    ]
    return [replace(full, pre=preprocessing.at(size)) for size in sizes]


@contextmanager
def _stopping_on_interrupt(trainer: L.Trainer) -> Iterator[None]:
    """Let the first Ctrl-C end the run in good order, and the second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        trainer.should_stop = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except SystemExit as end:  # what Lightning makes of a KeyboardInterrupt
        raise KeyboardInterrupt from end
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's remarks about our choices, which are made knowingly, from a user's terminal."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [each.level for each in loggers]
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers.*",
            ".*number of training batches.*",
            ".*Checkpoint directory.*",
            ".*LeafSpec.*",
            ".*`training_step` returned `None`.*",
        ):
            warnings.filterwarnings("ignore", message)
        for each in loggers:
            each.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
