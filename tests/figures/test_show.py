"""A figure reaches the notebook with its alternative text and stable bytes."""

import base64

import nbformat
import pytest
from matplotlib import pyplot as plt
from nbclient import NotebookClient

from lib.figures import show

CELL = """
import numpy as np
from matplotlib import pyplot as plt
from lib.figures import show, use_house_style
use_house_style()
fig, ax = plt.subplots()
ax.plot(np.arange(5), np.arange(5) ** 2)
show(fig, alt="A parabola rising from zero\\n to sixteen.", caption="Squares.",
     name="fig-squares")
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list:
    """Outputs of the cell above, run twice in one kernel."""
    cells = [nbformat.v4.new_code_cell(CELL) for _ in range(2)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    folder = str(tmp_path_factory.mktemp("show"))
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": folder}}
                   ).execute()  # fmt: skip
    nbformat.validate(notebook)
    return [cell.outputs for cell in notebook.cells]


def test_one_output_with_alt_caption_and_name(outputs: list) -> None:
    (output,) = outputs[0]
    assert output.output_type == "display_data"
    assert output.metadata["image/png"] == {
        "alt": "A parabola rising from zero to sixteen.",
        "caption": "Squares.",
        "name": "fig-squares",
        "width": 600,
    }
    assert output.data["text/plain"] == (
        "Figure: A parabola rising from zero to sixteen."
    )


def test_same_bytes_twice(outputs: list) -> None:
    (first,), (second,) = outputs
    assert first.data["image/png"] == second.data["image/png"]
    assert base64.b64decode(first.data["image/png"]).startswith(b"\x89PNG")
    assert len(first.data["image/png"]) < 40_000


@pytest.mark.parametrize("alt", ["", "a plot", " " * 40, None])
def test_alt_text_is_required(alt: str | None) -> None:
    fig = plt.figure()
    with pytest.raises(ValueError, match=r"alt=.*at least 20 characters"):
        show(fig, alt=alt)  # type: ignore[arg-type]
    plt.close(fig)


def test_figure_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    fig = plt.figure()
    show(fig, alt="An empty figure, closed after showing")
    assert fig.number not in plt.get_fignums()
    assert "Figure: An empty figure" in capsys.readouterr().out


def test_photographs_keep_their_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    kept: list[dict] = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, **options: kept.append(data)
    )
    rng = np.random.default_rng(0)
    for draw in ("imshow", "plot"):
        fig, ax = plt.subplots()
        if draw == "imshow":
            ax.imshow(rng.random((40, 40, 3)))
        else:
            ax.plot(rng.random(40))
        show(fig, alt="Random numbers, drawn in one of two ways")
    photograph, drawing = (base64.b64decode(d["image/png"]) for d in kept)
    colour_type = 25  # offset of this byte in a PNG: 2 is RGB, 3 a palette
    assert (photograph[colour_type], drawing[colour_type]) == (2, 3)
