"""Mobile-Former: bridging MobileNet and Transformer (Chen et al., CVPR 2022)."""

from lib.papers.mobile_former.blocks import (
    Head,
    LiteBottleneck,
    MobileBlock,
    MobileDownBlock,
    MobileFormerBlock,
)
from lib.papers.mobile_former.model import (
    NANO,
    VARIANTS,
    Backbone,
    BlockTrace,
    MobileFormer,
    Switches,
    build_block,
    initialise,
    mobile_former,
    trace,
    widen,
)
from lib.papers.mobile_former.official import (
    load_official,
    official_outputs,
    translate,
)

__all__ = [
    "NANO",
    "VARIANTS",
    "Backbone",
    "BlockTrace",
    "Head",
    "LiteBottleneck",
    "MobileBlock",
    "MobileDownBlock",
    "MobileFormer",
    "MobileFormerBlock",
    "Switches",
    "build_block",
    "initialise",
    "load_official",
    "mobile_former",
    "official_outputs",
    "trace",
    "translate",
    "widen",
]
