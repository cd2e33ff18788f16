"""The graders of chapter 1 meet the solutions, the empty answers and wrong ones."""

import pytest
import torch

from lib.exercises import mobile_former as exercises
from lib.exercises.mobile_former import Score
from lib.metrics import count_macs
from tests.exercises.graders import Book, Exercise, Graders

BOOK = Book("01_mobile_former")

EMPTY = {
    1: "the function is still empty",
    2: "the layer is still empty",
    3: "key and value are still nn.Identity",
    4: "the first function is still empty",
    5: "this is the chapter's order",
    6: "the function is still empty",
}

# Number of the exercise; what is replaced in its solution, by what; words of the hint.
WRONG = [
    (1, "2 * tokens * height", "tokens * height", "two products"),
    (1, "return attention", "return 7 * attention", "layer by layer"),
    (1, "return attention", "return 7 * attention", "7 x 5, C=24, M=6, D=16, heads=3"),
    (1, "2 * tokens * height", "2 * height", "has the factor M"),
    (1, "linear_layers * tokens * dim", "linear_layers * dim", "has the factor M"),
    (
        1,
        "return attention",
        "return heads * tokens * height * width + attention",
        "leave the softmax out",
    ),
    (
        1,
        "return attention",
        "return tokens * height * width + attention",
        "leave the softmax out",
    ),
    (1, "attention + linear", "2 * attention + 2 * linear", "floating-point"),
    (1, "2 * tokens * height", "2 * heads * tokens * height", "heads cost nothing"),
    (1, "2 * tokens * height", "2 * tokens * height // heads", "heads save nothing"),
    (1, "3 if gate else 2", "2", "a linear layer is missing"),
    (1, "3 if gate else 2", "3", "one linear layer too many"),
    (1, "3 if gate else 2", "0", "the linear layers are missing"),
    (
        1,
        "return attention",
        "return 2 * height * width * channels**2 + attention",
        "nothing is projected there",
    ),
    (2, "nn.init.normal_(layer.weight, std=0.01)", "pass", "not yet a ReLU"),
    (2, "nn.init.zeros_(layer.bias)", "pass", "not yet a ReLU"),
    (2, "torch.maximum", "torch.minimum", "the larger of the two lines"),
    (2, "F.hardsigmoid", "torch.sigmoid", "the hard sigmoid"),
    (2, "p1, p2 =", "p2, p1 =", "the halves are swapped"),
    (2, ".relu()", "", "a ReLU belongs between"),
    (2, "dim // 4", "dim // 2", "two linear layers with biases"),
    (2, "torch.maximum(", "torch.where(x > 0, ", "is not the maximum"),
    (2, "2 * p1 * x, (2 * p2 - 1) * x", "p1 * x, p2 * x", "and a2 = 2p - 1"),
    (2, "p[:, :, None, None]", "p.mean(0)[None, :, None, None]", "slopes of its own"),
    (2, "self.first(token)", "self.first(token.mean(0)[None])", "slopes of its own"),
    (2, "self.first(token)", "self.first(token[:1])", "slopes of its own"),
    (
        2,
        "p[:, :, None, None].chunk(2, dim=1)",
        "(p[:, k::2, None, None] for k in (0, 1))",
        "yours take turns",
    ),
    (2, "2 * p1 * x", "3 * p1 * x", "does not hold"),
    (2, "return torch", "torch", "forward is still empty"),
    (3, "self.value = nn.Linear(dim, dim)", "self.value = self.key", "of their own"),
    (3, "nn.Linear(dim, dim)", "nn.Linear(dim, dim, bias=False)", "have biases"),
    (3, "self.key =", "self.keys =", "call the layers `key` and `value`"),
    (3, 'kind.startswith("MF")', "True", "the lite block has no Former"),
    (3, "formers * 2", "2", "that is one block"),
    (3, "formers * 2", "formers", "a projection each"),
    (3, "(dim * dim + dim)", "dim * dim", "D * D weights and D biases"),
    (3, "formers * 2", "formers * 4", "count the MF rows, two layers each"),
    (3, "dim * dim + dim", "dim * dim + dim + 0.5", "does not gain"),
    (
        3,
        "\n\n\ndef",
        "\n\n    def forward(self, tokens):"
        "\n        self.key, self.value = self.value, self.key"
        "\n        return super().forward(tokens)\n\n\ndef",
        "`key` makes the values",
    ),
    (
        3,
        "\n\n\ndef",
        "\n\n    def forward(self, tokens):"
        "\n        self.key = self.value = nn.Identity()"
        "\n        return super().forward(tokens)\n\n\ndef",
        "forward does not use them",
    ),
    (
        4,
        ".softmax(dim=1)  #",
        ".flatten(2).softmax(-1).unflatten(-1, size)  #",
        "not over pixels",
    ),
    (4, "logits.mean(dim=1)", "logits.sum(dim=1)", "averaged, not summed"),
    (
        4,
        "logits.mean(dim=1)",
        "F.adaptive_avg_pool2d(logits.softmax(2).mean(1), size).log()",
        "average the heads",
    ),
    (4, "size).softmax(dim=1)", "size)", "the softmax over the tokens is missing"),
    (
        4,
        "F.adaptive_avg_pool2d(mean, size).softmax(dim=1)",
        "F.adaptive_avg_pool2d(mean.softmax(1), size)",
        "pool the logits first",
    ),
    (4, "slopes(tokens)", "slopes(tokens[:, :1]).expand(-1, 3, -1)", "not token 0"),
    (
        4,
        '"bmhw,bmk->bkhw", shares, proposals',
        '"bmhw,bmk->bkhw", torch.ones_like(shares) / 3, proposals',
        "not equally",
    ),
    (
        4,
        'torch.einsum("bmhw,bmk->bkhw", shares, proposals)',
        'slopes(torch.einsum("bmhw,bmk->bhwk", shares, tokens)).movedim(-1, 1)',
        "not the tokens themselves",
    ),
    (
        4,
        "p = torch",
        "return sum(shares[:, j, None] * layers.SpatialDynamicReLU.forward("
        "type('S', (), {'slopes': staticmethod(slopes)}), x, tokens[:, j, None], "
        "torch.ones_like(shares[:, :1])) for j in range(3))\n    p = torch",
        "rectify once",
    ),
    (4, "2 * p1 * x, (2 * p2 - 1) * x", "p1 * x, p2 * x", "a2 = 2p - 1, not p"),
    (4, "return torch", "torch", "the second function is still empty"),
    (5, "old[:, 0]", "tokens[:, 0]", "this is the chapter's order"),
    (5, "old[:, 0]", "self.to_former(x, old)[:, 0]", "has passed this block's bridge"),
    (5, "old[:, 0]", "old[:, 1]", "not the second"),
    (5, "old[:, 0]", "old[:, -1]", "not the last"),
    (5, "old[:, 0]", "old.mean(dim=1)", "not the mean of all"),
    (5, "old[:, 0]", "2 * old[:, 0]", "the map that comes out is wrong"),
    (5, "return (old[:, 0],)", "return old[:, 0]", "`context` returns a tuple"),
    (
        5,
        "def context(self, x, old, tokens):\n        return (old[:, 0],)",
        "def forward(self, x, old):\n"
        "        new = self.former(self.to_former(x, old))\n"
        "        return self.to_mobile(self.mobile(x, old[:, 0]), old), new",
        "write the new tokens to the map",
    ),
    (
        5,
        "def context(self, x, old, tokens):\n        return (old[:, 0],)",
        "def forward(self, x, old):\n"
        "        new = self.former(self.to_former(x, old))\n"
        "        return self.to_mobile(self.mobile(x, old[:, 0]), new), old",
        "hand on the new tokens",
    ),
    (
        5,
        "def context(self, x, old, tokens):\n        return (old[:, 0],)",
        "def forward(self, x, old):\n        return self.mobile(x, old[:, 0])",
        "a block returns two things",
    ),
    (
        5,
        "def context(self, x, old, tokens):\n        return (old[:, 0],)",
        "def __init__(self, mobile, to_former, former, **options):\n"
        "        super().__init__(mobile, **options)",
        "keep all four parts",
    ),
    (6, "tokens=3", "tokens=6", "too many"),
    (6, ', act="relu6"', "", "too many"),
    (6, ", nn.Flatten(2)", "", "the answers must be (B, 5, 16)"),
    (6, "channels, 5,", "channels, 1,", "for four pictures: (4, 1, 16)"),
    (6, ", nn.Flatten(2)", ", nn.Flatten(2), nn.AvgPool1d(16)", "(4, 5, 1)"),
    (
        6,
        "channels, 5, kernel_size=1)\n    return nn.Sequential("
        "backbone, answer, nn.Flatten(2))",
        "channels, 1, kernel_size=1)\n    return nn.Sequential("
        "backbone, answer, nn.Flatten(1))",
        "five answers for each cell",
    ),
    (6, "Flatten(2))", "Flatten(2)).requires_grad_(False)", "receives a gradient"),
    (
        6,
        "answer, nn.Flatten(2)",
        "nn.BatchNorm2d(backbone.channels, track_running_stats=False), answer, "
        "nn.Flatten(2)",
        "the other pictures of the batch",
    ),
    (6, "return nn.Sequential(", "return (", "return an nn.Module, not tuple"),
]


def test_an_entry_that_is_always_the_same_network_is_refused() -> None:
    exercise = Exercise(BOOK, 6)
    exec(exercise.solution, exercise.space)
    result = exercise.grade("net = entry()\n\ndef entry():\n    return net")
    assert "build a new network at each call" in result.hint


# Other ways to be right.
RIGHT = [
    (1, "3 if gate else 2", "2 + gate"),
    (
        2,
        "p[:, :, None, None].chunk(2, dim=1)",
        "p.unflatten(1, (2, -1, 1, 1)).unbind(1)",
    ),
]

# Answers that the visible check cannot tell from right ones.
FOUND_BY_HIDDEN = [
    (1, "return attention", "return 16992 if gate else 14688  #"),
    (3, "return formers", "return 815232  #"),
    (5, "old[:, 0]", "old[:, 0].detach()"),
]


def test_hidden_test_of_the_order_follows_gradients() -> None:
    exercise = Exercise(BOOK, 5)
    exec(exercise.solution.replace("old[:, 0]", "tokens[:, 0]"), exercise.space)
    with pytest.raises(AssertionError):
        exercise.run_hidden()


class TestGraders(Graders):
    book = BOOK
    points = (1, 2, 2, 3, 3, 5)
    empty, wrong, right, found = EMPTY, WRONG, RIGHT, FOUND_BY_HIDDEN
    stated = ()
    secret = ("old[:, 0]",)
    open_questions = 1


# The leaderboard ---------------------------------------------------------------------


def test_text_gives_the_costs_of_the_book() -> None:
    x = torch.zeros(1, 3, 32, 32)
    book = exercises.book_entry()
    dynamic = exercises.claims.CellAnswers("dynamic_relu", exercises.ANSWERS)
    costs = [count_macs(net, x, include_norm=False) for net in (book, dynamic)]
    assert costs[0] <= exercises.BUDGET < costs[1]
    text = BOOK.text_of("## 6. ")
    for number in (*costs, exercises.BUDGET):
        assert f"{number:,}" in text
    steps = exercises.claims.STEPS["three_cues"]
    assert f"{steps:,} steps each" in text


def test_measure_gives_mean_and_interval_and_repeats() -> None:
    short = dict(steps=2, train=64, test=64)
    score = exercises.measure(exercises.book_entry, (0, 1), **short)
    assert len(score.shares) == 2
    assert score == exercises.measure(exercises.book_entry, (0, 1), **short)
    assert score.macs == 849_408


def test_a_score_is_one_line() -> None:
    score = Score(849_408, (0.5, 0.6, 0.7))
    assert str(score) == "849,408 MAdds: 0.600 [0.352, 0.848], 3 seeds"
    assert score.interval.n == 3


def test_measure_refuses_one_seed_and_dear_networks() -> None:
    with pytest.raises(ValueError, match=r"seeds=\(3,\) must be two or more"):
        exercises.measure(exercises.book_entry, (3,))

    def dear() -> torch.nn.Module:
        return exercises.claims.CellAnswers("dynamic_relu", exercises.ANSWERS)

    with pytest.raises(ValueError, match="866,880 multiply-adds; allowed are 865,000"):
        exercises.measure(dear)


def test_leaderboard_is_sorted_and_gives_verdicts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = {"book": (0.5, 0.6, 0.7), "up": (0.7, 0.81, 0.9), "down": (0.1, 0.2, 0.31)}

    def measure(build, seeds, **options) -> Score:
        assert (seeds, options) == ((1, 2, 3), {"steps": 7})
        name = "book" if build is exercises.book_entry else build()
        return Score(800_000, shares[name])

    monkeypatch.setattr(exercises, "measure", measure)
    entries = {"worse": lambda: "down", "better": lambda: "up"}
    lines = exercises.leaderboard(entries, (1, 2, 3), steps=7)
    assert [line.split(",")[0] for line in lines] == [
        "better",
        "Mobile-Former",
        "worse",
    ]
    assert lines[0].endswith("ahead by +0.203 [+0.189, +0.218]: supported")
    assert lines[2].endswith(": not supported")
