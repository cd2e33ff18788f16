"""Building blocks used by two chapters or more; they import nothing else of ours."""

from lib.layers.contrast import FeatureQueue, SplitBatchNorm2d, info_nce
from lib.layers.conv import (
    ConvBNAct,
    DropPath,
    SqueezeExcite,
    channel_shuffle,
    fuse,
)
from lib.layers.dynamic_relu import (
    DynamicReLU,
    LeanDynamicReLU,
    SpatialDynamicReLU,
    slope_net,
    token_shares,
)
from lib.layers.former import PostNormBlock
from lib.layers.light_attention import (
    FormerToMobile,
    MobileToFormer,
    merge_heads,
    split_heads,
)
from lib.layers.patches import ConvMerge, ConvPatchEmbed
from lib.layers.prenorm import Mlp, PreNormBlock
from lib.layers.segmentation import (
    FCNHead,
    PyramidPooling,
    Segmenter,
    SemanticFPNHead,
    UPerHead,
    segmentation_loss,
)
from lib.layers.stripes import (
    CrossShapedAttention,
    LePE,
    StripeAttention,
    crop_rows,
    pad_rows,
    stripe_merge,
    stripe_partition,
)

__all__ = [
    "ConvBNAct",
    "ConvMerge",
    "ConvPatchEmbed",
    "CrossShapedAttention",
    "DropPath",
    "DynamicReLU",
    "FCNHead",
    "FeatureQueue",
    "FormerToMobile",
    "LePE",
    "LeanDynamicReLU",
    "Mlp",
    "MobileToFormer",
    "PostNormBlock",
    "PreNormBlock",
    "PyramidPooling",
    "Segmenter",
    "SemanticFPNHead",
    "SpatialDynamicReLU",
    "SplitBatchNorm2d",
    "SqueezeExcite",
    "StripeAttention",
    "UPerHead",
    "channel_shuffle",
    "crop_rows",
    "fuse",
    "info_nce",
    "merge_heads",
    "pad_rows",
    "segmentation_loss",
    "slope_net",
    "split_heads",
    "stripe_merge",
    "stripe_partition",
    "token_shares",
]
