"""Few-label transfer (Li et al., ICCV 2021), and MoCo, which it starts from."""

from lib.papers.few_label.clustering import (
    Clusters,
    ackmeans,
    eigen_samples,
    kmeans,
)
from lib.papers.few_label.encoders import (
    ResNet,
    SmallEncoder,
    projection_head,
    resnet18,
    resnet50,
    small_encoder,
)
from lib.papers.few_label.evaluate import (
    accuracy,
    draw_labels,
    features,
    finetune,
    linear_probe,
    nearest_mean,
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
from lib.papers.few_label.progressive import Oracle, progressive
from lib.papers.few_label.selection import ORACLES, RULES, select

__all__ = [
    "MOCO",
    "ORACLES",
    "PRETRAININGS",
    "RULES",
    "Clusters",
    "MoCo",
    "Oracle",
    "ResNet",
    "SmallEncoder",
    "accuracy",
    "ackmeans",
    "draw_labels",
    "eigen_samples",
    "features",
    "finetune",
    "kmeans",
    "linear_probe",
    "mixed_batches",
    "moco",
    "nearest_mean",
    "plain_share",
    "pretrain_moco",
    "pretrain_supervised",
    "progressive",
    "projection_head",
    "resnet18",
    "resnet50",
    "select",
    "sequential",
    "small_encoder",
    "supervised_then_tup",
    "tup",
]
