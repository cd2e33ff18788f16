"""Predictors of chapter 3 against scikit-learn, slow loops and closed forms."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.neural_network import MLPRegressor as SklearnMLP
from sklearn.tree import DecisionTreeRegressor

from lib.papers.weaknas import predictors as P

NAMES = ("mlp", "trees", "forest")


def data(n=60, d=5, seed=0):
    """Return features without ties and labels that depend on them."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, d))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * random.normal(size=n)


# The tree.


def split_by_trying(X, y):
    """Try every question, and sum the squares by hand."""
    best = (np.inf, None, None)
    for feature in range(X.shape[1]):
        values = sorted(set(X[:, feature]))
        for a, b in itertools.pairwise(values):
            threshold = (a + b) / 2
            left = y[X[:, feature] <= threshold]
            right = y[X[:, feature] > threshold]
            error = sum(((side - side.mean()) ** 2).sum() for side in (left, right))
            if error < best[0] - 1e-12:
                best = (error, feature, threshold)
    return best


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 10_000))
def test_best_split_is_found_by_trying_them_all(n, d, seed):
    random = np.random.default_rng(seed)
    X, y = random.integers(0, 3, (n, d)).astype(float), random.normal(size=n)
    error, feature, threshold = P.best_split(X, y)
    slow = split_by_trying(X, y)
    if slow[1] is None:
        assert (error, threshold) == (np.inf, np.inf)
        return
    assert error == pytest.approx(slow[0])
    left = X[:, feature] <= threshold
    again = sum(((y[s] - y[s].mean()) ** 2).sum() for s in (left, ~left))
    assert again == pytest.approx(error)


def test_a_split_by_hand():
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    assert P.best_split(X, np.array([1.0, 1.0, 5.0, 5.0])) == (0.0, 0, 1.5)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_tree_equals_sklearn(depth):
    X, y = data(400)
    new = data(200, seed=1)[0]
    ours = P.RegressionTree(depth).fit(X, y).predict(new)
    theirs = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(X, y)
    np.testing.assert_allclose(ours, theirs.predict(new), rtol=1e-10)


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 20])
def test_tree_equals_sklearn_on_codes(depth):
    """Two questions may part the rows alike; on these rows that is no difference."""
    codes = np.array(list(itertools.product(range(3), repeat=4)))
    X = np.eye(3)[codes].reshape(len(codes), -1)
    y = np.random.default_rng(0).normal(size=len(codes)) + codes[:, 1]
    ours = P.RegressionTree(depth).fit(X, y).predict(X)
    theirs = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(X, y)
    np.testing.assert_allclose(ours, theirs.predict(X), rtol=1e-12, atol=1e-12)


def test_a_deep_tree_knows_its_labels_and_equal_rows_share_their_mean():
    X, y = data()
    np.testing.assert_array_equal(P.RegressionTree(60).fit(X, y).predict(X), y)
    twins = np.ones((3, 2))
    assert P.RegressionTree(5).fit(twins, [1, 2, 6]).predict(twins).tolist() == [3] * 3


# The forest.


def test_forest_is_the_mean_of_trees_on_drawn_rows():
    X, y = data(300)
    ours = P.Forest(4, 2, seed=7).fit(X, y).predict(X)
    random = np.random.default_rng(7)
    slow = np.zeros(len(y))
    for _ in range(4):
        rows = random.integers(len(y), size=len(y))
        tree = DecisionTreeRegressor(max_depth=2, random_state=0).fit(X[rows], y[rows])
        slow += tree.predict(X) / 4
    np.testing.assert_allclose(ours, slow, rtol=1e-10)


def test_forest_is_as_good_as_sklearns():
    X, y = data(150)
    new, truth = data(300, seed=1)
    theirs = RandomForestRegressor(60, max_depth=6, random_state=0).fit(X, y)
    ours = P.Forest(60, 6, seed=0).fit(X, y)
    error = [((f.predict(new) - truth) ** 2).mean() for f in (ours, theirs)]
    assert error[0] == pytest.approx(error[1], rel=0.1)


# The network.


@pytest.mark.parametrize("penalty", [1e-4, 10.0])
def test_network_trains_as_sklearns(penalty):
    """From the same weights, with the whole set in one batch.

    What is left comes from Adam's epsilon, which scikit-learn adds elsewhere.
    """
    X, y = data(40)
    options = dict(width=6, depth=2, lr=1e-2, seed=3, penalty=penalty)
    ours = P.MLPRegressor(epochs=15, **options).fit(X, y)
    z = (y - y.mean()) / y.std()
    start = ours.build(X.shape[1], torch.Generator().manual_seed(3))
    theirs = SklearnMLP(
        hidden_layer_sizes=(6, 6),
        learning_rate_init=1e-2,
        batch_size=40,
        alpha=penalty,
        max_iter=1,
        random_state=0,
    )
    with pytest.warns(match="Maximum iterations"):
        theirs.fit(X, z)  # makes the lists of weights
    del theirs._optimizer
    for place, m in enumerate(m for m in start if isinstance(m, torch.nn.Linear)):
        theirs.coefs_[place] = m.weight.detach().numpy().T.copy()
        theirs.intercepts_[place] = m.bias.detach().numpy().copy()
    for _ in range(15):
        theirs.partial_fit(X, z)
    expected = y.mean() + y.std() * theirs.predict(X)
    np.testing.assert_allclose(ours.predict(X), expected, atol=2e-4)


def test_the_penalty_shrinks_the_weights():
    """Without it the comparison above could not tell the two settings apart."""
    X, y = data(40)
    weak, strong = (
        P.MLPRegressor(6, 2, 15, 1e-2, seed=3, penalty=p).fit(X, y).predict(X)
        for p in (1e-4, 10.0)
    )
    assert abs(weak - strong).max() > 0.02


def test_network_learns_in_small_batches():
    X, y = data(450)
    new, truth = data(300, seed=1)
    net = P.MLPRegressor(width=32, depth=2, epochs=200, lr=1e-2).fit(X, y)
    assert ((net.predict(new) - truth) ** 2).mean() < 0.2 * truth.var()


def test_network_has_the_layers_asked_for():
    net = P.MLPRegressor(width=7, depth=3, epochs=1).build(5, torch.Generator())
    shapes = [tuple(p.shape) for p in net.parameters() if p.ndim == 2]
    assert shapes == [(7, 5), (7, 7), (7, 7), (1, 7)]


# What all share.

MAKERS = {
    "tree": lambda seed: P.RegressionTree(3),
    "forest by hand": lambda seed: P.Forest(3, 3, seed),
    "network": lambda seed: P.MLPRegressor(4, 1, 3, seed=seed),
    "ensemble": lambda seed: P.Ensemble(lambda s: P.Forest(2, 2, s), 2, seed),
    **{name: lambda seed, name=name: P.book_predictor(name, seed) for name in NAMES},
}


@pytest.fixture(params=MAKERS, ids=str)
def make(request):
    return MAKERS[request.param]


def test_same_seed_same_answers_from_numpy_and_torch(make):
    X, y = data(30)
    first = make(5).fit(X, y).predict(X)
    again = make(5).fit(torch.from_numpy(X), torch.from_numpy(y))
    np.testing.assert_array_equal(first, again.predict(torch.from_numpy(X)))
    assert first.shape == (30,)
    assert first.dtype == np.float64


def test_labels_may_have_any_unit(make):
    """Standardised labels: a change of unit changes the answers' unit alone."""
    X, y = data(32)
    y = np.round(64 * y) / 64  # no step of the arithmetic is rounded otherwise
    first = make(1).fit(X, y).predict(X)
    other = make(1).fit(X, 64 + 8 * y).predict(X)
    np.testing.assert_allclose(other, 64 + 8 * first, atol=1e-9)


def test_equal_labels_are_answered(make):
    X, _ = data(8)
    answers = make(0).fit(X, np.full(8, 3.0)).predict(X)
    assert np.isfinite(answers).all()
    assert abs(answers - 3).max() < 3


def test_one_label_is_enough(make):
    X, _ = data(1)
    assert np.isfinite(make(0).fit(X, [2.0]).predict(data(5)[0])).all()


@pytest.mark.parametrize(
    ("X", "y"),
    [
        ([[0.0], [1.0]], [0.0]),
        ([0.0, 1.0], [0.0, 1.0]),
        (np.zeros((0, 2)), []),
        ([[np.nan], [1.0]], [0.0, 1.0]),
        ([[0.0], [1.0]], [0.0, np.inf]),
    ],
)
def test_bad_data_are_refused(make, X, y):
    with pytest.raises(ValueError, match="X, y: "):
        make(0).fit(np.array(X), np.array(y))


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (lambda: P.RegressionTree(0), "max_depth=0"),
        (lambda: P.Forest(0, 1, 0), "trees=0"),
        (lambda: P.MLPRegressor(4, 0, 1), "depth=0"),
        (lambda: P.Ensemble(P.book_predictor, 0), "k=0"),
        (lambda: P.book_predictor("svm"), "allowed are mlp, trees, forest"),
        (lambda: P.paper_predictor("svm"), "allowed are mlp, trees, forest"),
    ],
)
def test_bad_settings_are_refused(bad, word):
    with pytest.raises(ValueError, match=word):
        bad()


def test_ensemble_gives_mean_and_deviation_of_its_members():
    X, y = data(30)
    both = P.Ensemble(lambda s: P.Forest(2, 3, s), 3, seed=4).fit(X, y)
    alone = [P.Forest(2, 3, s).fit(X, y).predict(X) for s in (4, 5, 6)]
    np.testing.assert_allclose(both.predict(X), np.mean(alone, axis=0))
    np.testing.assert_allclose(both.predict_std(X), np.std(alone, axis=0))
    assert both.predict_std(X).max() > 0


def test_sizes_of_the_paper():
    """Official code: 4 x 1000 units, 1000 trees; one of each is fitted, small ones."""
    inner = {name: P.paper_predictor(name, 0).regressor for name in NAMES}
    assert inner["mlp"].hidden_layer_sizes == (1000,) * 4
    assert (inner["mlp"].max_iter, inner["mlp"].alpha) == (100, 1e-4)
    assert isinstance(inner["trees"], GradientBoostingRegressor)
    assert (inner["trees"].n_estimators, inner["trees"].max_depth) == (1000, 20)
    assert inner["trees"].learning_rate == 0.3
    assert (inner["forest"].n_estimators, inner["forest"].max_depth) == (1000, 10)
    X, y = data(12)
    for name in NAMES:
        answers = P.paper_predictor(name, 2**32).fit(X, y).predict(X)
        assert np.corrcoef(answers, y)[0, 1] > 0.8


def test_sizes_of_the_book():
    inner = {name: P.book_predictor(name, 0).regressor for name in NAMES}
    assert inner["mlp"].hidden_layer_sizes == (100,) * 4
    assert (inner["trees"].n_estimators, inner["trees"].max_depth) == (100, 4)
    assert (inner["forest"].n_estimators, inner["forest"].max_depth) == (100, 10)


def test_a_network_that_uses_up_its_epochs_says_nothing(recwarn):
    X, y = data(60)
    P.book_predictor("mlp", 0).fit(X, y)
    assert not recwarn.list
