"""Tiny data sets with boxes and shapes, for tests."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30

NAMES = ("кошка", "dog")
"""Two categories, which the json calls 3 and 7."""


def picture(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """Make a picture of random blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def write_images(folder: Path, names: list[str], seed: int = 0) -> None:
    """Write a picture under each name."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(seed + number).save(folder / name)


def square(x: float, y: float, side: float) -> list[list[float]]:
    """Give a polygon as COCO's json has it."""
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def document(images: int = 3, *, start: int = 1, prefix: str = "") -> dict[str, list[dict[str, object]]]:
    """Make COCO's json: on image number i, i squares; the last image shows nothing."""
    entries, objects = [], []
    for number in range(images):
        key = start + number
        entries.append({"id": key, "file_name": f"{prefix}{key}.png", "height": HEIGHT, "width": WIDTH})
        for place in range((number + 1) % images):
            box = [4.0 + 6 * (place % 5), 5.0, 8.0, 8.0]
            objects.append(
                {
                    "id": 100 * key + place,
                    "image_id": key,
                    "category_id": (3, 7)[place % 2],
                    "bbox": box,
                    "area": 64.0,
                    "iscrowd": 0,
                    "segmentation": square(box[0], box[1], 8.0),
                }
            )
    categories = [{"id": 7, "name": NAMES[1]}, {"id": 3, "name": NAMES[0]}]
    return {"images": entries, "annotations": objects, "categories": categories}


def write_json(file: Path, content: object) -> Path:
    """Write json, its letters as they are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return file


def write_coco(root: Path, train: dict[str, object] | None = None, val: dict[str, object] | None = None) -> Path:
    """Write images and json as COCO lays them out: images 1 to 3 to learn from, 11 to 13 to be scored on."""
    for part, content, start in (("train", train or document(), 1), ("val", val or document(start=11), 11)):
        write_images(root / f"{part}2017", [f"{start + number}.png" for number in range(3)], seed=start)
        write_json(root / "annotations" / f"instances_{part}2017.json", content)
    return root
