"""Values of nodes written out where they are needed.

`Values.at(node, index)` gives an expression for one element of a node, by the values of
its operands: elementwise primitives compute, movement primitives only change the index.
It ends at nodes that somebody else provides: a load from memory, or an accumulator.

Read first: `Values`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ...dtypes import bool_, int64
from ...ir.graph import Literal, Node
from ..loops.grammar import (
    Body,
    Buffer,
    Constant,
    Expression,
    Let,
    Load,
    Operation,
    Store,
    Variable,
)
from .fold import MOST_TERMS, folded, terms_of
from .index import ZERO, Index, linear, reshaped
from .memory import Memory
from .philox import random_word
from .scalar import computed, constant, is_scalar, scalar, widened
from .search import search_sorted, steps_of

_RANDOM_WORD = 120  # what it costs, in additions

Provider = Callable[[Index], Expression]
Watch = Callable[[Buffer, Expression], Expression | None]

_MOVES: dict[str, Callable[[Values, Node, Index], Expression]]


def is_pulled(node: Node) -> bool:
    """Return whether an element of `node` can be written by those of its operands."""
    if node.primitive.name == "fold":
        return terms_of(node) <= MOST_TERMS
    return node.primitive.name in _MOVES or is_scalar(node)


def is_moved(node: Node) -> bool:
    """Return whether `node` only has another index than its operand."""
    return node.primitive.name in _VIEWS


def moving_cost(node: Node) -> int:
    """Return what finding an element of `node` costs, in additions."""
    name = node.primitive.name
    if name == "random_bits":
        return _RANDOM_WORD
    if name == "search_sorted":
        return 4 * steps_of(node)
    if name == "fold":
        return 4 * terms_of(node)
    if name == "concatenate":
        # Of each operand there is a load, a test and a choice.
        return 2 * len(node.operands)
    return 2 if name in ("pad", "gather", "wrap_index") else 0


class Values:
    """Expressions for elements of nodes, written into the body that is current.

    Args:
        memory: knows the buffers of the nodes that lie in memory.
        given: nodes that are provided otherwise.
    """

    def __init__(
        self, memory: Memory, given: dict[Node, Provider] | None = None
    ) -> None:
        self.memory = memory
        self.given = dict(given or {})
        self.body: Body = []
        self.guard: Expression | None = None
        self._known: list[dict[tuple[Node, Index, Expression | None], Expression]] = [
            {}
        ]
        self._count = 0
        self._watch: Watch | None = None

    # Bodies

    @contextmanager
    def inside(self, body: Body) -> Iterator[None]:
        """Write into `body`; what is bound there is forgotten afterwards."""
        before = self.body
        self.body = body
        self._known.append({})
        try:
            yield
        finally:
            self.body = before
            self._known.pop()

    def name(self, prefix: str) -> str:
        """Return a name that is new."""
        self._count += 1
        return f"{prefix}{self._count}"

    def bind(self, value: Expression) -> Expression:
        """Give `value` a name, so that it is computed once."""
        if isinstance(value, (Constant, Variable)):
            return value
        variable = Variable(self.name("t"), value.dtype)
        self.body.append(Let(variable, value))
        return variable

    # Values

    def at(self, node: Node, index: Index) -> Expression:
        """Return the element of `node` at `index`, in the dtype it is computed in."""
        # Chains of elementwise nodes are longer than Python's stack is deep.
        stack = [node]
        while True:
            node = stack[-1]
            value = self._find(node, index)
            if value is None:
                waiting = [
                    x
                    for x in (node.operands if self._is_computed(node) else ())
                    if self._find(x, index) is None
                ]
                if waiting:
                    stack.extend(reversed(waiting))
                    continue
                value = self._write(node, index)
                self._known[-1][node, index, self.guard] = value
            stack.pop()
            if not stack:
                return value

    def _find(self, node: Node, index: Index) -> Expression | None:
        """Return the element if it was written before, and is seen here."""
        key = (node, index, self.guard)
        for known in reversed(self._known):
            found = known.get(key)
            if found is not None:
                return found
        return None

    def _is_computed(self, node: Node) -> bool:
        """Return whether an element is made of those of operands at the same index."""
        return (
            is_scalar(node) and node not in self.given and not self.memory.holds(node)
        )

    def _write(self, node: Node, index: Index) -> Expression:
        provider = self.given.get(node)
        if provider is not None:
            return provider(index)
        if self.memory.holds(node):
            return self.load(node, linear(index, node.shape))
        return self.computed(node, index)

    def computed(self, node: Node, index: Index) -> Expression:
        """Return the element by those of the operands, though it may lie in memory."""
        move = _MOVES.get(node.primitive.name)
        if move is not None:
            return move(self, node, index)
        operands = [self.at(operand, index) for operand in node.operands]
        return self.bind(scalar(node, operands))

    def load(self, node: Node, place: Expression) -> Expression:
        """Return an element of a node that lies in memory."""
        return self.load_from(self.memory.read(node), place)

    def load_from(self, buffer: Buffer, place: Expression) -> Expression:
        """Return an element of a buffer, where the guard is true."""
        if self._watch is not None:
            found = self._watch(buffer, place)
            if found is not None:
                return self.bind(found)
        if self.guard is None:
            return self.bind(widened(Load(buffer, place)))
        other = Constant(buffer.dtype.numpy.type(0).item(), buffer.dtype)
        if buffer.dtype.is_float:
            other = Constant(0.0, buffer.dtype)
        return self.bind(widened(Load(buffer, place, self.guard, other)))

    @contextmanager
    def watched(self, watch: Watch) -> Iterator[None]:
        """Have `watch` asked for the value of each load, by buffer and place."""
        before, self._watch = self._watch, watch
        try:
            yield
        finally:
            self._watch = before

    @contextmanager
    def guarded(self, condition: Expression) -> Iterator[None]:
        """Touch no memory where `condition` is false."""
        before = self.guard
        if before is None:
            self.guard = condition
        else:
            self.guard = self.bind(Operation("bitwise_and", (before, condition), bool_))
        try:
            yield
        finally:
            self.guard = before

    def index_of(self, node: Node, index: Index, size: int) -> Expression:
        """Return an element of an index tensor, which is checked to be below `size`."""
        value = self.at(node, index)
        if value.dtype is not int64:
            value = Operation("cast", (value,), int64)
        value = self.bind(value)
        last = Constant(max(size - 1, 0), int64)
        low = Operation("maximum", (value, ZERO), int64)
        safe = self.bind(Operation("minimum", (low, last), int64))
        self.alarm(Operation("not_equal", (safe, value), bool_))
        return safe

    def alarm(self, wrong: Expression) -> None:
        """Tell that an index is not in its axis, where that is so."""
        if self.guard is not None:
            wrong = Operation("bitwise_and", (wrong, self.guard), bool_)
        alarm = self.memory.alarm()
        self.body.append(Store(alarm, ZERO, Constant(1, alarm.dtype), wrong))


# Movement: how the index of a result becomes one of the operand


def _reshape(values: Values, node: Node, index: Index) -> Expression:
    (x,) = node.operands
    return values.at(x, reshaped(index, node.shape, x.shape))


def _permute(values: Values, node: Node, index: Index) -> Expression:
    before: list[Expression] = [ZERO] * len(index)
    for i, axis in zip(index, node.attributes["axes"], strict=True):
        before[axis] = i
    return values.at(node.operands[0], tuple(before))


def _expand(values: Values, node: Node, index: Index) -> Expression:
    (x,) = node.operands
    kept = index[len(index) - x.ndim :]
    return values.at(
        x, tuple([ZERO if n == 1 else i for i, n in zip(kept, x.shape, strict=True)])
    )


def _slice(values: Values, node: Node, index: Index) -> Expression:
    starts, steps = node.attributes["starts"], node.attributes["steps"]
    before = [
        i * step + start for i, start, step in zip(index, starts, steps, strict=True)
    ]
    return values.at(node.operands[0], tuple(before))


def _flip(values: Values, node: Node, index: Index) -> Expression:
    axes = node.attributes["axes"]
    before = [
        (n - 1) - i if axis in axes else i
        for axis, (i, n) in enumerate(zip(index, node.shape, strict=True))
    ]
    return values.at(node.operands[0], tuple(before))


def _pad(values: Values, node: Node, index: Index) -> Expression:
    (x,) = node.operands
    before: list[Expression] = []
    inside: Expression | None = None
    for i, n, (low, high) in zip(
        index, x.shape, node.attributes["widths"], strict=True
    ):
        before.append(i - low)
        tests = []
        if low:
            tests.append(Operation("less_equal", (Constant(low, int64), i), bool_))
        if high:
            tests.append(i < n + low)
        for test in tests:
            inside = (
                test if inside is None
                else Operation("bitwise_and", (inside, test), bool_)
            )  # fmt: skip
    if inside is None:
        return values.at(x, tuple(before))
    outside = constant(node.attributes["value"], node.dtype)
    if not x.size:
        return outside
    inside = values.bind(inside)
    with values.guarded(inside):
        value = values.at(x, tuple(before))
    return values.bind(Operation("select", (inside, value, outside), value.dtype))


def _concatenate(values: Values, node: Node, index: Index) -> Expression:
    axis = node.attributes["axis"]
    place = index[axis]
    result: Expression | None = None
    if not node.size:
        return constant(0, node.dtype)
    start = sum(x.shape[axis] for x in node.operands)
    for x in reversed(node.operands):
        if not x.size:
            continue
        stop, start = start, start - x.shape[axis]
        before = (*index[:axis], place - start, *index[axis + 1 :])
        if result is None and start == 0:
            return values.at(x, before)
        after = Operation("less_equal", (Constant(start, int64), place), bool_)
        test: Expression = after
        if result is not None:
            test = Operation("bitwise_and", (after, place < stop), bool_)
        test = values.bind(test)
        with values.guarded(test):
            value = values.at(x, before)
        if result is None:
            result = value
        else:
            result = values.bind(
                Operation("select", (test, value, result), result.dtype)
            )
    assert result is not None
    return result


def _windows(values: Values, node: Node, index: Index) -> Expression:
    (x,) = node.operands
    stride, dilation = node.attributes["stride"], node.attributes["dilation"]
    rank = len(stride)
    lead = x.ndim - rank
    spatial = [
        index[lead + i] * stride[i] + index[lead + rank + i] * dilation[i]
        for i in range(rank)
    ]
    return values.at(x, (*index[:lead], *spatial))


def _gather(values: Values, node: Node, index: Index) -> Expression:
    x, indices = node.operands
    axis, batch = node.attributes["axis"], node.attributes["batch"]
    # The result has x's axes before `axis`, the index's own axes, x's axes after it.
    own = indices.ndim - batch
    place = (*index[:batch], *index[axis : axis + own])
    size = x.shape[axis]
    known = None if values.memory.holds(indices) else _known(indices, size)
    if known is None:
        at = values.index_of(indices, place, size)
    else:
        at = _evenly(values, known, place)
    return values.at(x, (*index[:axis], at, *index[axis + own :]))


def _known(indices: Node, size: int) -> np.ndarray | None:
    """Return indices that are known and lie in an axis of `size`, or None."""
    if indices.primitive.name != "constant":
        return None
    array: np.ndarray = indices.attributes["value"].array
    inside = array.size and array.min() >= 0 and array.max() < size
    return array if inside else None


def _evenly(values: Values, known: np.ndarray, place: Index) -> Expression:
    """Return a known index, by the first of its line if they lie evenly on all lines.

    So what is read on a line are neighbours, or at least lies evenly, too.
    """
    step, rest = 0, place
    if known.ndim:
        steps = np.diff(known, axis=-1)
        if not steps.size or (steps == steps.flat[0]).all():
            step = int(steps.flat[0]) if steps.size else 0
            known, rest = known[..., 0], place[:-1]
    low, high = int(known.min()), int(known.max())
    if low == high:
        first: Expression = Constant(low, int64)
    else:
        table = values.memory.literal(Literal(known), int64)
        first = values.load_from(table, linear(rest, known.shape))
        # For the proof that nothing else is read.
        first = Operation("maximum", (first, Constant(low, int64)), int64)
        first = values.bind(Operation("minimum", (first, Constant(high, int64)), int64))
    return first + place[-1] * step if step else first


def _wrap_index(values: Values, node: Node, index: Index) -> Expression:
    size = node.attributes["size"]
    value = values.at(node.operands[0], index)
    if value.dtype is not int64:
        value = values.bind(Operation("cast", (value,), int64))
    negative = value < 0
    wrapped = Operation("select", (negative, value + size, value), int64)
    safe = Operation("maximum", (wrapped, ZERO), int64)
    safe = Operation("minimum", (safe, Constant(max(size - 1, 0), int64)), int64)
    safe_value = values.bind(safe)
    values.alarm(Operation("not_equal", (safe_value, wrapped), bool_))
    return safe_value


def _class_number(values: Values, node: Node, index: Index) -> Expression:
    value = values.bind(values.at(node.operands[0], index))
    classes, ignored = node.attributes["classes"], node.attributes["ignored"]
    above = Constant(classes - 1, int64) < value
    wrong = Operation("bitwise_or", (value < 0, above), bool_)
    if ignored is not None:
        counted = Operation("not_equal", (value, Constant(ignored, int64)), bool_)
        wrong = Operation("bitwise_and", (wrong, counted), bool_)
    values.alarm(wrong)
    return value


def _constant(values: Values, node: Node, index: Index) -> Expression:
    array = node.attributes["value"].array
    if array.size == 1:
        return constant(array.reshape(()), node.dtype)
    literal = values.memory.literal(node.attributes["value"], node.dtype)
    return values.load_from(literal, linear(index, node.shape))


def _iota(values: Values, node: Node, index: Index) -> Expression:
    dtype = computed(node.dtype)
    place = index[0]
    return place if dtype is int64 else Operation("cast", (place,), dtype)


def _random_bits(values: Values, node: Node, index: Index) -> Expression:
    (key,) = node.operands
    shape = node.attributes["shape"]
    lead = key.ndim - 1
    words = [values.at(key, (*index[:lead], Constant(i, int64))) for i in range(4)]
    place = linear(index[lead:], shape)
    return random_word(words, place, node.attributes["start"], values.bind)


def _empty_dot(values: Values, node: Node, index: Index) -> Expression:
    return constant(0, node.dtype)


_VIEWS: dict[str, Callable[[Values, Node, Index], Expression]] = {
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "flip": _flip,
}
_MOVES = {
    **_VIEWS,
    "pad": _pad,
    "concatenate": _concatenate,
    "windows": _windows,
    "fold": folded,
    "gather": _gather,
    "wrap_index": _wrap_index,
    "class_number": _class_number,
    "constant": _constant,
    "iota": _iota,
    "random_bits": _random_bits,
    "search_sorted": search_sorted,
    "dot": _empty_dot,  # others are contractions, see `kind_of`
}
