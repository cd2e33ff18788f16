"""Detection: boxes, anchors, the feature pyramid, and RetinaNet on any backbone."""

from lib.layers.detection.anchors import (
    IGNORED,
    NEGATIVE,
    anchor_shapes,
    assign_anchors,
    grid_anchors,
    pyramid_anchors,
)
from lib.layers.detection.boxes import (
    batched_nms,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    giou,
    nms,
    part_by_class,
    suppress,
)
from lib.layers.detection.fpn import FPN
from lib.layers.detection.retinanet import (
    Detections,
    Outputs,
    RetinaHead,
    RetinaNet,
    by_anchor,
    candidates,
    focal_loss,
    retinanet_loss,
    select,
    tower,
)

__all__ = [
    "FPN",
    "IGNORED",
    "NEGATIVE",
    "Detections",
    "Outputs",
    "RetinaHead",
    "RetinaNet",
    "anchor_shapes",
    "assign_anchors",
    "batched_nms",
    "box_iou",
    "by_anchor",
    "candidates",
    "clip_boxes",
    "decode_boxes",
    "encode_boxes",
    "focal_loss",
    "giou",
    "grid_anchors",
    "nms",
    "part_by_class",
    "pyramid_anchors",
    "retinanet_loss",
    "select",
    "suppress",
    "tower",
]
