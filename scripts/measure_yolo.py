"""Train YOLO11n with and without a mixer for an epoch on blood cells, and see that val, ONNX and files work.

    python -m scripts.measure_yolo FOLDER [--image 320] [--epochs 1] [--model yolo11n-mhsa.yaml]

FOLDER holds images/ and instances_train.json, instances_val.json as COCO has them. Prints one line for each thing
measured. Ultralytics is kept offline.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "visiongraft-yolo"))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="images/ and instances_*.json")
    parser.add_argument("--image", type=int, default=320, help="side in pixels")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--model", default="yolo11n-mhsa.yaml")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        data = as_yolo(chosen.folder.resolve(), Path(place))
        for name in ("yolo11n.yaml", chosen.model):
            train_one(name, data, Path(place), image=chosen.image, epochs=chosen.epochs)


def train_one(name: str, data: Path, place: Path, *, image: int, epochs: int) -> None:
    """Train a model from random weights; score, load and export what came of it."""
    import onnxruntime
    import torch
    from ultralytics import YOLO

    import visiongraft.yolo  # noqa: F401 - lets the model's file name our mixers

    model = YOLO(name)
    start = time.perf_counter()
    model.train(
        data=str(data), epochs=epochs, imgsz=image, batch=8, device="cpu", plots=False, project=str(place), name=name
    )
    print(f"{name}: {epochs} epochs of {image} pixels in {time.perf_counter() - start:.0f} s")
    best = YOLO(place / name / "weights" / "best.pt")
    scores = best.val(data=str(data), imgsz=image, device="cpu", plots=False, project=str(place), name=f"{name}-val")
    print(f"{name}: val AP50 {scores.box.map50:.4f}, AP {scores.box.map:.4f}")
    network = best.model.eval()
    path = best.export(format="onnx", dynamic=True, imgsz=image, device="cpu")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in ((image, image), (480, 640)):
        images = torch.rand(1, 3, *size)
        with torch.no_grad():
            wanted = network(images)[0]
        found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        print(f"{name}: ONNX at {size[0]}x{size[1]} differs by {(found - wanted).abs().max():.2e}, boxes in pixels")


def as_yolo(folder: Path, place: Path) -> Path:
    """Write a data set of COCO's form as Ultralytics reads it: links to the images, and a text beside each."""
    names: dict[int, str] = {}
    for part in ("train", "val"):
        document = json.loads((folder / f"instances_{part}.json").read_text(encoding="utf-8"))
        categories = {each["id"]: index for index, each in enumerate(document["categories"])}
        names = {categories[each["id"]]: each["name"] for each in document["categories"]}
        sizes = {each["id"]: each for each in document["images"]}
        lines: dict[int, list[str]] = {image: [] for image in sizes}
        for each in document["annotations"]:
            (left, top, width, height), image = each["bbox"], sizes[each["image_id"]]
            middle = (left + width / 2) / image["width"], (top + height / 2) / image["height"]
            extent = width / image["width"], height / image["height"]
            row = (categories[each["category_id"]], *(f"{number:.6f}" for number in (*middle, *extent)))
            lines[each["image_id"]].append(" ".join(map(str, row)))
        for kind in ("images", "labels"):
            (place / "data" / kind / part).mkdir(parents=True)
        for number, image in sizes.items():
            source = folder / "images" / image["file_name"]
            (place / "data" / "images" / part / source.name).symlink_to(source)
            text = place / "data" / "labels" / part / f"{source.stem}.txt"
            text.write_text("\n".join(lines[number]) + "\n", encoding="utf-8")
    path = place / "data" / "data.yaml"
    path.write_text(
        f"path: {place / 'data'}\ntrain: images/train\nval: images/val\nnames: {list(names.values())}\n",
        encoding="utf-8",
    )
    return path


if __name__ == "__main__":
    main()
