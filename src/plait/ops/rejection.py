"""Random numbers by rejection: trials for all, then for those that were rejected.

A trial proposes a number for each place and accepts most of them. Shapes must be known
beforehand, and so how many trials there are: the rejected places are gathered, as many
as there may be, and have trials of their own.

Read first: `settled`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..dtypes import float64, int64
from ..ir.graph import Node
from ..shapes import Shape, size_of
from . import elementwise, gather, index, movement, philox, random, reduce, source
from .operand import Operand, as_node

# Takes a key, a shape, and parameters that broadcast to it; returns numbers and whether
# each is accepted.
Trial = Callable[..., tuple[Node, Node]]

# A number is rejected in all its trials with a probability below this.
_FAILURE = 1e-10
# So many trials are made at once rather than in turns.
_AT_ONCE = 1 << 14
# So many deviations from the mean: more numbers than that are not rejected.
_DEVIATIONS = 8.0


def settled(
    key: Node, shape: Shape, parameters: Sequence[Node], trial: Trial, rejected: float
) -> Node:
    """Return random numbers, each by the first of its trials that accepts it.

    Args:
        parameters: of `shape`, or scalars.
        trial: proposes numbers.
        rejected: a bound of the probability with which a trial rejects.
    """
    rounds = math.ceil(math.log(_FAILURE) / math.log(rejected))
    lines = [movement.reshape(x, (-1,)) if x.ndim else x for x in parameters]
    size = size_of(shape)
    most = max(size, _AT_ONCE)
    found = _settled(key, size, lines, trial, rejected, rounds, most)
    return movement.reshape(found, shape)


def _settled(
    key: Node,
    size: int,
    parameters: Sequence[Node],
    trial: Trial,
    rejected: float,
    rounds: int,
    most: int,
) -> Node:
    """Return `size` numbers.

    Args:
        rounds: how many trials a number has.
        most: so many trials may be made at once.
    """
    if rounds * size <= most:
        values, accepted = trial(key, (rounds, size), *parameters)
        first = reduce.argmax(elementwise.cast(accepted, int64), 0, keepdims=True)
        return movement.squeeze(index.take_along_axis(values, first, axis=0), 0)
    own_key, other_key = philox.keys_of(key, 2)
    values, accepted = trial(own_key, (size,), *parameters)
    mean = rejected * size
    room = min(math.ceil(mean + _DEVIATIONS * math.sqrt(mean)), size)
    # The number of each rejected place among these, and the place of each number.
    failed = elementwise.cast(elementwise.logical_not(accepted), int64)
    numbers = elementwise.subtract(reduce.cumulative_sum(failed, axis=0), 1)
    numbers = elementwise.clip(numbers, 0, room - 1)
    places = gather.scatter(
        source.full((room + 1,), 0, int64),
        elementwise.select(accepted, room, numbers),
        source.iota(size, int64),
        0, 0, "set",
    )  # fmt: skip
    places = movement.slice_axis(places, 0, 0, room)
    others = [gather.gather(x, places, 0) if x.ndim else x for x in parameters]
    again = _settled(other_key, room, others, trial, rejected, rounds - 1, most)
    return elementwise.select(accepted, values, gather.gather(again, numbers, 0))


def wide_parameter(op: str, x: Operand, shape: Shape) -> Node:
    """Return a parameter in float64, a scalar or of `shape`, without a derivative."""
    node = source.stop_gradient(as_node(op, x, float64))
    return movement.expand(node, shape) if node.ndim else node


def negative_log_uniform(key: Node, shape: Shape) -> Node:
    """Return -log of uniform numbers in 0..1, in float64: to accept with."""
    u = elementwise.add(random.unit_uniform(key, shape, float64), 2.0**-54)
    return elementwise.negative(elementwise.log(u))
