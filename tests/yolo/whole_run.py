"""What a user does with a model of ours in Ultralytics, in a process that is not pytest's, without any socket.

    python -m tests.yolo.whole_run FOLDER

Ultralytics reports nothing while it sees pytest, so what it does for users shows only here. What was found is written
to FOLDER/found.json.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MOST = 1e-3  # of outputs up to 640, in pixels


def main(folder: Path) -> None:
    """Train, score, predict, export; and write what a process for several devices would run."""
    asked: list[str] = []
    started: list[str] = []
    _forbid(asked, started)
    data = write_data(folder / "data")
    import visiongraft.yolo as door

    found: dict[str, Any] = {"pillow": Image.open.__module__}

    import torch
    from ultralytics import YOLO
    from ultralytics.utils.dist import generate_ddp_file

    base, model = YOLO("yolo11n.yaml"), YOLO("yolo11n-mhsa.yaml")
    found["report"] = str(door.transfer(model, base))
    common = {"device": "cpu", "workers": 0, "plots": True, "project": str(folder), "exist_ok": True}
    model.train(
        data=str(data), epochs=1, imgsz=64, batch=4, optimizer="SGD", lr0=1e-9, warmup_epochs=0, name="run", **common
    )
    best = folder / "run" / "weights" / "best.pt"
    start, end = base.model.state_dict(), YOLO(best).model.state_dict()
    far = (start["model.0.conv.weight"] - end["model.0.conv.weight"]).abs().max()
    found["from_transferred"] = bool(far < 1e-3)  # half precision is what the file has
    scores = model.val(data=str(data), imgsz=96, name="val", **common)
    found["scored"] = sorted(scores.results_dict)
    images = sorted((folder / "data" / "images" / "val").iterdir())
    found["predicted"] = [
        list(each.orig_shape)
        for size in (64, (64, 96))
        for each in model.predict(images[:1], imgsz=size, device="cpu")
    ]
    found["exports"] = exports(YOLO(best), folder)
    torch.save(_shown(YOLO(best).model.eval()), folder / "shown.pt")

    trainer = YOLO("yolo11n-mhsa.yaml")
    options = {"data": str(data), "model": "yolo11n-mhsa.yaml", "epochs": 1, "imgsz": 64, "batch": 4, "val": False}
    kind = trainer._smart_load("trainer")
    held = kind(overrides={**options, **common, "plots": False, "name": "spawned"}, _callbacks=trainer.callbacks)
    found["spawned"] = generate_ddp_file(held)
    from ultralytics.utils import TESTS_RUNNING
    from ultralytics.utils.events import events

    found["reports"] = [TESTS_RUNNING, events.enabled]
    found["asked"], found["started"] = asked, started
    (folder / "found.json").write_text(json.dumps(found))


def exports(model: Any, folder: Path) -> list[float]:
    """Export at a fixed size, and for all sizes, and measure how far ONNX is from PyTorch at each."""
    import onnxruntime
    import torch

    for name, each in model.model.named_parameters():
        if name.endswith("scale.gamma"):
            torch.nn.init.constant_(each, 0.5)  # so that the mixer counts
    far = []
    for sizes, dynamic in (([(64, 96)], False), ([(64, 96), (96, 160), (128, 128)], True)):
        path = model.export(format="onnx", imgsz=sizes[0], dynamic=dynamic, device="cpu")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for size in sizes:
            images = torch.rand(1, 3, *size)
            with torch.no_grad():
                wanted = model.model.eval()(images)[0]
            got = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
            far.append((got - wanted).abs().max().item())
    return far


def _shown(network: Any) -> Any:
    import torch

    with torch.no_grad():
        return network(torch.linspace(0, 1, 3 * 64 * 96).reshape(1, 3, 64, 96))[0]


def write_data(folder: Path) -> Path:
    """Write four small pictures for each part, with a box in each, as Ultralytics reads them."""
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        for index in range(4):
            pixels = random.integers(0, 255, (64, 96, 3), dtype=np.uint8)
            pixels[20:40, 30:60] = 255 * (index % 2)
            Image.fromarray(pixels).save(folder / "images" / part / f"{index}.png")
            (folder / "labels" / part / f"{index}.txt").write_text(f"{index % 2} 0.47 0.47 0.31 0.31\n")
    path = folder / "data.yaml"
    path.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames: {{0: black, 1: white}}\n")
    return path


def _forbid(asked: list[str], started: list[str]) -> None:
    """Refuse every host, and note each program that is started."""

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(str(arguments))
        raise OSError("no network here")

    for name in ("create_connection", "getaddrinfo"):
        setattr(socket, name, refuse)
    socket.socket.connect = refuse  # type: ignore[method-assign]
    plain = subprocess.Popen.__init__

    def noted(self: Any, arguments: Any, *others: Any, **more: Any) -> None:
        started.append(str(arguments))
        plain(self, arguments, *others, **more)

    subprocess.Popen.__init__ = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
