"""Stronger NAS with weaker predictors (Wu et al., NeurIPS 2021)."""

from lib.papers.weaknas.cells import Cell, MixNet
from lib.papers.weaknas.ofa import FOUND, OFAMobileNet
from lib.papers.weaknas.predictors import book_predictor, paper_predictor
from lib.papers.weaknas.search import (
    SearchTrace,
    local_search,
    random_search,
    regularised_evolution,
    strong_predictor,
    weak_nas,
)
from lib.papers.weaknas.shipped import mixcell4
from lib.papers.weaknas.trainer import CellResults, cell_data, train_cells

__all__ = [
    "FOUND",
    "Cell",
    "CellResults",
    "MixNet",
    "OFAMobileNet",
    "SearchTrace",
    "book_predictor",
    "cell_data",
    "local_search",
    "mixcell4",
    "paper_predictor",
    "random_search",
    "regularised_evolution",
    "strong_predictor",
    "train_cells",
    "weak_nas",
]
