"""Mixers of ours in YOLO: importing this lets model files of Ultralytics name them, in every process.

    from ultralytics import YOLO
    import visiongraft.yolo

    model = YOLO("yolo11n-mhsa.yaml")
    print(visiongraft.yolo.transfer(model, "yolo11n.pt"))
    model.train(data="my.yaml")

Ultralytics is under AGPL-3.0 and has to be installed. From this import on it is offline, unless the environment says
YOLO_OFFLINE=false: it looks up no host, fetches nothing, installs nothing and reports nothing.
"""

from visiongraft.yolo.door import take_over
from visiongraft.yolo.layers import MixerLayer
from visiongraft.yolo.shipped import list_models
from visiongraft.yolo.transfer import Transfer, transfer

__all__ = ["MixerLayer", "Transfer", "list_models", "transfer"]

take_over()
