"""What a trained network says of pictures that lie anywhere."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from visiongraft.data.images import EXTENSIONS, UnreadableImage, read_image
from visiongraft.data.transforms import EvalTransform
from visiongraft.data.walk import images_under
from visiongraft.errors import DataError, WeightsError, counted
from visiongraft.folding import fold
from visiongraft.preprocessing import normalize
from visiongraft.weights.store import Trained

Top = tuple[tuple[str, float], ...]
"""Classes with their probabilities in [0, 1], the most probable first."""


@dataclass(frozen=True)
class Prediction:
    """What was said of one file.

    Args:
        file: its path.
        top: the most probable classes; empty on an error.
        error: why nothing could be said, or None.
    """

    file: Path
    top: Top = ()
    error: str | None = None


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """Give the image files among files and folders; folders are searched as those of a data set are.

    A file that is named is taken whatever its ending is, and whether or not it is there: `predict` says what is wrong
    with it, and goes on with the others.

    Raises:
        DataError: if a folder holds no image, or cannot be listed.
    """
    found: list[Path] = []
    for each in inputs:
        if not os.path.isdir(each):  # noqa: PTH112 - Path.is_dir raises where a path is too long or not to be entered
            found.append(each)
            continue
        inside, others = images_under(each)
        if not inside:
            held = f"{counted(others.total(), 'file')}, but no image" if others else "no file"
            raise DataError(
                f"The folder {str(each)!r} holds {held}. Give image files (their names end in "
                f"{' '.join(sorted(EXTENSIONS))}), or folders of them."
            )
        found += [each / name for name in inside]
    return found


def predict(
    model: Trained, files: Iterable[Path], *, device: torch.device, top: int = 5, batch_size: int = 32
) -> Iterator[Prediction]:
    """Classify files, in their order, a batch at a time; one that cannot be read gets its reason instead.

    Args:
        model: network, preprocessing and class names.
        files: image files.
        device: where to compute.
        top: how many classes to give for each.
        batch_size: images at a time.
    """
    if not model.network.num_classes:
        raise WeightsError(
            f"{model.network.spec.name} has no classifier with these weights: it gives features and no classes. Train"
            " one, with `graft train`, or use other weights."
        )
    network, checked = fold(model.network).to(device), False
    transform = EvalTransform(model.preprocessing)
    files = iter(files)
    while chunk := list(islice(files, batch_size)):
        images, errors = [], {}
        for path in chunk:
            try:
                images.append(transform(read_image(path)))
            except UnreadableImage as error:
                errors[path] = error.reason
        if images and not checked:
            # A folded network may answer where this one gives NaN: oneDNN's rectifier makes 0 of it.
            _classified(model, model.network.eval().to(device), torch.stack(images[:1]).to(device), top)
            checked = True
        tops = iter(_classified(model, network, torch.stack(images).to(device), top) if images else ())
        for path in chunk:
            yield Prediction(path, error=errors[path]) if path in errors else Prediction(path, next(tops))


def _classified(model: Trained, network: nn.Module, images: Tensor, top: int) -> list[Top]:
    """Classify a batch of pixels, (b, 3, h, w), on the device where it lies, by the model's network, folded.

    Raises:
        WeightsError: if the network gives NaN.
    """
    names = model.classes or tuple(str(index) for index in range(model.network.num_classes))
    with torch.inference_mode():
        probabilities = network(normalize(images, model.preprocessing)).float().softmax(dim=1)
    if not bool(probabilities.isfinite().all()):
        raise WeightsError(
            "The network gives NaN in place of probabilities: its weights are damaged, or its training "
            "diverged. Use another weight file, or train again with a lower --lr."
        )
    values, places = probabilities.topk(min(top, len(names)))
    return [
        tuple((names[place], value) for place, value in zip(*row, strict=True))
        for row in zip(places.tolist(), values.tolist(), strict=True)
    ]
