"""Few-label transfer (Li et al., ICCV 2021), and MoCo, which it starts from."""

from lib.papers.few_label.encoders import (
    ResNet,
    SmallEncoder,
    projection_head,
    resnet18,
    resnet50,
    small_encoder,
)
from lib.papers.few_label.moco import MOCO, MoCo, moco
from lib.papers.few_label.pretrain import (
    PRETRAININGS,
    mixed_batches,
    plain_share,
    pretrain_moco,
    pretrain_supervised,
    sequential,
    supervised_then_tup,
    tup,
)

__all__ = [
    "MOCO",
    "PRETRAININGS",
    "MoCo",
    "ResNet",
    "SmallEncoder",
    "mixed_batches",
    "moco",
    "plain_share",
    "pretrain_moco",
    "pretrain_supervised",
    "projection_head",
    "resnet18",
    "resnet50",
    "sequential",
    "small_encoder",
    "supervised_then_tup",
    "tup",
]
