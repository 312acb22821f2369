"""The command `yolo` of Ultralytics, with our mixers: python -m visiongraft.yolo train model=yolo11n-mhsa.yaml ..."""

from visiongraft.yolo.door import entrypoint

entrypoint()
