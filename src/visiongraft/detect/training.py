"""The training of detectors: what they are shown, what their loss is, and how they are scored."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from visiongraft.data.sampling import Share, StepSampler, mix
from visiongraft.detect.annotations import DetectionData
from visiongraft.detect.build import spec_of
from visiongraft.detect.course import DetectionCourse
from visiongraft.detect.fingerprint import detection_fingerprint
from visiongraft.detect.judging import DetectionEvaluation, judge
from visiongraft.detect.models import KEPT
from visiongraft.detect.samples import (
    DetectionBatch,
    DetectionSamples,
    make_detection_loader,
    refuse_without_masks,
)
from visiongraft.detect.scenes import steps_for
from visiongraft.detect.store import read, save_tensors
from visiongraft.detect.value import Detector, Kind
from visiongraft.errors import GraftError
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import Ended
from visiongraft.train.task import Loss, Score
from visiongraft.train.team import Team

TERMS: Mapping[Kind, tuple[str, ...]] = {
    "faster_rcnn": ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"),
    "mask_rcnn": ("loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"),
    "retinanet": ("classification", "bbox_regression"),
    "fcos": ("classification", "bbox_regression", "bbox_ctrness"),
}
"""What torchvision calls the terms of each detector's loss."""

MEASURES = ("ap", "ap50", "ap75")
"""The scores that are worth a column of metrics.csv, of boxes and of masks."""

DetectionOutcome = Ended[Detector, DetectionEvaluation]
"""What the training of a detector gave."""


@dataclass(frozen=True)
class Detecting:
    """A detector to be trained.

    Args:
        detector: with the numbers that it begins with, made by `create_detector`.
        data: what to learn from, and to be scored on.
        recipe: how.

    Raises:
        GraftError: if the detector is for another number of categories, or for masks that some object lacks.
    """

    detector: nn.Module
    data: DetectionData
    recipe: DetectionCourse

    def __post_init__(self) -> None:
        """Refuse data that a detector is not for: of other categories, or without masks that it learns."""
        if self.spec.num_classes != len(self.data.categories):
            raise GraftError(
                f"{self.spec.name} is for {self.spec.num_classes} categories, and {self.data.name!r} has"
                f" {len(self.data.categories)}. Make it for as many."
            )
        for part in (self.data.train, self.data.val) if self.spec.kind == "mask_rcnn" else ():
            if len(part.labels) and not part.has_masks:
                refuse_without_masks(part)

    @property
    def spec(self) -> Detector:
        """The detector as a value."""
        return spec_of(self.detector)

    @property
    def images(self) -> int:
        """How many there are, to learn from and to be scored on."""
        return len(self.data.train) + len(self.data.val)

    @property
    def norms(self) -> Literal["together", "apart"]:
        """Whether the batch-norms of all processes see the whole batch together."""
        return "apart" if self.spec.norm == "train" else "together"

    def check(self, hardware: Hardware) -> None:
        """Refuse what is for classifiers alone."""
        if hardware.strategy == "fsdp":
            raise GraftError(f"--strategy fsdp spreads classifiers of ours. Use ddp for {self.spec.name}.")
        if hardware.code == "compiled":
            raise GraftError(f"--compile is for classifiers. Leave it out for {self.spec.name}.")

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
            fewest=Detection.fewest,
        )

    def begun(self) -> tuple[nn.Module, tuple[str, ...]]:
        """Give the detector as it begins, and tell how much of trained weights it has."""
        kept = getattr(self.detector, KEPT, None)
        return self.detector, () if kept is None else (kept,)

    def outlined(self) -> nn.Module:
        """Give the same: no process is told its numbers."""
        return self.detector

    def task(self, network: nn.Module, share: Share, hardware: Hardware) -> "Detection":
        """Take up the work in one process."""
        return Detection(self, network, share, hardware)


class Detection:
    """The training of a detector in one process: a `train.task.Task`.

    Args:
        job: what is trained.
        network: the detector that learns, on its device.
        share: what this process takes of each batch.
        hardware: what computes.
    """

    fewest = 1
    remedy = "--max-size, --min-size or --backbone"

    def __init__(self, job: Detecting, network: nn.Module, share: Share, hardware: Hardware) -> None:
        self.job = job
        self.network = network
        self.share = share
        self.hardware = hardware
        self.kind: Kind = job.spec.kind
        self.wanted: tuple[str, ...] = ("box", "mask") if self.kind == "mask_rcnn" else ("box",)
        # What is learnt from has the size at which it is shown: it was drawn for the image, and not from a generator.
        network.transform._skip_resize = True  # type: ignore[union-attr]  # of torchvision, without types

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a score's numbers."""
        return tuple(f"val_{what}_{measure}" for what in self.wanted for measure in MEASURES)

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of a loss' terms."""
        return tuple(f"loss_{name.removeprefix('loss_')}" for name in TERMS[self.kind])

    def belongs(self) -> dict[str, Any]:
        """Tell what the run is of; for this, each file is looked at."""
        return {
            "spec": self.job.spec.to_dict(),
            "recipe": asdict(self.job.recipe),
            "preprocessing": {},
            "data": detection_fingerprint(self.job.data),
        }

    def batches(self, first_step: int) -> Iterable[DetectionBatch]:
        """Hand out the parts of this process, of all steps from one on."""
        recipe, spec = self.job.recipe, self.job.spec
        samples = DetectionSamples(
            self.job.data.train,
            steps_for(spec.min_size, spec.max_size, recipe.scales, flip=recipe.flip, color=recipe.color_jitter),
            wanted="masks" if "mask" in self.wanted else "boxes",
            seed=recipe.seed,
        )
        return make_detection_loader(
            samples,
            self.job.sampler(self.share, first_step),
            workers=self.hardware.workers,
            memory="pinned" if self.hardware.device.type == "cuda" else "pageable",
        )

    def loss(self, network: Callable[..., Any], part: DetectionBatch, *, step: int, place: int) -> Loss:
        """Give the sum of torchvision's losses. Which anchors and regions they look at is drawn for the part."""
        number = place * self.share.devices + self.share.device
        torch.manual_seed(mix("part", self.job.recipe.seed, step, number))
        targets = [{name: value for name, value in each.items() if name in _LEARNT} for each in part.targets]
        losses: Mapping[str, Tensor] = network(part.inputs(), targets)
        terms = tuple(losses[name].float() for name in TERMS[self.kind])
        return Loss(torch.stack(terms).sum(), terms)

    def score(self, network: nn.Module, team: Team) -> Score[DetectionEvaluation]:
        """Judge a detector on the images to be scored on."""
        data = self.job.data
        if self.job.norms == "apart":
            adopt_statistics(network, team)
        found = judge(network, data.val, categories=len(data.categories), workers=self.hardware.workers, team=team)
        named = found.scores.named()
        row = {name: _finite(named.get(name.removeprefix("val_"), math.nan)) for name in self.columns}
        return Score(row, found, found.failures)

    def rank(self, row: Mapping[str, float]) -> tuple[float, ...]:
        """Let average precision decide: of masks, where there are any, and then of boxes."""
        return tuple(row[f"val_{what}_{measure}"] for what in reversed(self.wanted) for measure in MEASURES)

    def write(self, tensors: Mapping[str, Tensor], path: Path, scores: Mapping[str, float]) -> None:
        """Write weights to a file."""
        save_tensors(self.job.spec, tensors, path, classes=self.job.data.categories, scores=scores)

    def read(self, path: Path) -> tuple[nn.Module, Mapping[str, float]]:
        """Read what `write` wrote."""
        found = read(path)
        return found.network, found.scores


_LEARNT = ("boxes", "labels", "masks")


@torch.no_grad()
def adopt_statistics(network: nn.Module, team: Team) -> None:
    """Give a network the statistics of the first process', whose weights are the ones that are kept.

    Where each process normalises by what it sees itself, theirs differ; what is judged is what the file will hold.
    Nothing is learnt from them.
    """
    if team.size == 1:
        return
    own = list(network.buffers())
    for each, theirs in zip(own, team.led(lambda: [buffer.cpu() for buffer in own]), strict=True):
        each.copy_(theirs)


def _finite(score: float) -> float:
    """Count as nothing what could not be scored, since there was nothing to be found."""
    return score if math.isfinite(score) else 0.0
