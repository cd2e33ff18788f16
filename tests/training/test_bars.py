import os
import pty
import subprocess
import sys
import termios

import nbformat
import pytest
from nbclient import NotebookClient

from lib.training import progress

CODE = "from lib.training import progress\nprint(sum(progress(range(5), 'steps')))"


def executed(monkeypatch, tmp_path, quiet):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    if quiet:
        monkeypatch.setenv("PAPERS_BUILT_QUIET", "1")
    else:
        monkeypatch.delenv("PAPERS_BUILT_QUIET", raising=False)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    NotebookClient(notebook, timeout=120).execute()
    return notebook


def test_a_stored_notebook_has_no_trace_of_a_bar(monkeypatch, tmp_path):
    notebook = executed(monkeypatch, tmp_path, quiet=True)
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "stream"
    assert (output.name, output.text) == ("stdout", "10\n")
    assert "widgets" not in notebook.metadata


def test_a_live_notebook_shows_a_bar(monkeypatch, tmp_path):
    """Why the variable is needed: a kernel without it sends a display."""
    outputs = executed(monkeypatch, tmp_path, quiet=False).cells[0].outputs
    assert any(output.output_type == "display_data" for output in outputs)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_shows_a_bar_unless_quiet(quiet):
    environment = {**os.environ, "PAPERS_BUILT_QUIET": "1" if quiet else ""}
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment,
        text=True,
    )
    os.write(theirs, b"end")
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(theirs)
    assert done.stdout == "10\n"
    assert ("steps" in shown) is not quiet


def test_a_pipe_gets_nothing(monkeypatch, capfd):
    monkeypatch.delenv("PAPERS_BUILT_QUIET", raising=False)
    assert list(progress(range(3), "steps")) == [0, 1, 2]
    assert list(progress((i for i in range(3)), total=3)) == [0, 1, 2]
    assert capfd.readouterr().err == ""


def test_quiet_hands_the_thing_itself_back(monkeypatch):
    monkeypatch.setenv("PAPERS_BUILT_QUIET", "1")
    items = [1, 2]
    assert progress(items) is items
