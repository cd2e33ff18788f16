"""The graders of chapter 2 meet the solutions, the empty answers and wrong ones."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from lib.exercises import cswin as exercises
from lib.exercises.checks import Result
from lib.exercises.cswin import Score
from lib.layers import CrossShapedAttention, StripeAttention
from lib.metrics import count_macs
from tests.exercises.graders import Book, Graders

BOOK = Book("02_cswin")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the entries of these tests half as long as readers do."""
    monkeypatch.setattr(exercises, "STEPS", 150)


EMPTY = {
    1: "the first function is still empty",
    2: "the first function is still empty",
    3: "the function is still empty",
    4: "the first function is still empty",
    5: "the function is still empty",
    6: "the function is still empty",
}

MERGE = "t.reshape(-1, H // h, W // w, h, w, t.shape[-1])\n    return t.transpose(2, 3)"

# Number of the exercise; what is replaced in its solution, by what; words of the hint.
WRONG = [
    (1, "w, C).transpose(2, 3)", "w, C)", "cuts the rows into runs"),
    (1, "w, C).transpose(2, 3)", "w, C).permute(0, 3, 1, 2, 4, 5)", "a row of tiles"),
    (
        1,
        "w, C).transpose(2, 3)",
        "w, C).permute(0, 1, 3, 4, 2, 5)",
        "inside a tile, too",
    ),
    (
        1,
        "w, C).transpose(2, 3)",
        "w, C).permute(1, 3, 0, 2, 4, 5)",
        "all tiles of the first picture",
    ),
    (1, "def partition(x, h, w)", "def partition(x, w, h)", "h is the height"),
    (1, "return x.reshape(-1, h * w, C)", "return x.reshape(-1, h, w, C)", "shape is"),
    (1, "transpose(2, 3)\n", "transpose(2, 3)[:1]\n", "the tiles are wrong"),
    (1, "return t.transpose(2, 3)", "return t", "along a row of the map"),
    (
        1,
        MERGE,
        "t.reshape(-1, W // w, H // h, h, w, t.shape[-1])\n"
        "    return t.permute(0, 2, 3, 1, 4, 5)",
        "numbered in reading order",
    ),
    (
        1,
        MERGE,
        "t.reshape(-1, H // h, W // w, w, h, t.shape[-1])\n"
        "    return t.permute(0, 1, 4, 2, 3, 5)",
        "inside a tile, too",
    ),
    (
        1,
        MERGE,
        "t.reshape(H // h, W // w, -1, h, w, t.shape[-1])\n"
        "    return t.permute(2, 0, 3, 1, 4, 5)",
        "all tiles of the first picture",
    ),
    (
        1,
        ".reshape(-1, H, W, t.shape[-1])",
        ".reshape(-1, H, W, t.shape[-1]).transpose(1, 2)",
        "its height before its width",
    ),
    (1, "t.transpose(2, 3)", "t.transpose(1, 2)", "a row of the map runs through all"),
    (
        1,
        "t.reshape(-1, H // h, W // w",
        "t.reshape(-1, W // w, H // h",
        "H / h rows of",
    ),
    (1, ".reshape(-1, H, W, t.shape[-1])", "", "the map is wrong for tiles of 3 x 2"),
    (1, "return t.transpose", "t.transpose", "the second function is still empty"),
    (2, '"vertical" else', '"horizontal" else', "as high as the map"),
    (2, "number[:, None] ==", "number[:, None] !=", "may see a key, not where"),
    (2, "line // stripe", "line", "2 tokens wide, not one"),
    (2, "line // stripe", "line * stripe // (line.max() + 1)", "the number of stripes"),
    (2, "line // stripe", "line % stripe", "the remainder is another thing"),
    (
        2,
        "number[:, None] == number",
        "(line[:, None] - line).abs() < stripe",
        "stripes stand still",
    ),
    (
        2,
        'token % W if orientation == "vertical" else token // W',
        'token // H if orientation == "vertical" else token % H',
        "row i // W and column i % W",
    ),
    (2, "== number", "== number + 1", "the mask of vertical stripes is wrong"),
    (2, "[:, None] == number", "[:, None].eq(number).float()", "torch.bool"),
    (2, ".masked_fill(~mask, -torch.inf)", "", "the mask has no effect"),
    (2, "masked_fill(~mask, -torch.inf)", "mul(mask)", "takes a share"),
    (
        2,
        ".masked_fill(~mask, -torch.inf).softmax(dim=-1)",
        ".softmax(dim=-1) * mask",
        "no longer sum to 1",
    ),
    (2, " / q.shape[-1] ** 0.5", "", "divided by the root of C / K"),
    (2, "q.shape[-1] ** 0.5", "size[-1] ** 0.5", "not of C"),
    (2, "softmax(dim=-1)", "softmax(dim=-2)", "over the keys, not over the queries"),
    (2, "flatten(1, 2), heads)", "flatten(1, 2), 1)", "weights of its own"),
    (
        2,
        "layers.split_heads(t.flatten(1, 2), heads)",
        "t.flatten(1, 2).unflatten(-1, (-1, heads)).movedim(-1, 1)",
        "next to each other",
    ),
    (
        2,
        "return layers.merge_heads(weights @ v)",
        "return (weights @ v)",
        "bring the tokens before the heads",
    ),
    (2, "-torch.inf", "-11.0", "masked keys need the score minus infinity"),
    (2, "weights @ v", "weights @ k", "not attention in vertical stripes"),
    (2, "return layers", "layers", "the second function is still empty"),
    (3, "return 4 * H", "return 8 * H", "count product by product"),
    (3, "4 * H * W * C**2 + 2 *", "8 * H * W * C**2 + 4 *", "halve it"),
    (3, "2 * H * W * keys", "H * W * keys", "two products"),
    (3, "a * H + b * W", "a * W + b * H", "sees stripe * H keys"),
    (3, "(a * H + b * W)", "(H + W) * (a + b) / 2", "the even split"),
    (3, "(a * H + b * W)", "(H + W) * (a + b)", "the channels of its own heads"),
    (3, " // (a + b)", "", "heads cost nothing extra"),
    (3, "keys = stripe * ", "keys = ", "that many more keys"),
    (3, "4 * H * W * C**2", "0", "the four linear layers are missing"),
    (3, "4 * H * W * C**2", "3 * H * W * C**2", "one after the heads, too"),
    (3, "4 * H * W * C**2", "H * W * C**2", "a linear layer each"),
    (3, "4 * H * W * C**2", "12 * H * W * C**2", "the MLP is another part"),
    (3, "4 * H * W * C**2", "4 * H * W * C * (C + 1)", "no products: leave them out"),
    (3, "4 * H * W * C**2", "4 * H * W * C**2 + 3 * C", "no products: leave them out"),
    (3, "4 * H * W * C**2", "H * W * C * (4 * C + 9)", "LePE, nine taps"),
    (
        4,
        "exercises.convolve_in_tiles(conv, v, h, w)",
        "conv(v.movedim(-1, 1))",
        "convolve each tile by itself",
    ),
    (4, "gradient != 0", "gradient == 0", "not for the dead ones"),
    (4, ".any(dim=0)[0]", ".any(dim=0)[0].mT", "this is turned"),
    (4, ".any(dim=0)[0]", "", "one table (3, 3) for all channels"),
    (4, "(gradient != 0).any(dim=0)[0]", "gradient.sum(dim=0)[0]", "not torch.float32"),
    (4, "(gradient != 0).any(dim=0)[0]", "(gradient > 30).any(dim=0)[0]", "other taps"),
    (4, '== "vertical"', '== "horizontal"', "the taps of the other direction"),
    (4, "line.bias.data.copy_(conv.bias.detach())", "line.bias = None", "the bias"),
    (
        4,
        'weight[..., 1] if orientation == "vertical" else weight[:, :, 1]',
        'weight.sum(-1) if orientation == "vertical" else weight.sum(2)',
        "do not add the dead taps",
    ),
    (
        4,
        'weight[..., 1] if orientation == "vertical" else weight[:, :, 1]',
        'weight.mean(-1) if orientation == "vertical" else weight.mean(2)',
        "do not average the dead taps",
    ),
    (4, "weight[..., 1] if", "weight[..., 0] if", "at the edge of the kernel"),
    (4, "weight[..., 1] if", "weight[..., 2] if", "at the edge of the kernel"),
    (4, "copy_(alive)", "copy_(alive.flip(-1))", "do not turn them round"),
    (4, "copy_(alive)", "copy_(2 * alive)", "differ from vertical stripes"),
    (4, ", groups=C)", ")", "every channel is convolved by itself"),
    (4, "return line", "return nn.Conv1d(4, 4, 5, groups=4)", "are alive, not 5"),
    (4, "return line", "return conv", "an nn.Conv1d is wanted, not Conv2d"),
    (4, "return line", "line", "the second function is still empty"),
    (5, ", attn_mask=real", "", "it is the keys that a mask has to hide"),
    (
        5,
        "attn_mask=real",
        "attn_mask=real.mT",
        "it is the keys that a mask has to hide",
    ),
    (
        5,
        "cut(t, fill), heads) for t in (q, k, v))",
        "cut(t, 0.0), heads) for t in (q, k, v))\n    real = None",
        "a score of 0 is not",
    ),
    (
        5,
        "F.scaled_dot_product_attention(q, k, v, attn_mask=real)",
        "(q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) * real @ v",
        "the weights no longer sum to 1",
    ),
    (
        5,
        "left, right = extra // 2, extra - extra // 2",
        "left, right = 0, extra",
        "both",
    ),
    (
        5,
        "left, right = extra // 2, extra - extra // 2",
        "right, left = extra // 2, extra - extra // 2",
        "by one more",
    ),
    *(
        (
            5,
            "left, right = extra // 2, extra - extra // 2",
            f"q, k, v = (F.pad(t, (0, 0, {sides}), value={held}) for t in (q, k, v))\n"
            "    y = exercises.attend_in_tiles(q, k, v, heads, H, stripe)\n"
            f"    return y[:, :, {start} : {start} + W]\n    left = right = 0",
            "and pad both sides",
        )
        for sides, start in (("0, extra", "0"), ("extra, 0", "extra"))
        for held in ("fill", "0.0")
    ),
    (5, "y[:, :, left : left + W]", "y[:, :, :W]", "crop as you padded"),
    (5, "y[:, :, left : left + W]", "y", "cut off what was added"),
    (5, "y[:, :, left : left + W]", "y[:, :, left:-right]", "at -0 ends at the start"),
    (5, "y[:, :, left : left + W]", "2 * y[:, :, left : left + W]", "is wrong with W"),
    (6, "return StripesAsKeys()", "return StripesAsKeys", "an nn.Module, not type"),
    (
        6,
        "entry():\n    return StripesAsKeys()",
        "entry(kept=StripesAsKeys()):\n    return kept",
        "build a new attention at each call",
    ),
    (6, "self.proj(y).view(x.shape)", "self.proj(y)", "for four: (4, 400, 32)"),
    (6, "StripesAsKeys()", "StripesAsKeys().requires_grad_(False)", "can be learned"),
    (
        6,
        "return StripesAsKeys()",
        "return layers.CrossShapedAttention(32, 4, None)",
        "multiply–adds are",
    ),
    (
        6,
        "self.proj = nn.Linear(dim, dim)",
        "self.proj = nn.Linear(dim, dim)\n        self.unused = nn.Linear(dim, dim)",
        "parameters are",
    ),
    (6, "self.proj(y)", "self.proj(y - y.mean(0))", "the other pictures of the batch"),
]

# Other ways to be right.
RIGHT = [
    (2, "-torch.inf", "-1e9"),
    (2, "q @ k.mT / q.shape[-1] ** 0.5", "(q / q.shape[-1] ** 0.5) @ k.mT"),
    (3, "keys * C // (a + b)", "keys * C / (a + b)"),  # a float that is whole
    (4, "torch.ones(1, H, W, conv.in_channels)", "torch.rand(1, H, W, 4) + 1"),
    (5, "cut(t, fill)", "cut(t, 0.0)"),
]


# Answers that the visible check cannot tell from right ones.
FOUND_BY_HIDDEN = [
    (2, "(t.flatten(1, 2), heads)", "(t.flatten(1, 2), 3)"),
    (3, "return 4", "return {12: 423936, 6: 140832}[H]  #"),
    (5, "unsqueeze(1) == 1", "unsqueeze(1) * 40 - 40"),  # hides 3, and not 1,000
]


class TestGraders(Graders):
    book = BOOK
    points = (2, 3, 2, 3, 3, 5)
    empty, wrong, right, found = EMPTY, WRONG, RIGHT, FOUND_BY_HIDDEN
    secret = ("StripesAsKeys", "key_value", "masked_fill", "number[:, None]")
    open_questions = 2

    @pytest.mark.usefixtures("quick")
    def test_solutions_pass(self, number: int, capsys: pytest.CaptureFixture) -> None:
        super().test_solutions_pass(number, capsys)


# What the checks compare with --------------------------------------------------------


def maps(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("orientation", ["vertical", "horizontal"])
def test_attention_in_tiles_is_the_layer(orientation: str) -> None:
    q, k, v = maps(3, 2, 6, 4, 8)
    layer = StripeAttention(8, 2, 2, orientation, lepe=False)
    h, w = (6, 2) if orientation == "vertical" else (2, 4)
    assert_close(exercises.attend_in_tiles(q, k, v, 2, h, w), layer(q, k, v))


@pytest.mark.parametrize("width", [1, 5, 7, 8, 10])
def test_attention_at_borders_is_the_layer_with_masked_padding(width: int) -> None:
    q, k, v = maps(3, 2, 3, width, 8)
    layer = StripeAttention(8, 2, 4, "vertical", lepe=False, mask_padding=True)
    assert_close(exercises.attend_at_borders(q, k, v, 2, 4), layer(q, k, v))


def test_an_even_split_is_the_cross() -> None:
    split, cross = (
        exercises.SplitAttention(16, 2, 2, 2),
        CrossShapedAttention(16, 4, 2, lepe=False),
    )
    split.load_state_dict(cross.state_dict())
    x = maps(2, 4, 6, 16)
    assert_close(split(x), cross(x))


def test_convolution_in_tiles_is_a_convolution_of_each() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    v = maps(1, 4, 6, 4)
    got = exercises.convolve_in_tiles(conv, v, 4, 2)
    for left in (0, 2, 4):
        alone = conv(v[:, :, left : left + 2].movedim(-1, 1)).movedim(1, -1)
        assert_close(got[:, :, left : left + 2], alone)


# The open exercise -------------------------------------------------------------------


def mean_entry() -> nn.Module:
    """Build what the folded answer describes: one weighted mean, for all tokens."""

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.value = nn.Linear(32, 1), nn.Linear(32, 32)

        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight(x).flatten(1).softmax(dim=-1)
            mean = torch.einsum("bn,bnc->bc", weight, self.value(x).flatten(1, 2))
            return mean[:, None, None].expand_as(x)

    return Mean()


def test_text_gives_the_budget_and_the_bound() -> None:
    macs, parameters = exercises.price(exercises.cross_entry())
    assert macs <= exercises.MACS == 2_265_600
    assert parameters == exercises.PARAMETERS == 4_544
    cell = torch.arange(400)
    row, column = cell // 20, cell % 20
    reach = (row[:, None] == row) | (column[:, None] == column)
    assert (reach.sum(dim=1) == 39).all()
    assert exercises.REACH == 39 / 400
    text = BOOK.text_of("## 6. ")
    for number in (exercises.MACS, exercises.PARAMETERS):
        assert f"{number:,}" in text
    assert "39 of 400" in text
    assert f"$0.0975 + 0.9025 / 4 = {exercises.BOUND:.3f}$" in text
    assert f"{exercises.STEPS} batches of {exercises.BATCH} scenes" in text
    assert f"{exercises.TEST} new scenes" in text


def test_only_the_attention_moves_information() -> None:
    net = exercises.OneBlock(nn.Linear(32, 32))
    x = maps(1, 3, 40, 40).requires_grad_()
    answer = net(x)
    assert answer.shape == (1, 4, 400)
    (gradient,) = torch.autograd.grad(answer[0, :, 21].sum(), x)  # row 1, column 1
    seen = gradient[0].abs().sum(dim=0) > 0
    assert seen[2:4, 2:4].all()
    assert seen.sum() == 4


def test_the_cross_does_not_beat_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercises, "STEPS", 60)  # no number of steps would do
    result = exercises.check_entry(exercises.cross_entry)
    assert not result.passed
    assert "0.323 that a cross could tell" in result.hint


@pytest.mark.usefixtures("quick")
def test_a_mean_of_all_tokens_tells_everything() -> None:
    score = exercises.measure(mean_entry, 100)
    assert 0.15 < score.macs / exercises.MACS < 0.25  # the text: about a fifth
    assert score.interval.low > exercises.BOUND


def test_hints_grow_with_the_share_of_right_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def graded(*shares: float) -> Result:
        monkeypatch.setattr(exercises, "measure", lambda *_: Score(1, 1, shares))
        return exercises.check_entry(mean_entry)

    assert "less than the 0.323" in graded(0.25, 0.26, 0.24).hint
    assert "shares neither row nor column" in graded(0.3, 0.35, 0.4).hint
    assert graded(0.5, 0.6, 0.55).passed


def test_measure_repeats_and_changes_nothing_outside() -> None:
    short = dict(steps=2, train=64, test=8)
    before = torch.get_rng_state()
    score = exercises.measure(mean_entry, 3, **short)
    assert torch.equal(torch.get_rng_state(), before)
    assert score == exercises.measure(mean_entry, 3, **short)
    assert score != exercises.measure(mean_entry, 4, **short)
    assert len(score.shares) == 8
    assert score.macs == count_macs(
        mean_entry(), torch.zeros(1, 20, 20, 32), include_norm=False
    )


def test_measure_refuses_dear_attention() -> None:
    def dear() -> nn.Module:
        return CrossShapedAttention(32, 4, 2)

    with pytest.raises(ValueError, match=r"build: .* multiply–adds are .* too many"):
        exercises.measure(dear, 0)


def test_a_score_is_one_line() -> None:
    score = Score(2_188_800, 4_544, (0.5, 0.6, 0.7))
    line = "2,188,800 MAdds, 4,544 parameters: 0.600 [0.352, 0.848]"
    assert str(score) == line


def test_leaderboard_is_sorted_and_gives_verdicts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = {"cross": (0.3, 0.31), "up": (0.9, 0.92), "down": (0.2, 0.215)}
    macs = {"cross": 900, "up": 700, "down": 600, "cheap": 500}

    def measure(build, seed, **options) -> Score:
        assert options == {"steps": 7}
        name = "cross" if build is exercises.cross_entry else build()
        share = shares["up" if name == "cheap" else name][seed]
        return Score(macs[name], 10, (share, share))

    monkeypatch.setattr(exercises, "measure", measure)
    entries = {"a": lambda: "up", "b": lambda: "down", "c": lambda: "cheap"}
    lines = exercises.leaderboard(entries, (0, 1), steps=7)
    assert [line.split(",")[0] for line in lines] == ["c", "a", "cross", "b"]
    assert ": supported" in lines[0]
    assert lines[3].endswith(": not supported")
    with pytest.raises(ValueError, match=r"seeds=\(1,\) must be two or more"):
        exercises.leaderboard(entries, (1,))
