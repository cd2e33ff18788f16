"""CSWin Transformer: cross-shaped windows (Dong et al., CVPR 2022)."""

from lib.papers.cswin.model import SEGMENTATION, STRIPES, VARIANTS, CSWin, cswin
from lib.papers.cswin.official import load_official, official_outputs, translate

__all__ = [
    "SEGMENTATION",
    "STRIPES",
    "VARIANTS",
    "CSWin",
    "cswin",
    "load_official",
    "official_outputs",
    "translate",
]
