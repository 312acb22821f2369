"""A detector whose processes have each seen other statistics, scored by several of them and by one."""

from pathlib import Path

import torch
from torch import Tensor, nn

from tests.detect.tiny import built
from visiongraft.data.sampling import Share
from visiongraft.detect.course import DetectionCourse
from visiongraft.detect.opening import open_detection
from visiongraft.detect.training import Detecting
from visiongraft.train.devices import Hardware
from visiongraft.train.team import ALONE, Team


def found_alone(data: Path) -> dict[int, Tensor]:
    """Give the boxes that the first process finds alone on each image."""
    return _found(data, ALONE)


def judge(data: str, answer: str) -> None:
    """Score it in all processes, and write what the first one is told."""
    number, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    found = _found(Path(data), Team.assembled(number, size))
    if number == 0:
        torch.save(found, answer)


def _found(data: Path, team: Team) -> dict[int, Tensor]:
    detector = built("faster_rcnn", "resnet_pico", num_classes=2, min_size=(32,), max_size=48, norm="train")
    for each in detector.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.running_mean += 0.1 * team.rank
            nn.init.ones_(each.weight)  # or branches would be silent
    hardware = Hardware(torch.device("cpu"))
    task = Detecting(detector, open_detection(data), DetectionCourse()).task(
        detector, Share(team.rank, team.size), hardware
    )
    found = task.score(detector, team).found.found
    return {place: torch.from_numpy(each.boxes) for place, each in found.items()}
