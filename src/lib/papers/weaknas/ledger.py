"""What the ledger of the chapter computes: spaces, predictors, networks, averages.

Sizes and multiply-adds do not depend on weights, so they are taken from networks on
PyTorch's "meta" device, which have shapes and no numbers.
"""

import json
from itertools import pairwise, product
from math import comb
from typing import Any

import numpy as np
import torch

from lib.assets import paper_path
from lib.data import spaces
from lib.metrics.macs import count_macs
from lib.papers.weaknas.acquisition import shrinking
from lib.papers.weaknas.genotype import GenotypeNetwork
from lib.papers.weaknas.ofa import FOUND, OFAMobileNet
from lib.papers.weaknas.predictors import paper_predictor

MILLION = 1e6
SPACES = {
    "nb201": spaces.NB201,
    "mixcell4": spaces.MIXCELL4,
    "mixcell5": spaces.MIXCELL5,
}
PREDICTORS = {
    "mlp": ("hidden_layer_sizes", "max_iter"),
    "trees": ("n_estimators", "max_depth", "learning_rate"),
    "forest": ("n_estimators", "max_depth"),
}


def codes(space: str) -> int:
    """Count the codes of a space.

    Args:
        space: "nb201", "mixcell4" or "mixcell5".
    """
    return len(SPACES[space].codes())


def networks(space: str) -> int:
    """Count what the codes of a space can compute, the constant 0 included."""
    return len(SPACES[space].classes().unique())


def counts(names: list[str]) -> list[list[int]]:
    """List codes, classes that compute something, and codes that compute 0."""
    listed = []
    for name in names:
        classes = SPACES[name].classes()
        empty = int((classes < 0).sum())
        listed.append([len(classes), len(classes[classes >= 0].unique()), empty])
    return listed


def nb201_strings(flat: bool = False) -> int:
    """Count the different texts by which NAS-Bench-201 tells its cells apart.

    Where nothing arrives the text says `#`, also in a sum. A sum that a skip brings
    along stays one word while the terms of the next sum are sorted.

    Args:
        flat: sort its terms with the others instead.
    """
    space = spaces.NB201

    def text(code: tuple[int, ...]) -> str:
        values = [["x"]]
        digits = iter(code)
        for end in range(1, space.nodes):
            terms: list[str] = []
            for value in values[:end]:
                op, whole = space.ops[next(digits)], "+".join(value)
                if op == space.none or whole == "#":
                    terms.append("#")
                elif op == space.skip:
                    terms += value if flat else [whole]
                else:
                    terms.append(f"({whole})@{op}")
            values.append(sorted(terms))
        return "+".join(values[-1])

    digits = range(len(space.ops))
    return len({text(code) for code in product(digits, repeat=len(space.edges))})


def encodings() -> list[int]:
    """List how many numbers a predictor reads for NB-201, NB-101 and MobileNet."""
    cell = spaces.NB201.one_hot(spaces.NB201.codes()[0])
    sequence = spaces.nb101_sequence([[0, 1], [0, 0]], ["input", "output"])
    mobile = spaces.ofa_code([3] * 20, [3] * 20, [2] * 5)
    return [len(cell), len(sequence), len(mobile)]


def one_hot_errors() -> int:
    """Count the places where the one-hot codes differ from the recorded ones."""
    file = paper_path("weaknas", "golden", "onehot.json")
    recorded = json.loads(file.read_text(encoding="utf-8"))["codes"]
    found = spaces.NB201.one_hot(torch.tensor([case["code"] for case in recorded]))
    expected = torch.tensor([case["encoding"] for case in recorded])
    return int((found != expected).sum())


def random_queries(rows: int, best: list[int]) -> list[float]:
    """Work out the mean number of random draws until a best row is met.

    Rows are drawn one after the other, none twice. The mean is the sum over k of the
    probability that the first k rows hold no best one; it equals (n + 1) / (t + 1).

    Args:
        rows: number of rows, n.
        best: how many of them are best, t, for each number wanted.
    """
    return [
        sum(comb(rows - k, t) for k in range(rows - t + 1)) / comb(rows, t)
        for t in best
    ]


def factor(baseline: float, method: float) -> float:
    """Return how many times more queries one method needs than another."""
    return baseline / method


def predictor_settings() -> list[list[float]]:
    """List the sizes of the paper's predictors: MLP, boosted trees, forest."""
    listed = []
    for name, keys in PREDICTORS.items():
        settings = paper_predictor(name).regressor.get_params()
        listed.append([n for key in keys for n in np.ravel(settings[key]).tolist()])
    return listed


def mlp_training() -> list[float]:
    """List learning rate, penalty, tolerance and patience of the paper's MLP."""
    settings = paper_predictor("mlp").regressor.get_params()
    keys = ("learning_rate_init", "alpha", "tol", "n_iter_no_change")
    return [settings[key] for key in keys]


def mlp_weights(inputs: list[int]) -> list[int]:
    """Count the weights of the paper's MLP.

    Args:
        inputs: numbers it reads, one network for each.
    """
    return [_weights(d) for d in inputs]


def _weights(d: int) -> int:
    """Fit for one epoch on two rows, for scikit-learn builds its network in `fit`."""
    predictor = paper_predictor("mlp")
    predictor.regressor.set_params(max_iter=1)
    predictor.fit(np.eye(2, d), [0.0, 1.0])
    network: Any = predictor.regressor
    return sum(w.size for w in [*network.coefs_, *network.intercepts_])


def top_sizes(start: int, end: int, at: list[int]) -> list[int]:
    """List the sizes of a shrinking top set.

    Args:
        start: first size.
        end: last size.
        at: steps.
    """
    size = shrinking(start, end)
    return [size(step) for step in at]


def _found(name: str) -> OFAMobileNet:
    """Build a network that the paper found, without numbers."""
    with torch.device("meta"):
        return OFAMobileNet(*FOUND[name]).eval()


def found_macs_m(name: str, side: int) -> float:
    """Count the multiply-adds of one picture, normalisation aside, in millions.

    Args:
        name: "800" or "1000", the queries that the search had.
        side: of the picture, in pixels.
    """
    picture = torch.zeros(1, 3, side, side, device="meta")
    return count_macs(_found(name), picture, include_norm=False) / MILLION


def both_macs_m(side: int) -> list[float]:
    """Count the multiply-adds of one picture by both networks, in millions."""
    return [found_macs_m(name, side) for name in FOUND]


def both_parameters_m() -> list[float]:
    """Count the parameters of both networks, in millions."""
    return [
        sum(p.numel() for p in _found(name).parameters()) / MILLION for name in FOUND
    ]


def both_widths() -> list[list[int]]:
    """List the widths of both networks from the first convolution to the last layer.

    Those are the first convolution, the first block, five stages, the last convolution
    and the layer before the classes.
    """
    return [_widths(name) for name in FOUND]


def _widths(name: str) -> list[int]:
    """Run a network part by part and read the widths off its maps."""
    model = _found(name)
    x = model.stem(torch.zeros(1, 3, 224, 224, device="meta"))
    widths = [x.shape[1]]
    ends = [
        1,
        *(1 + np.cumsum(FOUND[name].depths)).tolist(),
    ]  # the first block is alone
    for start, end in pairwise([0, *ends]):
        x = model.blocks[start:end](x)
        widths.append(x.shape[1])
    return [*widths, model.last(x).shape[1], model.head.in_features]


def nasnet_parameters_m() -> float:
    """Count the parameters of the network found in the NASNet space, in millions."""
    with torch.device("meta"):
        return sum(p.numel() for p in GenotypeNetwork().parameters()) / MILLION


def nasnet_macs_m(side: int) -> float:
    """Count its multiply-adds of one picture, normalisation aside, in millions.

    Args:
        side: of the picture, in pixels.
    """
    with torch.device("meta"):
        model, picture = GenotypeNetwork().eval(), torch.zeros(1, 3, side, side)
        return count_macs(model, picture, include_norm=False) / MILLION
