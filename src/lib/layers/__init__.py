"""Building blocks used by two chapters or more; they import nothing else of ours."""

from lib.layers.conv import (
    ConvBNAct,
    DropPath,
    SqueezeExcite,
    channel_shuffle,
    fuse,
)
from lib.layers.dynamic_relu import (
    DynamicReLU,
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

__all__ = [
    "ConvBNAct",
    "DropPath",
    "DynamicReLU",
    "FormerToMobile",
    "MobileToFormer",
    "PostNormBlock",
    "SpatialDynamicReLU",
    "SqueezeExcite",
    "channel_shuffle",
    "fuse",
    "merge_heads",
    "slope_net",
    "split_heads",
    "token_shares",
]
