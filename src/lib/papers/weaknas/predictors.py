"""Predictors of a network's accuracy from its features (paper, section 3.2).

Every predictor is a `Regressor`: `fit` takes the codes asked so far and `predict` gives
one number a code. Labels are standardised inside, with mean and deviation of the codes
it was fitted on alone; the official code takes those of the whole table, which a search
cannot know. Three are written by hand, to be read; `book_predictor` and
`paper_predictor` give those of scikit-learn, to be used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]


class Regressor(Protocol):
    """What a search needs of a predictor; NumPy or torch goes in, NumPy comes out."""

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Any:
        """Learn from features (n, d) and labels (n,); return the predictor itself."""

    def predict(self, X: ArrayLike | Tensor) -> Array:
        """Return one number for each row of the features (m, d), in labels' units."""


def checked(X: Any, y: Any) -> tuple[Array, Array]:
    """Return features (n, d) and labels (n,) in float64.

    Raises:
        ValueError: for other shapes, no rows, or numbers that are not finite.
    """
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if X.ndim != 2 or y.shape != X.shape[:1] or not len(y):
        raise ValueError(
            f"X, y: shapes {X.shape} and {y.shape} given; "
            "allowed are (n, d) and (n,) with n of 1 or more"
        )
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("X, y: a number is not finite")
    return X, y


def at_least_one(**sizes: int) -> None:
    """Refuse a size below 1.

    Raises:
        ValueError: naming the argument.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size}; allowed is 1 or more")


class Standardised:
    """Lets a regressor learn labels of mean 0 and deviation 1, and undoes that.

    Args:
        regressor: anything with `fit` and `predict`, such as one of scikit-learn.
    """

    def __init__(self, regressor: Any) -> None:
        self.regressor = regressor

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Standardised:
        """Learn from features (n, d) and labels (n,), all of them finite."""
        X, y = checked(X, y)
        self.mean, self.std = y.mean(), y.std() or 1.0
        with warnings.catch_warnings():  # a network may use up its epochs
            warnings.filterwarnings("ignore", message="Stochastic Optimizer")
            self.regressor.fit(X, (y - self.mean) / self.std)
        return self

    def predict(self, X: ArrayLike | Tensor) -> Array:
        """Return one number for each row of the features (m, d), in labels' units."""
        z = self.regressor.predict(np.asarray(X, dtype=np.float64))
        return self.mean + self.std * np.asarray(z, dtype=np.float64)


def best_split(X: Array, y: Array) -> tuple[float, int, float]:
    """Find the question `X[:, feature] <= threshold` that leaves the least error.

    Args:
        X: features (n, d).
        y: labels (n,).

    Returns:
        Squared error left by the means of the two sides, feature, and threshold, half
        way between two values. Error and threshold are infinite if all rows are equal.
    """
    n = len(y)
    best = (np.inf, 0, np.inf)
    for feature in range(X.shape[1]):
        order = np.argsort(X[:, feature], kind="stable")
        x, total = X[order, feature], np.cumsum(y[order])
        left = np.arange(1, n)  # rows that go left, for each of the n - 1 cuts
        # sum of (y - mean)^2 = sum of y^2 - n mean^2, on either side
        gain = total[:-1] ** 2 / left + (total[-1] - total[:-1]) ** 2 / (n - left)
        error = np.where(x[1:] > x[:-1], (y**2).sum() - gain, np.inf)
        if n > 1 and error.min() < best[0]:
            cut = int(error.argmin())
            best = (float(error[cut]), feature, (x[cut] + x[cut + 1]) / 2)
    return best


class RegressionTree:
    """A tree of questions, each the one that leaves the least squared error.

    Args:
        max_depth: how many questions lead to an answer at most.

    Raises:
        ValueError: if it is below 1.
    """

    def __init__(self, max_depth: int) -> None:
        at_least_one(max_depth=max_depth)
        self.max_depth = max_depth

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Self:
        """Grow the tree from features (n, d) and labels (n,)."""
        self.root = self._grow(*checked(X, y), self.max_depth)
        return self

    def _grow(self, X: Array, y: Array, depth: int) -> Any:
        error, feature, threshold = best_split(X, y)
        if depth == 0 or np.isinf(error) or y.min() == y.max():
            return float(y.mean())  # a leaf
        left = X[:, feature] <= threshold
        return (
            feature,
            threshold,
            self._grow(X[left], y[left], depth - 1),
            self._grow(X[~left], y[~left], depth - 1),
        )

    def predict(self, X: ArrayLike | Tensor) -> Array:
        """Return the mean label of the leaf that each row of (m, d) falls into."""
        return self._answer(np.asarray(X, dtype=np.float64), self.root)

    def _answer(self, X: Array, node: Any) -> Array:
        if isinstance(node, float):
            return np.full(len(X), node)
        feature, threshold, left, right = node
        goes_left = X[:, feature] <= threshold
        answer = np.empty(len(X))
        answer[goes_left] = self._answer(X[goes_left], left)
        answer[~goes_left] = self._answer(X[~goes_left], right)
        return answer


class Forest:
    """The mean of trees that each saw the rows drawn anew, with replacement.

    Args:
        trees: how many.
        max_depth: of each tree.
        seed: draws the rows.

    Raises:
        ValueError: if a size is below 1.
    """

    def __init__(self, trees: int, max_depth: int, seed: int) -> None:
        at_least_one(trees=trees, max_depth=max_depth)
        self.trees = [RegressionTree(max_depth) for _ in range(trees)]
        self.seed = seed

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Self:
        """Grow the trees from features (n, d) and labels (n,)."""
        X, y = checked(X, y)
        random = np.random.default_rng(self.seed)
        for tree in self.trees:
            rows = random.integers(len(y), size=len(y))
            tree.fit(X[rows], y[rows])
        return self

    def predict(self, X: ArrayLike | Tensor) -> Array:
        """Return the mean of the trees' answers for each row of (m, d)."""
        return np.mean([tree.predict(X) for tree in self.trees], axis=0)


def linear_layers(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Return linear layers in float64 with ReLU between them, with Glorot's weights.

    Args:
        sizes: features that go in, come out of each layer in turn, and are the result.
        generator: draws the weights.
    """
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, a, b, dtype=torch.float64)
        nn.init.xavier_uniform_(linear.weight, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class MLPRegressor:
    """A network of equal hidden layers with ReLU, trained on the squared error.

    Adam on minibatches of at most 200 rows: what scikit-learn does by default, but for
    its early end.

    Args:
        width: of each hidden layer.
        depth: number of hidden layers.
        epochs: passes over the labels.
        lr: learning rate.
        seed: draws weights and batches.
        penalty: of the squared weights, shared by the rows of a batch.

    Raises:
        ValueError: if a size is below 1.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        epochs: int,
        lr: float = 1e-3,
        seed: int = 0,
        penalty: float = 1e-4,
    ) -> None:
        at_least_one(width=width, depth=depth, epochs=epochs)
        self.width, self.depth, self.epochs = width, depth, epochs
        self.lr, self.seed, self.penalty = lr, seed, penalty

    def build(self, d: int, generator: torch.Generator) -> nn.Sequential:
        """Return the untrained network for d features, with Glorot's weights."""
        return linear_layers([d, *[self.width] * self.depth, 1], generator)

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Self:
        """Train on features (n, d) and labels (n,)."""
        features, labels = (torch.from_numpy(a) for a in checked(X, y))
        self.mean, self.std = labels.mean(), labels.std(correction=0)
        self.std = torch.where(self.std > 0, self.std, 1.0)
        z = (labels - self.mean) / self.std
        generator = torch.Generator().manual_seed(self.seed)
        self.net = self.build(features.shape[1], generator)
        adam = torch.optim.Adam(self.net.parameters(), lr=self.lr)
        weights = [p for p in self.net.parameters() if p.ndim == 2]
        for _ in range(self.epochs):
            for rows in torch.randperm(len(z), generator=generator).split(200):
                error = self.net(features[rows]).squeeze(1) - z[rows]
                squares = torch.stack([w.square().sum() for w in weights]).sum()
                loss = error.square().sum() + self.penalty * squares
                loss = loss / (2 * len(rows))
                adam.zero_grad()
                loss.backward()
                adam.step()
        return self

    @torch.no_grad()
    def predict(self, X: ArrayLike | Tensor) -> Array:
        """Return one number for each row of the features (m, d), in labels' units."""
        features = torch.from_numpy(np.asarray(X, dtype=np.float64))
        z = self.net(features).squeeze(1)
        return (self.mean + self.std * z).numpy()


class Ensemble:
    """Predictors that differ in their seed alone; how far they differ says how sure.

    Args:
        make: makes a predictor from a seed.
        k: how many, with seeds from `seed` on.
        seed: the first seed.

    Raises:
        ValueError: if `k` is below 1.
    """

    def __init__(
        self, make: Callable[[int], Regressor], k: int = 5, seed: int = 0
    ) -> None:
        at_least_one(k=k)
        self.members = [make(seed + i) for i in range(k)]

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Ensemble:
        """Fit every member on the same features (n, d) and labels (n,)."""
        for member in self.members:
            member.fit(X, y)
        return self

    def predict(self, X: ArrayLike | Tensor) -> Array:
        """Return the members' mean for each row of (m, d)."""
        return self.predict_both(X)[0]

    def predict_std(self, X: ArrayLike | Tensor) -> Array:
        """Return the members' standard deviation (over k, not k - 1) for each row."""
        return self.predict_both(X)[1]

    def predict_both(self, X: ArrayLike | Tensor) -> tuple[Array, Array]:
        """Return mean and deviation, each (m,), from one pass."""
        answers = np.stack([member.predict(X) for member in self.members])  # (k, m)
        return answers.mean(axis=0), answers.std(axis=0)


SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "mlp": {
        "book": dict(hidden_layer_sizes=(100,) * 4, max_iter=100),
        "paper": dict(hidden_layer_sizes=(1000,) * 4, max_iter=100),
    },
    "trees": {
        "book": dict(n_estimators=100, max_depth=4, learning_rate=0.1),
        "paper": dict(n_estimators=1000, max_depth=20, learning_rate=0.3),
    },
    "forest": {
        "book": dict(n_estimators=100, max_depth=10),
        "paper": dict(n_estimators=1000, max_depth=10),
    },
}
"""Settings by name: a network, boosted trees, a random forest."""


def book_predictor(name: str, seed: int = 0) -> Standardised:
    """Return a predictor of the book, some forty times cheaper than the paper's.

    Args:
        name: "mlp", four hidden layers of 100; "trees", 100 boosted trees of depth 4;
            "forest", 100 trees of depth 10.
        seed: draws what the predictor leaves to chance.

    Raises:
        ValueError: for another name.
    """
    return _predictor(name, "book", seed)


def paper_predictor(name: str, seed: int = 0) -> Standardised:
    """Return a predictor with the sizes of the official code.

    Args:
        name: "mlp", four hidden layers of 1000; "trees", 1000 boosted trees of depth
            20 (scikit-learn's, where the official code has XGBoost); "forest", 1000
            trees of depth 10.
        seed: draws what the predictor leaves to chance.

    Raises:
        ValueError: for another name.
    """
    return _predictor(name, "paper", seed)


def _predictor(name: str, size: str, seed: int) -> Standardised:
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
    from sklearn.neural_network import MLPRegressor as Network

    kinds = {
        "mlp": Network,
        "trees": GradientBoostingRegressor,
        "forest": RandomForestRegressor,
    }
    if name not in kinds:
        raise ValueError(f"name={name!r}; allowed are {', '.join(kinds)}")
    options = SIZES[name][size]
    return Standardised(kinds[name](**options, random_state=seed % 2**32))
