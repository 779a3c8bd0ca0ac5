"""Reductions in registers: how they begin, take an element in, and end.

Read first: `Accumulator`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...dtypes import DType, bool_, int32, int64
from ...ir.graph import Node
from ..loops.grammar import (
    UNROLL,
    Body,
    Constant,
    Expression,
    Fold,
    For,
    Get,
    Operation,
    Registers,
    Set,
    Variable,
    Vector,
)
from .product import as_dtype
from .pull import Values
from .scalar import computed

_OPERATIONS = {
    "sum": "add", "product": "multiply", "max": "maximum", "min": "minimum",
    "argmax": "maximum", "argmin": "minimum",
}  # fmt: skip
# No element lies there. Places along shorter axes are kept in 32 bits.
_NOWHERE, _NOWHERE_NEAR = 1 << 62, (1 << 31) - 1


def start_of(name: str, dtype: DType) -> float | int | bool:
    """Return what a reduction over nothing gives."""
    if name == "sum":
        return 0.0 if dtype.is_float else 0
    if name == "product":
        return 1.0 if dtype.is_float else 1
    most = name in ("min", "argmin")
    if dtype is bool_:
        return most
    if dtype.is_float:
        return math.inf if most else -math.inf
    limits: Any = np.iinfo(dtype.numpy)
    return int(limits.max if most else limits.min)


class Accumulator:
    """The partial results of one reduction, in `count` vectors of registers.

    Args:
        values: where statements are written.
        node: the reduction.
        count, lanes: how many vectors, of how many lanes.
    """

    def __init__(self, values: Values, node: Node, count: int, lanes: int) -> None:
        self.values = values
        self.name = node.primitive.name
        self.dtype = computed(node.operands[0].dtype)
        self.count = count
        self.lanes = lanes
        self.best = Registers(values.name("a"), self.dtype, count, lanes)
        self.places: Registers | None = None
        values.body.append(self.best)
        start = start_of(self.name, self.dtype)
        resets = []
        if start:
            resets.append((self.best, Constant(start, self.dtype)))
        if self.name in ("argmax", "argmin"):
            short = node.operands[0].shape[node.attributes["axis"]] < _NOWHERE_NEAR
            self.place_dtype = int32 if short else int64
            nowhere = _NOWHERE_NEAR if short else _NOWHERE
            self.nowhere = Constant(nowhere, self.place_dtype)
            self.places = Registers(values.name("a"), self.place_dtype, count, lanes)
            values.body.append(self.places)
            resets.append((self.places, self.nowhere))
        if resets:
            self._each_place(
                lambda at: [Set(registers, at, value) for registers, value in resets]
            )

    def _each_place(self, make: Callable[[Variable], Body]) -> None:
        """Write statements for all lanes of each vector."""
        at = Variable(self.values.name("u"))
        lane = Variable(self.values.name("l"))
        statements = make(at)
        vector = Vector(lane, self.lanes, self.lanes, statements)
        self.values.body.append(For(at, self.count, [vector], UNROLL))

    def update(
        self, place: Expression | int, value: Expression, position: Expression
    ) -> None:
        """Write the taking in of one element, into the body of a vector.

        Args:
            place: which of the vectors takes it.
            position: for argmax and argmin, where the element lies.
        """
        body = self.values.body
        best = Get(self.best, place)
        if self.places is None:
            name = _OPERATIONS[self.name]
            body.append(
                Set(self.best, place, Operation(name, (best, value), self.dtype))
            )
            return
        position = as_dtype(position, self.place_dtype)
        self._choose(place, value, position, first=False)

    def _choose(
        self, place: Expression | int, value: Expression, position: Expression,
        first: bool,
    ) -> None:  # fmt: skip
        """Keep the better of what is there and `value`; of equals the first one.

        Args:
            first: whether `value` may lie before what is there.
        """
        assert self.places is not None
        values = self.values
        best = values.bind(Get(self.best, place))
        at = values.bind(Get(self.places, place))
        pair = (best, value) if self.name == "argmax" else (value, best)
        better: Expression = Operation("less", pair, bool_)
        if self.dtype.is_float:
            # nan counts as better than any number.
            new = Operation("not_equal", (value, value), bool_)
            old = Operation("equal", (best, best), bool_)
            better = Operation(
                "bitwise_or", (better, Operation("bitwise_and", (new, old), bool_)),
                bool_,
            )  # fmt: skip
        if first:
            # Neither is better than the other: both are equal, or both are nan.
            worse: Expression = Operation("less", pair[::-1], bool_)
            if self.dtype.is_float:
                new = Operation("equal", (value, value), bool_)
                old = Operation("not_equal", (best, best), bool_)
                worse = Operation(
                    "bitwise_or", (worse, Operation("bitwise_and", (new, old), bool_)),
                    bool_,
                )  # fmt: skip
            tie = Operation(
                "bitwise_and",
                (Operation("bitwise_invert", (worse,), bool_),
                 Operation("less", (position, at), bool_)), bool_,
            )  # fmt: skip
            better = Operation("bitwise_or", (better, tie), bool_)
        better = values.bind(better)
        values.body.append(
            Set(
                self.best, place,
                Operation("select", (better, value, best), self.dtype),
            )
        )  # fmt: skip
        where = Operation("select", (better, position, at), self.place_dtype)
        values.body.append(Set(self.places, place, where))

    def result(self, place: Expression | int) -> Expression:
        """Return the result of one vector's lanes, each for itself."""
        if self.places is None:
            return Get(self.best, place)
        return self._found(Get(self.places, place))

    def _found(self, place: Expression) -> Expression:
        # Where no element was better than the start, the first one is the best.
        nowhere = Operation("equal", (place, self.nowhere), bool_)
        zero = Constant(0, self.place_dtype)
        found = Operation("select", (nowhere, zero, place), self.place_dtype)
        return as_dtype(found, int64)

    def folded(self) -> Expression:
        """Write the combination of all vectors and lanes, and return the result."""
        values = self.values
        gap = 1
        while gap < self.count:
            for low in range(0, self.count - gap, 2 * gap):
                self._combine(low, low + gap)
            gap *= 2
        name = _OPERATIONS[self.name]
        best = values.bind(Fold(name, self.best, 0))
        if self.places is None:
            return best
        body: Body = []
        own = Get(self.best, 0)
        same: Expression = Operation("equal", (own, best), bool_)
        if self.dtype.is_float:
            same = Operation(
                "bitwise_or", (same, Operation("not_equal", (own, own), bool_)), bool_
            )
        place = Operation(
            "select", (same, Get(self.places, 0), self.nowhere), self.place_dtype
        )  # fmt: skip
        body.append(Set(self.places, 0, place))
        lane = Variable(values.name("l"))
        values.body.append(Vector(lane, self.lanes, self.lanes, body))
        return values.bind(self._found(values.bind(Fold("minimum", self.places, 0))))

    def _combine(self, low: int, high: int) -> None:
        values = self.values
        body: Body = []
        with values.inside(body):
            other = values.bind(Get(self.best, high))
            if self.places is None:
                self.update(low, other, Constant(0, int64))
            else:
                at = values.bind(Get(self.places, high))
                self._choose(low, other, at, first=True)
        lane = Variable(values.name("l"))
        values.body.append(Vector(lane, self.lanes, self.lanes, body))
