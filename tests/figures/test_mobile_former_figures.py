"""The figures and widgets of the chapter on Mobile-Former."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from lib.figures import mobile_former as figures
from lib.figures.player import FRAME_LIMIT
from lib.figures.style import figure_image

RNG = np.random.default_rng(0)
PICTURE = RNG.random((3, 32, 32))
PARTS = ["Stem", "Mobile", "Former"]


def attention(seed: int, tokens: int = 3, over: str = "pixels") -> np.ndarray:
    weights = np.random.default_rng(seed).random((tokens, 8, 8))
    axes = (1, 2) if over == "pixels" else 0
    return weights / weights.sum(axis=axes, keepdims=True)


READS = {f"Block {i}": attention(i) for i in (1, 2)}
LISTENS = {f"Block {i}": attention(i, over="tokens") for i in (1, 2)}


def words(figure: Figure) -> str:
    figure.draw_without_rendering()
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return "\n".join(artist.get_text() for artist in found)


def frame_sizes(html: str) -> list[int]:
    return [len(data) * 3 // 4 for data in re.findall(r"base64,([^\"]+)", html)]


def test_block_names_its_shapes_and_steps() -> None:
    text = words(figures.block_diagram(32, 96, 14, 4, 128))
    for expected in (
        "32 × 14 × 14", "4 × 128", "pointwise → 96", "Mobile → Former",
        "Mobile ← Former", "first token", "1", "2", "3", "4",
    ):  # fmt: skip
        assert expected in text


def test_block_keeps_its_words_inside() -> None:
    figure = figures.block_diagram()
    figure.draw_without_rendering()
    frame = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert frame.y0 <= box.y0
        assert box.y1 <= frame.y1


def test_costs_are_drawn_in_millions() -> None:
    counts = {"26M": dict.fromkeys(PARTS, 2e6), "508M": dict.fromkeys(PARTS, 1e8)}
    for draw, what in (
        (figures.macs_per_part, "multiply–adds"),
        (figures.parameters_per_part, "parameters"),
    ):
        text = words(draw(counts))
        assert {f"{what} (M)", "6", "300"} <= set(text.split("\n"))
        shares = draw(counts, share=True).axes[0].get_xlabel()
        assert shares == f"share of {what} (%); numbers in M"


def test_accuracy_names_its_source() -> None:
    figure = figures.accuracy_against_macs(
        {"Mobile-Former": [(294, 77.9, "294M")]}, source="Table 1 of the paper"
    )
    assert "Source: Table 1 of the paper" in words(figure)


@pytest.mark.parametrize("tokens", [1, 2, 3, 6])
def test_attention_has_a_panel_for_each_token(tokens: int) -> None:
    figure = figures.token_attention(PICTURE, attention(0, tokens))
    titles = [axis.get_title() for axis in figure.axes if axis.axison]
    assert titles == ["Picture", *(f"token {i}" for i in range(tokens))]


def test_dynamic_relu_is_the_larger_of_two_lines() -> None:
    x = np.array([-2.0, 0.0, 2.0])
    expected = [[0, 0, 2], [-1, 0, 3]]
    assert np.array_equal(figures.dynamic_relu(x, [1, 1.5], [0, 0.5]), expected)
    with pytest.raises(ValueError, match=r"a1 of shape \(2,\) and a2 of shape \(1,\)"):
        figures.dynamic_relu(x, [1, 2], [0])


def test_dynamic_relu_curves_show_the_plain_one() -> None:
    figure = figures.dynamic_relu_curves([1.0, 1.5], [0.0, 0.5])
    assert "ReLU" in words(figure)
    lines = [line.get_ydata() for line in figure.axes[0].lines]
    plain = np.maximum(np.linspace(-2, 2, 81), 0)
    assert np.allclose(lines[-1], plain)
    assert np.allclose(lines[2], plain)  # slopes 1 and 0 are the plain ReLU


def test_budget_asks_the_formula_for_each_state() -> None:
    def cost(resolution: int, tokens: int) -> dict[str, float]:
        return {"Mobile": 1e3 * resolution**2, "Former": 2e6 * tokens}

    widget = figures.budget_explorer(
        cost,
        {
            "resolution": {"label": "Resolution", "values": [112, 224]},
            "tokens": {"label": "Tokens M", "values": [1, 3, 6]},
        },
        start=(1, 2),
    )
    assert len(widget) == 6
    assert widget.amounts[0] == [12.5, 2.0]
    assert widget.amounts[5] == [50.2, 12.0]
    assert widget.colours == [
        figures.PART_COLOURS["Mobile"],
        figures.PART_COLOURS["Former"],
    ]
    html = widget._repr_html_()
    assert "MAdds (M)" in html
    assert len(html) < 12_000


def test_token_viewer_has_a_frame_for_each_block_and_token() -> None:
    widget = figures.token_viewer(PICTURE, READS, LISTENS, name="fig-tokens")
    assert widget.axes == {"Block": ["Block 1", "Block 2"], "Token": ["0", "1", "2"]}
    html = widget._repr_html_()
    assert len(frame_sizes(html)) == 6
    assert max(frame_sizes(html)) <= FRAME_LIMIT
    row, column = np.unravel_index(READS["Block 2"][2].argmax(), (8, 8))
    share = (LISTENS["Block 2"].argmax(0) == 2).mean()
    assert (
        f"Block 2, token 2: it reads most at row {row + 1} of 8, column {column + 1} "
        f"of 8; {100 * share:.0f} % of the pixels listen to it most." in html
    )
    assert (
        html
        == figures.token_viewer(
            PICTURE, READS, LISTENS, name="fig-tokens"
        )._repr_html_()
    )


def test_token_panels_say_what_colours_and_outlines_mean() -> None:
    heard = np.zeros((3, 4, 4))
    heard[0, :2], heard[2, 2:] = 1, 1  # token 0 above, token 2 below, token 1 nowhere
    seen = np.full((3, 16, 16), 0.25 / 256)
    seen[1, 3, 5] = 0.5
    places = {"cue": (8, 0, 16, 8), "answer": (24, 24, 32, 32)}
    figure = figures._token_panels(PICTURE.transpose(1, 2, 0), seen, heard, 1, places)
    (legend,) = figure.legends
    keys = [text.get_text() for text in legend.get_texts()]
    assert keys == ["token 0", "1", "2", "cue", "answer"]
    panels, bars = figure.axes[:4], figure.axes[4:]
    ends = [[tick.get_text() for tick in bar.get_yticklabels()] for bar in bars]
    assert ends == [["0", "0.500"], ["0", "1"]]
    # Each place in the pixels of its panel: 32 in the upper two, 4 in the lower two.
    for panel, scale in zip(panels, (1, 1, 1 / 8, 1 / 8), strict=True):
        drawn = [line.get_xydata() for line in panel.lines if line.get_lw() < 3]
        for line, (x1, y1, x2, y2) in zip(drawn, places.values(), strict=True):
            wanted = np.array([[x1, y1], [x2, y2]]) * scale - 0.5
            assert np.allclose([line.min(0), line.max(0)], wanted)
    shown = panels[2].images[0]
    colours = shown.cmap(shown.norm(shown.get_array()))[:, 0]
    faces = [key.get_facecolor() for key in legend.get_patches()]
    assert np.allclose(colours[:2], faces[0])
    assert np.allclose(colours[2:], faces[2])


def test_token_viewer_outlines_few_places() -> None:
    many = {str(i): (0, 0, 8, 8) for i in range(5)}
    with pytest.raises(ValueError, match="outlines has 5 entries; allowed are up to 4"):
        figures.token_viewer(PICTURE, READS, LISTENS, outlines=many)


def test_seed_dots_show_every_seed_and_the_mean() -> None:
    arms = {"1": [0.3, 0.1, 0.2], "4": [0.9]}
    figure = figures.seed_dots(arms, xlabel="tokens", ylabel="share")
    axis = figure.axes[0]
    dots = [c.get_offsets() for c in axis.collections if hasattr(c, "get_sizes")]
    heights = [sorted(at[:, 1]) for at in dots]
    assert heights == [[0.1, 0.2, 0.3], [0.9]]
    means = [
        line[0, 1]
        for collection in axis.collections
        if hasattr(collection, "get_segments")
        for line in collection.get_segments()
    ]
    assert np.allclose(means, [0.2, 0.9])
    assert {"1\n3 seeds", "4\n1 seed"} <= {t.get_text() for t in axis.get_xticklabels()}
    with pytest.raises(ValueError, match="must hold at least one number each"):
        figures.seed_dots({"1": []}, xlabel="tokens", ylabel="share")


def test_expected_answers_stand_in_their_cells() -> None:
    answers = np.zeros((4, 4), dtype=int)
    answers[1, 2] = 2
    figure = figures.expected_answers(PICTURE, answers, ["nothing", "full", "ring"])
    scene, right = figure.axes
    assert not scene.texts
    said = {text.get_position(): text.get_text() for text in right.texts}
    assert len(said) == 16
    assert said[19.5, 11.5] == "2\nring"  # the middle of the cell, in pixels
    assert sorted(said.values())[:15] == ["0"] * 15
    with pytest.raises(ValueError, match="answers from 0 to 2 must be numbers"):
        figures.expected_answers(PICTURE, answers, ["nothing", "full"])


def test_token_viewer_takes_more_tokens_than_colours() -> None:
    reads, listens = {"B": attention(0, 8)}, {"B": attention(0, 8, "tokens")}
    with pytest.raises(ValueError, match="axis 'Block' has the values"):
        figures.token_viewer(PICTURE, reads, listens)
    two = {"B": reads["B"], "C": reads["B"]}
    assert len(figures.token_viewer(PICTURE, two, two)) == 16


def test_token_viewer_refuses_blocks_that_differ() -> None:
    with pytest.raises(ValueError, match="listens has the blocks"):
        figures.token_viewer(PICTURE, READS, {"Block 1": LISTENS["Block 1"]})
    odd = READS | {"Block 2": attention(2, tokens=4)}
    with pytest.raises(ValueError, match=r"different numbers of tokens: \[3, 4\]"):
        figures.token_viewer(PICTURE, odd, LISTENS)


def explorer(**change) -> object:
    positions = np.linspace(-2, 2, 5)
    slopes = {
        "positions": positions,
        "a1": 1 + 0.2 * positions[:, None] * np.ones(4),
        "a2": 0.1 * positions[:, None] * np.ones(4),
        "maps": RNG.normal(size=(5, 6, 6)),
        "channel": 2,
    }
    return figures.dynamic_relu_explorer(**(slopes | change))


def test_explorer_has_a_frame_for_each_position() -> None:
    html = explorer()._repr_html_()
    assert len(frame_sizes(html)) == 5
    assert max(frame_sizes(html)) <= FRAME_LIMIT
    assert "Token 0 at +2.0: channel 2 has slopes a1 1.40 and a2 0.20" in html
    assert "−2.0" in html


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel": 4}, "channel=4 must be 0 to 3"),
        ({"maps": np.zeros((4, 6, 6))}, "must have one length, got 5, 5, 5, 4"),
    ],
)
def test_wrong_explorer(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explorer(**change)


def test_figures_are_narrow_enough_for_the_page() -> None:
    picture = figure_image(figures.block_diagram())
    assert picture.width == 972  # 5.4 inches; shown 600 CSS pixels wide
