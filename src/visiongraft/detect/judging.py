"""How good a detector is on annotated images."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import nn

from visiongraft.data.loader import Failure
from visiongraft.data.sampling import ScoringSampler, Share
from visiongraft.detect.annotations import DetectionSet
from visiongraft.detect.build import spec_of
from visiongraft.detect.checks import fault_of_image
from visiongraft.detect.pasting import pasted, unpasted
from visiongraft.detect.samples import DetectionSamples, make_detection_loader
from visiongraft.detect.scores import DetectionScores, Prediction, gathered, score
from visiongraft.errors import RunError, is_shortage
from visiongraft.train.evaluate import NothingToJudgeError, evaluating
from visiongraft.train.team import ALONE, Team


@dataclass(frozen=True)
class DetectionEvaluation:
    """What a detector found in every image, and how good that is.

    Args:
        found: in each image, by its place in the set.
        scores: by COCO's measures.
        failures: images that could not be read, or not be looked at, and count nowhere.
        seconds: duration, reading included.
    """

    found: dict[int, Prediction]
    scores: DetectionScores
    failures: tuple[Failure, ...]
    seconds: float


def judge(
    detector: nn.Module,
    images: DetectionSet,
    *,
    categories: int,
    workers: int = 0,
    on_image: Callable[[int], None] = lambda _: None,
    team: Team = ALONE,
) -> DetectionEvaluation:
    """Find the objects of every image of a set, and compare them with what is annotated, in float32 and in eval mode.

    Images come one by one: what is found in one depends on the padding, which depends on what it is shown with.

    Args:
        detector: on the device where the work is to be done; its modules are left in the modes that they were in.
        images: with annotations.
        categories: how many there are.
        workers: processes that read images beside this one.
        on_image: told of each image.
        team: processes that share the work; each gets the whole answer, which is that of one process.

    Raises:
        NothingToJudgeError: if no image at all could be read.
        RunError: if the memory does not suffice.
        MissingExtra: if what scores detectors is not installed.
    """
    sampler = ScoringSampler(len(images), batch_size=1, share=Share(team.rank, team.size))
    device, began = next(detector.parameters()).device, perf_counter()
    own: dict[int, Prediction] = {}
    failures: list[Failure] = []
    with evaluating(detector), torch.inference_mode():
        for batch in make_detection_loader(DetectionSamples(images), sampler, workers=workers):
            failures += batch.failures
            for index, image in zip(batch.indices, batch.to(device).inputs(), strict=True):
                if fault := fault_of_image(spec_of(detector), image):
                    failures.append(Failure(index, images.name_of(index), f"it {fault}"))
                else:
                    own[index] = found_in(detector, image)
            on_image(1)
    found = gathered(own, team)
    unread = tuple(each for some in team.gathered(failures) for each in some)
    if not found:
        raise NothingToJudgeError(unread)
    scores = score(images, found, categories=categories)
    return DetectionEvaluation(found, scores, unread, perf_counter() - began)


def found_in(detector: nn.Module, image: torch.Tensor) -> Prediction:
    """Find the objects of one image, (3, h, w) from 0 to 1, with a detector in eval mode.

    Raises:
        RunError: if the memory does not suffice.
    """
    try:
        with unpasted(detector):
            (output,) = detector([image])
        return pasted(output, (int(image.shape[1]), int(image.shape[2])))
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        size = " x ".join(str(side) for side in image.shape[1:])
        raise RunError(
            f"An image of {size} to be judged does not fit into the memory. Use a smaller --max-size or --backbone."
        ) from error
