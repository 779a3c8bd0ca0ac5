"""What lowering a node to kernels of its own gives.

Read first: `Lowered`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from ...dtypes import DType
from ...ir.graph import Node
from .piece import Piece

Lanes = Callable[[DType], int]


class Lowered(NamedTuple):
    """How a node is computed.

    Attributes:
        pieces: kernels, in order.
        start: an operand that the (only) result begins as a copy of.
    """

    pieces: list[Piece]
    start: Node | None = None


# Given a node, what stands for its results, lanes of a vector, and a name. None means
# that only the reference can.
Lowering = Callable[[Node, Sequence[Hashable], Lanes, str], Lowered | None]
