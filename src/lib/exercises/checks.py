"""What the checks of all chapters share: results, hints, and how answers are compared.

A check is a function decorated with `check(points)` that raises `Wrong` with a hint
where an answer is wrong. The decorator turns this, and whatever the answer itself
raises, into a `Result`, and prints it in one line.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec

import torch
from torch import Tensor, nn

P = ParamSpec("P")


class Wrong(Exception):
    """An answer is wrong; the message is the hint."""


@dataclass(frozen=True)
class Result:
    """What a check found.

    Attributes:
        passed: whether the answer is right.
        points: the points it earns, 0 unless it passed.
        hint: a sentence on what to look at, empty if it passed.
    """

    passed: bool
    points: int
    hint: str

    def __str__(self) -> str:
        """Return the line that the reader sees."""
        unit = "point" if self.points == 1 else "points"
        return (
            f"passed: {self.points} {unit}" if self.passed else f"not yet: {self.hint}"
        )

    def _ipython_display_(self) -> None:
        """Show nothing at the end of a cell: the check has printed its line."""


def check(points: int) -> Callable[[Callable[P, int | None]], Callable[P, Result]]:
    """Make a check of a function that raises `Wrong` for a wrong answer.

    The check never raises for a wrong answer: an error inside the answer becomes a
    hint as well. It prints the result in one line and returns it.

    Args:
        points: what a right answer earns, at least 1, unless the function returns how
            many of them this one has earned.
    """

    def decorate(examine: Callable[P, int | None]) -> Callable[P, Result]:
        @functools.wraps(examine)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Result:
            try:
                earned = examine(*args, **kwargs)
                result = Result(True, points if earned is None else earned, "")
            except Wrong as wrong:
                result = Result(False, 0, str(wrong))
            except Exception as error:  # of whatever kind: it is the answer's
                said = f"{type(error).__name__}: {error}".splitlines()[0]
                hint = f"your code raised {said.rstrip(': ')}"
                if any(given is ... for given in (*args, *kwargs.values())):
                    hint = "the answer is still empty"  # and so it cannot be called
                result = Result(False, 0, hint)
            print(result)
            return result

        return checked

    return decorate


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Give a generator, and let modules draw their weights from the same seed.

    The global generator is put back afterwards: a check changes nothing outside.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def answered(value: Any, what: str) -> Any:
    """Return the value of an answer.

    Raises:
        Wrong: there is no value yet, as in the empty exercise.
    """
    if value is None or value is ...:
        raise Wrong(f"{what} is still empty")
    return value


def count_parameters(module: nn.Module) -> int:
    """Return how many parameters a module has."""
    return sum(p.numel() for p in module.parameters())


def compare(
    got: Any, right: Any, mistakes: Iterable[tuple[Any, str]], otherwise: str
) -> None:
    """Hold an answer to the right value, and explain the mistakes one often sees.

    Args:
        got: the answer's value, a number or a tensor.
        right: the right value. Tensors must agree within 1e-4 in shape and value,
            numbers exactly.
        mistakes: pairs of the value that a mistake leads to, and the hint for it.
        otherwise: the hint for a value that no mistake explains.

    Raises:
        Wrong: the values differ.
    """
    if _same(got, right):
        return
    for value, hint in mistakes:
        if _same(got, value):
            raise Wrong(hint)
    if isinstance(right, Tensor) and not isinstance(got, Tensor):
        raise Wrong(f"{otherwise}; a tensor is wanted, not {type(got).__name__}")
    if isinstance(right, Tensor) and got.shape != right.shape:
        shapes = f"{tuple(got.shape)}, not {tuple(right.shape)}"
        raise Wrong(f"{otherwise}; the shape is {shapes}")
    raise Wrong(otherwise)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-4)
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return False
    return bool(a == b)
