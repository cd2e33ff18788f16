"""Live controls show up at a running kernel and nowhere else."""

import nbformat
import pytest
from nbclient import NotebookClient

from lib.figures import live

CELL = """
from matplotlib import pyplot as plt
from lib.figures import live

def draw(tokens=3, seed=0):
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, tokens], [0, 1])
    return fig

live(draw, tokens=(1, 12))
"""
WIDGET = "application/vnd.jupyter.widget-view+json"


def run(cell: str) -> tuple[list, dict]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(notebook, timeout=120).execute()
    state = notebook.metadata.get("widgets", {}).get(
        "application/vnd.jupyter.widget-state+json", {}
    )
    return notebook.cells[0].outputs, state.get("state", {})


def test_nothing_is_stored_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERS_BUILT_QUIET", "1")
    outputs, state = run(CELL)
    assert outputs == []
    assert state == {}


def test_a_reader_gets_a_slider_and_one_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PAPERS_BUILT_QUIET", raising=False)
    outputs, state = run(CELL)
    assert [WIDGET in output.data for output in outputs] == [True]
    models = [model["state"] for model in state.values()]
    sliders = [m for m in models if m["_model_name"] == "IntSliderModel"]
    # `seed` has no control, so it keeps its default and gets no slider.
    assert [(m["description"], m["min"], m["max"]) for m in sliders] == [
        ("tokens", 1, 12)
    ]
    assert sliders[0]["continuous_update"] is False
    (panel,) = (m for m in models if m["_model_name"] == "OutputModel")
    assert ["image/png" in o.get("data", {}) for o in panel["outputs"]] == [True]


def test_nothing_happens_outside_a_notebook(capsys: pytest.CaptureFixture) -> None:
    live(lambda tokens: tokens, tokens=(1, 12))
    assert capsys.readouterr().out == ""


def test_wrong_controls_are_named() -> None:
    def draw(tokens: int) -> int:
        return tokens

    with pytest.raises(ValueError, match=r"control 'token' is no argument of draw"):
        live(draw, token=(1, 12))
    with pytest.raises(ValueError, match="controls must name at least one argument"):
        live(draw)


def test_a_function_of_any_keywords_takes_any_control() -> None:
    live(lambda **sizes: sizes, tokens=(1, 12), width=[64, 128])
