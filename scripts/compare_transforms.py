"""Compare our changes of training images with torchvision's, in processor time.

    OMP_NUM_THREADS=1 python scripts/compare_transforms.py

Takes 128 photographs of the bundled flowers from 64 to 48 pixels, in 31 pairs of rounds, the two in turn first. Prints
the median and the quartiles of the ratios. docs/decisions/0002-house.md has the result.
"""

import statistics
from collections.abc import Callable
from time import process_time

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from visiongraft.data.flowers import open_flowers
from visiongraft.data.loader import Samples, collate
from visiongraft.data.sampling import Draw
from visiongraft.data.transforms import TrainTransform, jitter_colors, rotate, to_tensor
from visiongraft.data.views import cut_out
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.devices import keep_freed_memory

SIDE, BATCH, ROUNDS = 48, 128, 31
STRENGTH, DEGREES = 0.3, 15.0

Work = Callable[[], object]


def ratios(first: Work, second: Work) -> list[float]:
    """Measure pairs of rounds: the time of the first over that of the second."""
    first(), second()
    found = []
    for index in range(ROUNDS):
        seconds = {}
        for work in (first, second) if index % 2 == 0 else (second, first):
            began = process_time()
            work()
            seconds[work] = process_time() - began
        found.append(seconds[first] / seconds[second])
    return found


def comparisons() -> dict[str, tuple[Work, Work]]:
    """Give what is compared, and its name."""
    photos = open_flowers(parts="val").val
    images = [photos.load(index) for index in range(BATCH)]
    ours = TrainTransform(Preprocessing(image=(SIDE, SIDE)))
    small = [Image.fromarray(ours(each).permute(1, 2, 0).numpy()) for each in images]
    pixels = torch.stack([to_tensor(each) for each in small]).float()
    boxes = [ours._box(each.size, torch.rand(22).tolist()) for each in images]
    crop = v2.RandomResizedCrop(SIDE, scale=ours.scale, interpolation=InterpolationMode.BICUBIC)
    both = v2.Compose([crop, v2.RandomHorizontalFlip()])
    jitter = v2.ColorJitter(STRENGTH, STRENGTH, STRENGTH)
    turn = v2.RandomRotation(DEGREES, interpolation=InterpolationMode.BICUBIC)
    turn_tensor = v2.RandomRotation(DEGREES, interpolation=InterpolationMode.BILINEAR)  # it has no other for tensors

    def resized() -> object:
        size, filters = (SIDE, SIDE), Image.Resampling.BICUBIC
        return [each.resize(size, filters, box=box) for each, box in zip(images, boxes, strict=True)]

    samples, draws = Samples(photos, ours), [Draw(0, index) for index in range(BATCH)]

    def cut() -> object:
        batch = collate(samples.__getitems__(draws), image=(SIDE, SIDE))
        assert batch.views is not None
        return cut_out(batch.images, batch.views)

    return {
        "Samples and cut_out / Samples of one picture after another": (
            cut,
            lambda: collate([samples._make(each) for each in draws], image=(SIDE, SIDE)),
        ),
        "RandomResizedCrop / resize of Pillow alone": (lambda: [crop(each) for each in images], resized),
        "RandomResizedCrop and flip / TrainTransform": (
            lambda: [to_tensor(both(each)) for each in images],
            lambda: [ours(each) for each in images],
        ),
        "jitter_colors / ColorJitter of tensors": (
            lambda: jitter_colors(pixels, STRENGTH),
            lambda: [jitter(each) for each in pixels],
        ),
        "jitter_colors / ColorJitter of PIL images": (
            lambda: jitter_colors(pixels, STRENGTH),
            lambda: [jitter(each) for each in small],
        ),
        "rotate / RandomRotation of tensors, bilinear": (
            lambda: rotate(pixels, DEGREES),
            lambda: [turn_tensor(each) for each in pixels],
        ),
        "rotate / RandomRotation of PIL images": (
            lambda: rotate(pixels, DEGREES),
            lambda: [turn(each) for each in small],
        ),
    }


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()  # as `graft train` does
    for name, (first, second) in comparisons().items():
        low, middle, high = statistics.quantiles(ratios(first, second), n=4)
        print(f"{name:58} {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
