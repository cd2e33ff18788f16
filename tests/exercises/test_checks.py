"""The machinery that all checks share."""

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import nn

from lib.exercises.checks import (
    Result,
    Wrong,
    answered,
    check,
    compare,
    count_parameters,
    seeded,
)


@check(points=2)
def check_double(answer) -> None:
    """Check a function that doubles."""
    compare(answer(3), 6, [(9, "that is the square")], "3 becomes 6")


def fails(x):
    raise KeyError("no such thing\nsecond line")


def stops(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (lambda x: 2 * x, "passed: 2 points"),
        (lambda x: x * x, "not yet: that is the square"),
        (lambda x: x, "not yet: 3 becomes 6"),
        (lambda x: None, "not yet: 3 becomes 6"),
        (fails, r"not yet: your code raised KeyError: 'no such thing\nsecond line'"),
        (stops, "not yet: your code raised NotImplementedError"),
        (5, "not yet: your code raised TypeError: 'int' object is not callable"),
        (..., "not yet: the answer is still empty"),
    ],
)
def test_a_check_prints_one_line_and_never_raises(answer, line, capsys) -> None:
    result = check_double(answer)
    assert capsys.readouterr().out == f"{line}\n"
    assert str(result) == line
    assert result.passed == line.startswith("passed")
    assert result.points == (2 if result.passed else 0)
    assert bool(result.hint) != result.passed


def test_a_check_may_say_what_was_earned() -> None:
    @check(points=5)
    def check_sign(answer) -> int:
        if answer < 0:
            raise Wrong("it is below 0")
        return 5 if answer else 3

    earned = [check_sign(answer).points for answer in (-1, 0, 1)]
    assert earned == [0, 3, 5]


def test_an_interruption_is_not_swallowed() -> None:
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_double(interrupted)


def test_one_point_is_singular() -> None:
    assert str(Result(True, 1, "")) == "passed: 1 point"


def test_the_line_is_shown_once_at_the_end_of_a_cell() -> None:
    shell = InteractiveShell()
    shell.display_formatter.ipython_display_formatter.enabled = True
    assert shell.display_formatter.format(Result(True, 1, "")) == ({}, {})
    assert shell.display_formatter.format(7) == ({"text/plain": "7"}, {})


def test_checks_keep_their_names_and_docstrings() -> None:
    assert check_double.__name__ == "check_double"
    assert check_double.__doc__ == "Check a function that doubles."


@pytest.mark.parametrize("empty", [None, ...])
def test_empty_answers_are_named(empty) -> None:
    with pytest.raises(Wrong, match="the function is still empty"):
        answered(empty, "the function")
    assert answered(0, "the number") == 0


def test_compare_tells_shapes_types_and_values_apart() -> None:
    right = torch.ones(2, 3)
    compare(right + 1e-6, right, [], "wrong")
    for got, hint in [
        (right[0], r"^wrong; the shape is \(3,\), not \(2, 3\)$"),
        (1.0, "^wrong; a tensor is wanted, not float$"),
        (right * 2, "^twice$"),
        (right * 3, "^wrong$"),
        (right * torch.nan, "^wrong$"),
    ]:
        with pytest.raises(Wrong, match=hint):
            compare(got, right, [(2 * right, "twice"), (7, "a number")], "wrong")


def test_seeded_repeats_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeded(3) as generator:
            layer = nn.Linear(2, 2)
            drawn.append((layer.weight, torch.rand(2, generator=generator)))
        torch.rand(1)  # whatever the reader draws in between
        torch.set_rng_state(before)
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])
    assert torch.equal(torch.get_rng_state(), before)
    assert count_parameters(layer) == 6
