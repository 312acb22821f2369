"""What tells a data set with boxes from another, so that a run that goes on knows whether it is still the same one."""

from hashlib import blake2b

import numpy as np

from visiongraft.data.fingerprint import Fingerprint, Part
from visiongraft.detect.annotations import DetectionData, DetectionSet
from visiongraft.detect.outlines import Polygons


def detection_fingerprint(data: DetectionData) -> Fingerprint:
    """Describe a data set: its categories, and for each of its sets the images and all that is annotated on them.

    Files are described by their paths and sizes, as `data.fingerprint` does; `data.fingerprint.changes` compares.
    """
    return {"classes": list(data.categories), "train": _part(data.train), "val": _part(data.val)}


def _part(images: DetectionSet) -> Part:
    digest = blake2b(digest_size=16)
    for values in (images.sizes, images.starts, images.boxes, images.labels, images.crowd, images.areas):
        digest.update(np.ascontiguousarray(values).tobytes())
    for name in images.files:
        path = images.root / name
        digest.update(f"{name}\0{path.stat().st_size if path.exists() else -1}\0".encode("utf-8", "surrogateescape"))
    for outline in images.outlines:
        shapes = () if outline is None else outline.rings if isinstance(outline, Polygons) else (outline.runs,)
        digest.update(f"{len(shapes)}\0".encode())
        for shape in shapes:
            digest.update(np.ascontiguousarray(shape).tobytes())
    return {"images": len(images), "digest": digest.hexdigest()}
