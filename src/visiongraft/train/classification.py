"""Classification: what is shown to a classifier, what its loss is, and how it is scored."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from visiongraft.data.fingerprint import fingerprint
from visiongraft.data.loader import Batch, Samples, make_loader
from visiongraft.data.sampling import FEWEST, Share, StepSampler
from visiongraft.data.sets import ImageData
from visiongraft.data.transforms import Transform
from visiongraft.errors import DataError, GraftError, RunError, WeightsError
from visiongraft.preprocessing import Preprocessing
from visiongraft.spec import Backbone
from visiongraft.surgery.foreign import Blueprint, Grafted
from visiongraft.surgery.network import AnyNetwork, build, named_as_in_files, with_classes
from visiongraft.train.devices import Hardware
from visiongraft.train.evaluate import Evaluation, NoRoomError, evaluate
from visiongraft.train.freezing import freeze
from visiongraft.train.news import is_odd
from visiongraft.train.recipe import Recipe
from visiongraft.train.step import Lesson, ahead_of, lesson_on, order_of, training_transform
from visiongraft.train.task import Loss, Score
from visiongraft.train.team import Team
from visiongraft.weights import store
from visiongraft.weights.adapt import adapted_to, share_kept
from visiongraft.weights.imagenet import are_imagenet
from visiongraft.weights.store import Trained


@dataclass(frozen=True)
class Classifying:
    """A classifier to be trained.

    Args:
        asked: the network; its head gets the classes of the data.
        data: what to learn from, and to validate on.
        recipe: how.
        preprocessing: what images go through.
        start: weights to begin with, of another form of the network; None for random ones. Their classifier is kept
            where it tells apart the very classes of the data.
        norms: batch-norms see the whole batch, whatever the number of processes.

    Raises:
        DataError: if a weight file could not hold the names of the classes.
    """

    asked: Blueprint
    data: ImageData
    recipe: Recipe
    preprocessing: Preprocessing
    start: Trained | None = None
    norms: Literal["together"] = "together"

    def __post_init__(self) -> None:
        """Refuse, before any work, class names that a weight file could not hold."""
        for name in self.data.classes:
            try:
                name.encode()
            except UnicodeEncodeError as error:
                raise DataError(f"The class name {name!r} is no UTF-8 text. Rename its folder.") from error

    @cached_property
    def spec(self) -> Blueprint:
        """The network as this data and this recipe want it."""
        return _with(self.asked, self.data.classes, self.recipe)

    @property
    def images(self) -> int:
        """How many there are, to learn from and to be scored on."""
        return len(self.data.train) + len(self.data.val)

    def check(self, hardware: Hardware) -> None:
        """Refuse, for networks of others and grafted ones, what only ours tell enough of themselves for."""
        if isinstance(self.asked, Backbone):
            return
        name, base = self.asked.name, self.asked.base if isinstance(self.asked, Grafted) else None
        if self.recipe.layer_decay < 1.0 and not isinstance(base, Backbone):
            raise GraftError(f"--layer-decay needs to know the depth of each block, which {name} does not tell.")
        if hardware.strategy == "fsdp":
            raise GraftError(f"--strategy fsdp spreads the blocks of our networks. Use ddp for {name}.")

    def steps(self, share: Share) -> int:
        """Count the steps of the whole run."""
        return self.sampler(share).steps

    def sampler(self, share: Share, first_step: int = 0) -> StepSampler:
        """Give the order in which the images are shown, from a step on."""
        return StepSampler(
            len(self.data.train),
            batch_size=self.recipe.batch_size,
            epochs=self.recipe.epochs,
            seed=self.recipe.seed,
            first_step=first_step,
            share=share,
            order=order_of(self.data, self.recipe),
            ahead=ahead_of(self.data),
        )

    def begun(self) -> tuple[AnyNetwork, tuple[str, ...]]:
        """Make the network with the numbers that it begins with, and tell how many are those of trained weights.

        Raises:
            WeightsError: if none are, and the training would be blind to them.
        """
        torch.manual_seed(self.recipe.seed)
        network = build(self.spec) if self.start is None else self._adapted(self.start)
        kept = () if self.start is None or isinstance(self.spec, Backbone) else (_kept(self.start, network),)
        return self._ready(network), kept

    def _adapted(self, start: Trained) -> AnyNetwork:
        ours, theirs = self.data.classes, start.classes
        same = theirs == ours or (are_imagenet(theirs) and are_imagenet(ours))
        return adapted_to(start.network, self.spec, classifier="kept" if same else "fresh")

    def outlined(self) -> AnyNetwork:
        """Make the network without any care for its numbers."""
        return self._ready(build(self.spec))

    def _ready(self, network: AnyNetwork) -> AnyNetwork:
        # Networks of others find it out by a copy, before anything is around them.
        smallest = network.smallest_image
        assert smallest >= 1
        freeze(network, self.recipe.freeze)
        return network

    def task(self, network: nn.Module, share: Share, hardware: Hardware) -> "Classification":
        """Take up the work in one process."""
        assert isinstance(network, AnyNetwork)
        return Classification(self, network, share, hardware)


class Classification:
    """The training of a classifier in one process: a `train.task.Task`.

    Args:
        job: what is trained.
        network: the one that learns, on its device.
        share: what this process takes of each batch.
        hardware: what computes.
    """

    columns = ("val_loss", "val_top1")
    terms = ()
    fewest = FEWEST
    remedy = "--image or --model"

    def __init__(self, job: Classifying, network: AnyNetwork, share: Share, hardware: Hardware) -> None:
        self.job = job
        self.network = network
        self.share = share
        self.hardware = hardware
        self.lesson: Lesson = lesson_on(
            job.data, job.recipe, job.preprocessing, share=share, smallest=network.smallest_image
        )

    def belongs(self) -> dict[str, Any]:
        """Tell what the run is of; for this, each file is looked at."""
        return {
            "spec": self.network.spec.to_dict(),
            "recipe": asdict(self.job.recipe),
            "preprocessing": self.job.preprocessing.to_dict(),
            "data": fingerprint(self.job.data),
        }

    def batches(self, first_step: int) -> Iterable[Batch]:
        """Hand out the parts of this process, of all steps from one on."""
        recipe = self.job.recipe
        return make_loader(
            Samples(self.job.data.train, self._transforms(), seed=recipe.seed),
            self.job.sampler(self.share, first_step),
            workers=self.hardware.workers,
            memory="pinned" if self.hardware.device.type == "cuda" else "pageable",
        )

    def _transforms(self) -> list[Transform]:
        """Make one transform per epoch."""
        recipe, image, smallest = self.job.recipe, self.network.spec.image, self.network.smallest_image
        sizes = [recipe.image_at(epoch, image, smallest=smallest) for epoch in range(recipe.epochs)]
        return [training_transform(recipe, self.job.preprocessing.at(size)) for size in sizes]

    def loss(self, network: Callable[[Tensor], Tensor], part: Batch, *, step: int, place: int) -> Loss:
        """Give the loss of a part of a batch."""
        return Loss(self.lesson.loss(network, part, step=step, part=place))

    def score(self, network: nn.Module, team: Team) -> Score[Evaluation]:
        """Judge a network on the validation images."""
        assert isinstance(network, AnyNetwork)
        # In batches of the size that `graft eval` takes: another size may choose other kernels, and other last bits.
        try:
            found = evaluate(
                network, self.job.data.val, self.job.preprocessing, workers=self.hardware.workers, team=team
            )
        except NoRoomError as error:
            raise RunError(f"{error.what}. Use a smaller --val-image, --image or --model.") from error
        fault = f"the validation loss is {found.loss}" if is_odd(found.loss) else ""
        return Score({"val_loss": found.loss, "val_top1": found.top1}, found, found.failures, fault)

    def rank(self, row: Mapping[str, float]) -> tuple[float, ...]:
        """Let more right answers decide and, where they are as many, the smaller loss."""
        return row["val_top1"], -row["val_loss"]

    def write(self, tensors: Mapping[str, Tensor], path: Path, scores: Mapping[str, float]) -> None:
        """Write weights to a file."""
        store.save_tensors(
            self.network.spec,
            named_as_in_files(self.network.spec, tensors),
            path,
            preprocessing=self.job.preprocessing,
            classes=self.job.data.classes,
            scores={name: scores[name] for name in reversed(self.columns)},
        )

    def read(self, path: Path) -> tuple[AnyNetwork, Mapping[str, float]]:
        """Read what `write` wrote."""
        found = store.read(path)
        return found.network, found.scores


def _with(spec: Blueprint, classes: tuple[str, ...], recipe: Recipe) -> Blueprint:
    """Give the network as this data and this recipe want it; those of others have rates of dropping of their own."""
    if isinstance(spec, Grafted) and isinstance(spec.base, Backbone):
        base = _with(spec.base, classes, recipe)
        assert isinstance(base, Backbone)
        return replace(spec, base=base)
    spec = with_classes(spec, len(classes))
    if not isinstance(spec, Backbone):
        return spec
    return replace(spec, head=replace(spec.head, dropout=recipe.dropout), drop_path=recipe.drop_path)


def _kept(start: Trained, network: AnyNetwork) -> str:
    """Say how much of trained weights a network begins with."""
    share = share_kept(start.network, network)
    if not share:
        raise WeightsError(f"Nothing of the weights of {start.network.spec.name} is left in {network.spec.name}.")
    return f"{share:.1%} of the weights of {start.network.spec.name} are kept."
