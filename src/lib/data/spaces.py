"""Spaces of network architectures written as codes of a few digits."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

Code = Sequence[int] | Tensor | str


def expression(
    names: Sequence[str],
    edges: Sequence[tuple[int, int]],
    *,
    none: str = "none",
    skip: str = "skip",
) -> str:
    """Write what a cell computes as a sum of terms in alphabetical order.

    Args:
        names: the operation of each edge.
        edges: start and end of each edge, ordered by end, then by start.
        none: the operation that brings nothing.
        skip: the operation that brings its input unchanged.

    Returns:
        Terms joined by `+`, where `x` is the input; empty if the output is 0.
    """
    values: list[tuple[str, ...]] = [("x",), *[()] * edges[-1][1]]  # terms of each node
    for (start, end), name in zip(edges, names, strict=True):
        terms = values[start]
        if name == skip:
            values[end] += terms
        elif name != none and terms:
            values[end] += (f"{name}({'+'.join(terms)})",)
        if start == end - 1:  # the last edge into this node
            values[end] = tuple(sorted(values[end]))
    return "+".join(values[-1])


@dataclass(frozen=True)
class CellSpace:
    """All cells in which each edge between ordered nodes carries one operation.

    Node 0 is the input, the last node the output, and a node is the sum of what its
    edges bring. Digit e of a code is the operation on edge e; edges are ordered by
    their end, then by their start: 0-1, 0-2, 1-2, 0-3, 1-3, 2-3 for four nodes.

    Args:
        ops: names of the operations, at least two, all different.
        nodes: number of nodes, at least 2.
        none: the operation that brings nothing.
        skip: the operation that brings its input unchanged.

    Raises:
        ValueError: an argument outside what is said here.
    """

    ops: tuple[str, ...]
    nodes: int = 4
    _: KW_ONLY
    none: str = "none"
    skip: str = "skip"

    def __post_init__(self) -> None:
        if len(set(self.ops)) != len(self.ops) or len(self.ops) < 2:
            raise ValueError(f"ops={self.ops}: at least two different names are needed")
        if self.nodes < 2:
            raise ValueError(f"nodes={self.nodes} must be 2 or more")
        for argument, name in (("none", self.none), ("skip", self.skip)):
            if name not in self.ops:
                raise ValueError(f"{argument}={name!r} is none of ops={self.ops}")

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Start and end of each edge, in the order of the digits."""
        return [(i, j) for j in range(1, self.nodes) for i in range(j)]

    def __len__(self) -> int:
        """Return the number of codes."""
        return len(self.ops) ** len(self.edges)

    def codes(self) -> Tensor:
        """Return all codes in lexicographic order, integers (n, E)."""
        digits = [torch.arange(len(self.ops))] * len(self.edges)
        return torch.cartesian_prod(*digits).view(len(self), -1)

    def one_hot(self, codes: Tensor) -> Tensor:
        """Write each digit as one 1 among as many places as there are operations.

        Args:
            codes: integers (..., E).

        Returns:
            float32 (..., E * operations), edge after edge.

        Raises:
            ValueError: a wrong number of digits, or a digit that is no operation.
        """
        codes = torch.as_tensor(codes).long()
        if codes.shape[-1:] != (len(self.edges),):
            raise ValueError(
                f"codes of shape {tuple(codes.shape)} must have "
                f"{len(self.edges)} digits in the last dimension"
            )
        wrong = codes[(codes < 0) | (codes >= len(self.ops))]
        if len(wrong):
            raise ValueError(
                f"codes hold {int(wrong[0])}; allowed are 0 to {len(self.ops) - 1}"
            )
        return F.one_hot(codes, len(self.ops)).flatten(-2).float()

    def canonical(self, code: Code) -> str:
        """Write what a cell computes, so that twins are written the same.

        The value of a node is a sorted list of terms. An edge without an operation, or
        from a node without terms, adds nothing; a skip adds the terms of its start;
        any other operation adds one term, its name around the terms of its start.
        Codes written the same give equal outputs for equal inputs if an operation is
        the same function wherever its name and what it is applied to are the same.

        Args:
            code: one digit an edge, numbers or text.

        Returns:
            Terms joined by `+`, where `x` is the input; empty if the output is 0.

        Raises:
            ValueError: as `row`.
        """
        names = [self.ops[digit] for digit in self._digits(code)]
        return expression(names, self.edges, none=self.none, skip=self.skip)

    def classes(self) -> Tensor:
        """Return the class of twins of each code, integers (n,).

        Classes are numbered by their first code; -1 is the class of the codes whose
        output is 0.
        """
        return self._classes.clone()

    @cached_property
    def _classes(self) -> Tensor:
        number = {"": -1}
        return torch.tensor(
            [
                number.setdefault(self.canonical(code), len(number) - 1)
                for code in self.codes().tolist()
            ]
        )

    def representatives(self) -> Tensor:
        """Return the first code of each class that computes something, (classes, E)."""
        classes = self._classes
        # A class is new where its number exceeds all numbers before it.
        highest = classes.cummax(0).values
        new = torch.ones_like(classes, dtype=torch.bool)
        new[1:] = highest[1:] > highest[:-1]
        return self.codes()[new & (classes >= 0)]

    def neighbours(self, code: Code) -> Tensor:
        """Return the codes that differ in one digit, integers (E * (ops - 1), E).

        They are ordered by the edge that differs, then by its operation.

        Raises:
            ValueError: as `row`.
        """
        digits = torch.tensor(self._digits(code))
        changed = []
        for edge, digit in enumerate(digits.tolist()):
            others = [op for op in range(len(self.ops)) if op != digit]
            near = digits.repeat(len(others), 1)
            near[:, edge] = torch.tensor(others)
            changed.append(near)
        return torch.cat(changed)

    def row(self, code: Code) -> int:
        """Return the place of a code in `codes()`.

        Raises:
            ValueError: a wrong number of digits, or a digit that is no operation.
        """
        row = 0
        for digit in self._digits(code):
            row = row * len(self.ops) + digit
        return row

    def _digits(self, code: Code) -> list[int]:
        """Read one code in any of its forms."""
        given = code.tolist() if isinstance(code, Tensor) else code
        try:
            digits = [
                int(d) if isinstance(d, str) else operator.index(d) for d in given
            ]
        except (TypeError, ValueError):
            digits = []
        if len(digits) != len(self.edges) or not all(
            0 <= digit < len(self.ops) for digit in digits
        ):
            raise ValueError(
                f"code={code!r} must have {len(self.edges)} digits "
                f"from 0 to {len(self.ops) - 1}"
            )
        return digits


NB201 = CellSpace(("none", "skip", "conv1x1", "conv3x3", "avg_pool"))
"""NAS-Bench-201: 15,625 codes (Dong and Yang, ICLR 2020)."""

MIXCELL4 = CellSpace(("none", "skip", "channel_mix", "spatial_mix"))
"""The book's own table: 4,096 codes, of which 870 classes compute something."""

MIXCELL5 = CellSpace((*MIXCELL4.ops, "mean_pool"))
"""The same with a fixed pooling: 15,625 codes."""

NB101_OPS = ("conv1x1", "conv3x3", "maxpool3x3", "output")
"""What a node of a NAS-Bench-101 cell can be, the input aside."""

OFA_CHOICES = {
    "kernels": (20, (3, 5, 7)),
    "expands": (20, (3, 4, 6)),
    "depths": (5, (2, 3, 4)),
}
"""How many choices the MobileNet space has of each kind, and among what."""


def nb101_sequence(
    adjacency: Sequence[Sequence[int]] | Tensor, ops: Sequence[str]
) -> Tensor:
    """Write a NAS-Bench-101 cell as the sequence that the paper's predictors read.

    For each node after the input: which earlier nodes lead to it, then a one-hot of
    what it is, in the order of `NB101_OPS`. Places of absent nodes are 0.

    Args:
        adjacency: 0 or 1 for each start (row) and end (column), 2 to 7 nodes in an
            order in which every edge leads forward.
        ops: name of each node: "input" first, "output" last, between them names of
            `NB101_OPS`, with or without the ending "-bn-relu".

    Returns:
        float32 (45,): 21 edges and 6 x 4 operations.

    Raises:
        ValueError: an argument outside what is said here.
    """
    matrix = torch.as_tensor(adjacency)
    names = [name.removesuffix("-bn-relu") for name in ops]
    n = len(names)
    if not 2 <= n <= 7 or matrix.shape != (n, n):
        raise ValueError(
            f"adjacency of shape {tuple(matrix.shape)} and {n} ops: both must have "
            "the same 2 to 7 nodes"
        )
    if matrix.tril().any() or not ((matrix == 0) | (matrix == 1)).all():
        raise ValueError("adjacency may hold 0 and 1 only, and 1 above the diagonal")
    inner = set(names[1:-1])
    if (names[0], names[-1]) != ("input", "output") or inner - set(NB101_OPS[:-1]):
        raise ValueError(
            f"ops={list(ops)} must be 'input', any of {NB101_OPS[:-1]}, 'output'"
        )
    sequence: list[float] = []
    for end in range(1, 7):
        if end < n:
            sequence += matrix[:end, end].tolist()
            sequence += [names[end] == op for op in NB101_OPS]
        else:
            sequence += [0] * (end + len(NB101_OPS))
    return torch.tensor(sequence, dtype=torch.float32)


def ofa_code(
    kernels: Sequence[int], expands: Sequence[int], depths: Sequence[int]
) -> Tensor:
    """Write a network of the MobileNet space as the paper's predictors read it.

    Choices of blocks beyond the depth of their stage stay in the code, although the
    network does not have these blocks.

    Args:
        kernels: side of the convolution of each of 20 blocks: 3, 5 or 7.
        expands: factor by which each of 20 blocks widens: 3, 4 or 6.
        depths: number of blocks of each of 5 stages: 2, 3 or 4.

    Returns:
        Integers (45,).

    Raises:
        ValueError: a wrong number of choices, or one that is not allowed.
    """
    given = {"kernels": kernels, "expands": expands, "depths": depths}
    for argument, (count, allowed) in OFA_CHOICES.items():
        values = list(given[argument])
        if len(values) != count or set(values) - set(allowed):
            raise ValueError(
                f"{argument}={values} must be {count} numbers out of {allowed}"
            )
    return torch.tensor([*kernels, *expands, *depths])
