"""Stronger NAS with weaker predictors (Wu et al., NeurIPS 2021)."""

from lib.papers.weaknas.predictors import book_predictor, paper_predictor
from lib.papers.weaknas.search import (
    SearchTrace,
    local_search,
    random_search,
    regularised_evolution,
    strong_predictor,
    weak_nas,
)

__all__ = [
    "SearchTrace",
    "book_predictor",
    "local_search",
    "paper_predictor",
    "random_search",
    "regularised_evolution",
    "strong_predictor",
    "weak_nas",
]
