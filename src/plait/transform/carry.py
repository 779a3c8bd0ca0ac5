"""What a body carries from step to step: its types, derivatives and vectorised form.

Shared by the loops in `control` and `scan`; knows neither. A body takes captured
values, then its state (or carry), and returns the next state first.

Read first: `check_state`, `grow`, `all_varying`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..dtypes import float64
from ..ir.build import make_input
from ..ir.graph import Graph, Node, TensorType, remembered
from .batch import expanded
from .derive import (
    Flags,
    check_type,
    flags_of,
    given,
    pushed,
)

Types = tuple[TensorType, ...]
Tangents = Sequence[Node | None]


def check_state(name: str, what: str, start: Types, end: Types) -> None:
    """Raise unless the state leaves a body with the types that it entered with."""
    for i, (one, other) in enumerate(zip(start, end, strict=True)):
        check_type(
            f"[{name}] {what} {i} leaves the body with another type",
            f"{one!r} in, {other!r} out", other, one,
        )  # fmt: skip


def float_input(*shape: int) -> Node:
    """Return an input for the graphs in samples."""
    return make_input(shape, float64, differentiable=True)


@remembered
def all_varying(body: Graph, captured: int, carried: int, varying: Flags) -> Flags:
    """Return `varying` grown by the state that comes to vary when a body repeats."""
    while True:
        found = flags_of(pushed(body, varying).found)
        grown = grow(varying, captured, found[:carried])
        if grown == varying:
            return varying
        varying = grown


def grow(flags: Flags, captured: int, state: Sequence[bool]) -> Flags:
    """Return the flags of a body's inputs with those of its state joined to `state`."""
    end = captured + len(state)
    joined = (a or b for a, b in zip(flags[captured:end], state, strict=True))
    return (*flags[:captured], *joined, *flags[end:])


def interleaved(values: Sequence[Node], tangents: Tangents, *ends: int) -> list[Node]:
    """Return values, then tangents, of each of the groups that end at `ends`."""
    starts, stops = (0, *ends), (*ends, len(values))
    return [
        node
        for start, stop in zip(starts, stops, strict=True)
        for node in (*values[start:stop], *given(tangents[start:stop]))
    ]


def all_expanded(
    nodes: Sequence[Node], flags: Sequence[bool], wanted: Sequence[bool], size: int
) -> list[Node]:
    """Return `nodes`, with those that are wanted batched and are not so expanded."""
    return [
        expanded(x, size) if want and not flag else x
        for x, flag, want in zip(nodes, flags, wanted, strict=True)
    ]
