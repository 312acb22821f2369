"""From a value to a detector of torchvision's own classes."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn
from torchvision.models.detection import (
    FCOS,
    FasterRCNN,
    MaskRCNN,
    RetinaNet,
)
from torchvision.models.detection.faster_rcnn import (
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    TwoMLPHead,
)
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.rpn import RPNHead

from visiongraft.blocks.site import Runtime
from visiongraft.detect.checks import watch_what_is_shown
from visiongraft.detect.levels import Pixels
from visiongraft.detect.pyramid import GROUPS, Pyramid
from visiongraft.detect.regions import LevelAnchors, decode_exactly, region_pool
from visiongraft.detect.value import Detector
from visiongraft.errors import SpecError
from visiongraft.surgery.network import AnyNetwork, build
from visiongraft.weights.description import DETECTOR


def build_detector(spec: Detector, runtime: Runtime | None = None, *, network: AnyNetwork | None = None) -> nn.Module:
    """Build the detector that a value describes, in training mode.

    Args:
        spec: the value.
        runtime: what follows from the machine, for backbones of ours.
        network: the backbone, where there is one already, with its weights; its modules become the detector's. By
            default one with random weights is built.

    Returns:
        A `MaskRCNN`, `FasterRCNN`, `RetinaNet` or `FCOS` of torchvision. While it trains, `detector(images, targets)`
        gives its losses by name; in eval mode, `detector(images)` gives what it finds in each image, with boxes in
        that image's own pixels. Labels are 1 to `num_classes`.

    Raises:
        SpecError: if the backbone gives no maps for a pyramid.
    """
    pyramid = Pyramid(build(spec.backbone, runtime) if network is None else network, spec)
    detector = _two_stages(spec, pyramid) if spec.kind in ("mask_rcnn", "faster_rcnn") else _one_stage(spec, pyramid)
    decode_exactly(detector)
    setattr(detector, DETECTOR, spec)
    watch_what_is_shown(detector, spec)
    return detector.train()


def spec_of(detector: nn.Module) -> Detector:
    """Give the value that describes a detector.

    Raises:
        SpecError: if it is none that was built of such a value.
    """
    found = getattr(detector, DETECTOR, None)
    if not isinstance(found, Detector):
        raise SpecError(
            f"This {type(detector).__name__} is no detector of a value. Give one that visiongraft.detect made."
        )
    return found


def _two_stages(spec: Detector, pyramid: Pyramid) -> nn.Module:
    levels, logits, hidden = pyramid.levels, spec.num_classes + 1, _HIDDEN * spec.width
    anchors = _anchors(spec, levels.strides, _OF_TWO_STAGES)
    plain = spec.heads == "plain"
    choices: dict[str, Any] = {
        **_shown(spec, pyramid),
        "rpn_anchor_generator": anchors,
        "rpn_head": RPNHead(spec.width, len(anchors.sizes[0]) * len(spec.ratios), conv_depth=1 if plain else 2),
        "box_roi_pool": region_pool(levels, _BOX_CELLS),
        "box_head": TwoMLPHead(spec.width * _BOX_CELLS**2, hidden) if plain else _convolved_head(spec.width, hidden),
        "box_predictor": FastRCNNPredictor(hidden, logits),
        "box_detections_per_img": spec.detections,
        "box_batch_size_per_image": spec.regions,
        **_looked_for(spec.proposals),
    }
    if spec.kind == "faster_rcnn":
        return FasterRCNN(pyramid, **choices)
    layers = [spec.width] * _MASK_DEPTH
    return MaskRCNN(
        pyramid,
        **choices,
        mask_roi_pool=region_pool(levels, _MASK_CELLS),
        mask_head=MaskRCNNHeads(spec.width, layers, 1, norm_layer=None if plain else _norm),
        mask_predictor=MaskRCNNPredictor(spec.width, spec.width, logits),
    )


def _looked_for(proposals: int) -> dict[str, int]:
    """Say how many proposals are kept of a level, and then of an image."""
    later = max(1, proposals // 2)
    return {
        "rpn_pre_nms_top_n_train": proposals,
        "rpn_post_nms_top_n_train": proposals,
        "rpn_pre_nms_top_n_test": later,
        "rpn_post_nms_top_n_test": later,
    }


def _anchors(spec: Detector, strides: Sequence[Pixels], usual: tuple[float, ...]) -> LevelAnchors:
    factors = spec.anchors or usual
    sizes = [tuple(max(1, int(factor * each)) for factor in factors) for each in strides]
    return LevelAnchors(strides, sizes, spec.ratios)


_OF_TWO_STAGES = (8.0,)
_OF_RETINANET = tuple(4 * 2 ** (third / 3) for third in range(3))
_HIDDEN = 4
_BOX_CELLS = 7
_MASK_CELLS = 14
_MASK_DEPTH = 4
_norm = partial(nn.GroupNorm, GROUPS)


def _convolved_head(width: int, hidden: int) -> nn.Module:
    return FastRCNNConvFCHead((width, _BOX_CELLS, _BOX_CELLS), [width] * 4, [hidden], norm_layer=_norm)


def _one_stage(spec: Detector, pyramid: Pyramid) -> nn.Module:
    strides, logits = pyramid.levels.strides, spec.num_classes + 1
    shown = {**_shown(spec, pyramid), "detections_per_img": spec.detections}
    if spec.kind == "fcos":
        anchors = LevelAnchors(strides, [(each,) for each in strides], (1.0,))
        return FCOS(pyramid, logits, anchor_generator=anchors, **shown)
    anchors = _anchors(spec, strides, _OF_RETINANET)
    head = RetinaNetHead(
        spec.width,
        len(anchors.sizes[0]) * len(spec.ratios),
        logits,
        norm_layer=None if spec.heads == "plain" else _norm,
    )
    return RetinaNet(pyramid, logits, anchor_generator=anchors, head=head, **shown)


def _shown(spec: Detector, pyramid: Pyramid) -> dict[str, Any]:
    """Say how images are resized, normalised and padded."""
    return {
        "min_size": spec.min_size,
        "max_size": spec.max_size,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
        "size_divisible": pyramid.multiple,
    }
