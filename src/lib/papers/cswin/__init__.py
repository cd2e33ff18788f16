"""CSWin Transformer: cross-shaped windows (Dong et al., CVPR 2022)."""

from lib.papers.cswin.model import STRIPES, VARIANTS, CSWin, cswin

__all__ = ["STRIPES", "VARIANTS", "CSWin", "cswin"]
