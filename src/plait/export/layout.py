"""Where each tensor lies in the one memory of an export.

Addresses are settled before anything is compiled, and are the same in every build: the
state first, then room for what functions take and return. As one function runs at a
time, that room is shared. What differs between builds, such as memory for values in
between, begins behind it.

Read first: `Layout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..ir.graph import TensorType
from .graphs import Entry, Function

# Nothing lies at address 0, where mistakes point to.
START = 1024
ALIGNMENT = 64


class Placed(NamedTuple):
    """The addresses of what a function takes and returns."""

    inputs: list[int]
    outputs: list[int]


class Layout(NamedTuple):
    """Addresses, in bytes.

    Attributes:
        state: of each tensor of the state.
        state_end: the first address behind the state.
        functions: of each function, in their order.
        end: the first address behind all.
    """

    state: dict[str, int]
    state_end: int
    functions: list[Placed]
    end: int


def laid_out(functions: Sequence[Function], state: Mapping[str, Entry]) -> Layout:
    """Return where everything lies."""
    at = START
    places: dict[str, int] = {}
    for name, entry in state.items():
        places[name] = at
        at = _behind(at, TensorType(entry.value.shape, entry.value.dtype))
    room = end = at
    placed = []
    for function in functions:
        at = room
        addresses: list[list[int]] = []
        for ports in (function.inputs, function.outputs):
            addresses.append([])
            for port in ports:
                if port.kind == "state":
                    addresses[-1].append(places[port.name])
                else:
                    addresses[-1].append(at)
                    at = _behind(at, port.type)
        placed.append(Placed(*addresses))
        end = max(end, at)
    return Layout(places, room, placed, end)


def _behind(at: int, type: TensorType) -> int:
    return -(-(at + type.nbytes) // ALIGNMENT) * ALIGNMENT
