"""From a group of elementwise nodes and reductions to one kernel.

The kernel runs over the rows of the domain. In each row it makes one pass over the
reduced axes for each *level*: what a reduction gives can be used one level later.

    softmax over the last axis:    for row:  pass 0: m = max(x)
                                             pass 1: e = exp(x - m), s = sum(e)
                                             pass 2: y = e / s

When the innermost axis is reduced, the lanes of a vector are neighbours along the row,
and their partial results are folded at its end (`rows`). Otherwise they are
neighbouring rows (`columns`). Without reductions each element is a row.

Read first: `lower_fused`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...dtypes import DType
from ...ir.graph import Node
from ...program import Work
from ..loops.grammar import Kernel
from ..schedule.group import Group
from .columns import write_columns
from .lowering import Lowering, costs_of
from .piece import Piece
from .rows import write_rows
from .tiles import crossed, write_tiles


def lower_fused(
    group: Group,
    stored: Callable[[Node], bool],
    outputs: Sequence[Node],
    lanes: Callable[[DType], int],
    name: str,
    compact: bool = False,
    finer: int = 1,
) -> Piece:
    """Return the kernel that computes a group.

    Args:
        stored: whether a node lies in memory before the kernel runs.
        outputs: the members that shall lie in memory afterwards.
        lanes: how many numbers of a dtype a vector register holds.
        compact: code shall be small.
        finer: chunks are worth handing out that are so many times smaller.
    """
    lowering = Lowering(group, stored, outputs, lanes, compact, finer)
    along = crossed(lowering)
    if along is not None:
        chunks, body = write_tiles(lowering, along)
    elif lowering.lanes_along_row:
        chunks, body = write_rows(lowering)
    else:
        lowering.join_short_lines()
        chunks, body = write_columns(lowering)
    buffers = lowering.memory.buffers
    kernel = Kernel(name, tuple(buffers.values()), body, chunks, lowering.scratch)
    nbytes = sum(node.type.nbytes for node in buffers if isinstance(node, Node))
    flops = sum(
        cost * (math.prod(group.shape) if member in group.spaces else member.size)
        for member, cost in costs_of(group).items()
    )
    return Piece(kernel, tuple(buffers), Work(flops, nbytes))
