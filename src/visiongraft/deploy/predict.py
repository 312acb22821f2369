"""What a trained network says of pictures that lie anywhere."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from visiongraft.data.images import EXTENSIONS, UnreadableImage, read_image
from visiongraft.data.transforms import EvalTransform
from visiongraft.errors import DataError, WeightsError
from visiongraft.preprocessing import normalize
from visiongraft.weights.store import Trained


@dataclass(frozen=True)
class Prediction:
    """What was said of one file.

    Args:
        file: its path.
        top: the most probable classes with their probabilities in [0, 1], the first one first; empty on an error.
        error: why nothing could be said, or None.
    """

    file: Path
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """Give the image files among files and folders; folders are searched through and through, in order of name.

    A file that is named is taken whatever its ending is; of a folder, what ends as images do.

    Raises:
        DataError: if an input does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for each in inputs:
        if each.is_dir():
            inside = sorted(path for path in each.rglob("*") if path.suffix.lower() in EXTENSIONS)
            if not inside:
                raise DataError(f"{each} holds no images. Expected files ending in {', '.join(sorted(EXTENSIONS))}.")
            found += inside
        elif each.exists():
            found.append(each)
        else:
            raise DataError(f"There is no {each}. Give image files or folders of them.")
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
    transform = EvalTransform(model.preprocessing)
    network = model.network.eval().to(device)
    names = model.classes or tuple(str(index) for index in range(network.num_classes))
    files = iter(files)
    while chunk := list(islice(files, batch_size)):
        images, errors = [], {}
        for path in chunk:
            try:
                images.append(transform(read_image(path)))
            except UnreadableImage as error:
                errors[path] = error.reason
        rows: Iterator[tuple[tuple[str, float], ...]] = iter(())
        if images:
            with torch.inference_mode():
                batch = normalize(torch.stack(images).to(device), model.preprocessing)
                probabilities = network(batch).float().softmax(dim=1)
            if not bool(probabilities.isfinite().all()):
                raise WeightsError("The network gives numbers that are none: its weights are damaged. Train it again.")
            values, places = probabilities.topk(min(top, len(names)))
            rows = (
                tuple((names[place], value) for place, value in zip(*row, strict=True))
                for row in zip(places.tolist(), values.tolist(), strict=True)
            )
        for path in chunk:
            yield Prediction(path, error=errors[path]) if path in errors else Prediction(path, next(rows))
