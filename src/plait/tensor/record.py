"""Recording: an op does not run; it is a step along a trie of everything recorded
before.

A step's key is the op, the nodes of its operands and its static attributes. If the
child exists, shapes, dtypes and errors were all settled when it was made, and
recording costs one look-up. A concrete tensor enters as a step keyed by its type; a
Python number enters as a runtime input keyed by its Python type alone, so that changed
numbers record nothing new.

Read first: `record`, `enter`.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import DType, as_dtype
from ..errors import PlaitError, user_line
from ..ir.build import apply, make_input
from ..ir.graph import Graph, Node, TensorType, topological_order
from ..ir.primitive import Primitive
from ..ops import movement, source
from ..settings import settings
from . import trie
from .autocast import cast_operands, cast_result
from .run import evaluate, flush, leaked
from .trie import (
    COMPUTED,
    CONSTANT,
    LEAF,
    NUMBER,
    SPENT,
    Step,
    Trace,
    as_operand,
    begun,
    follow,
    pending,
    recorder,
    roots,
    set_modes,
)

if TYPE_CHECKING:
    from .tensor import Tensor

_INT64 = range(-(2**63), 2**63)

# Operands


def enter(trace: Trace, tensor: Tensor) -> Node:
    """Return the node of `tensor` in `trace`, entering it as a leaf if it is new."""
    if tensor._trace is trace:
        return tensor._node  # type: ignore[no-any-return]
    if trace.function is not None:
        return _capture(trace, tensor)
    cohort = tensor._cohort
    if cohort is not None and cohort.valid:
        cohort.enter(trace)
        if tensor._trace is trace:
            return tensor._node  # type: ignore[no-any-return]
    value = tensor._value
    if value is None:
        value = evaluate(tensor)
    if tensor._history is None:
        # What enter_value does, written out: every leaf of every step passes here.
        kind = LEAF if tensor._requires_grad else CONSTANT
        type = tensor._node.type
        step = trace.step.next.get((type, kind))
        if step is None:
            node = enter_value(trace, type, value, tensor, kind)
        else:
            trace.values.append(value)
            trace.owners.append(tensor)
            trace.step = step
            node = step.result
    else:
        node = _enter_computed(trace, tensor, value)
    # In this order, as other threads may look.
    tensor._trace = trace
    tensor._node = node
    return node


def _enter_computed(trace: Trace, tensor: Tensor, value: Any) -> Node:
    """Return the leaf of a tensor that was computed before a run from others that
    require a gradient.
    """
    kind = kind_of(tensor)
    origin = tensor._history if kind is COMPUTED else None
    node = trace.entered.get(origin) if origin is not None else None
    if node is None:
        node = enter_value(trace, tensor._node.type, value, tensor, kind)
        if origin is not None:
            trace.origins[node] = origin
            trace.entered[origin] = node
            trace.historic.append(node)
            history, before = origin
            if before in history.hooks:
                trace.hooked[node] = history.hooks[before]
        elif kind is SPENT:
            trace.origins[node] = SPENT
    return node


def kind_of(tensor: Tensor) -> str:
    """Return how derivatives see `tensor`, which has a value."""
    history = tensor._history
    if history is None:
        return LEAF if tensor._requires_grad else CONSTANT
    if history is SPENT or history[1] in history[0].spent:
        return SPENT
    return COMPUTED


def enter_value(
    trace: Trace, type: TensorType, value: Any, owner: Tensor | None, kind: str
) -> Node:
    """Enter a value as a leaf on behalf of `owner`, and return its node.

    Args:
        kind: how derivatives see it: CONSTANT, LEAF, COMPUTED (before a flush) or
            SPENT.
    """
    differentiable = kind is not CONSTANT and kind is not NUMBER
    key = (type, kind)
    step = trace.step.next.get(key)
    if step is None:
        node = make_input(
            type.shape, type.dtype, differentiable=differentiable, weak=kind is NUMBER
        )
        made = Step(trace.step, node, (node,))
        step = trace.step.next.setdefault(key, made)
        roots.count += 1
    # The step comes last: other threads take as many values as their step needs.
    trace.values.append(value)
    trace.owners.append(owner)
    trace.step = step
    result: Node = step.result
    return result


def _capture(trace: Trace, tensor: Tensor) -> Node:
    """Enter a tensor from outside into a function that is being recorded."""
    found = trace.captured.get(id(tensor))
    if found is not None:
        return found[1]
    home = tensor._trace
    if tensor._value is None and home is not None and home.function and home.closed:
        raise leaked(home)
    kind = LEAF if tensor.requires_grad else CONSTANT
    node = enter_value(trace, tensor._node.type, None, tensor, kind)
    trace.captured[id(tensor)] = (tensor, node)
    return node


def before_change(tensor: Tensor) -> None:
    """Keep what `tensor` stood for where a function being recorded captured it."""
    trace: Trace | None = recorder.trace
    while trace is not None and trace.function is not None:
        found = trace.captured.pop(id(tensor), None)
        if found is not None:
            place = next(i for i, x in enumerate(trace.owners) if x is tensor)
            trace.owners[place] = _same_as(tensor)
        trace = trace.outer


def _same_as(tensor: Tensor) -> Tensor:
    """Return another tensor that stands for what `tensor` stands for."""
    other: Tensor = object.__new__(trie.handle)
    other._trace, other._node = tensor._trace, tensor._node
    other._value, other._history = tensor._value, tensor._history
    other._requires_grad = tensor._requires_grad
    if other._value is None:
        other._trace.pending.append(weakref.ref(other))
    return other


# Recording


def record(
    op: Callable[..., Any],
    operands: Sequence[Any],
    static: tuple[Any, ...] = (),
) -> Any:
    """Record `op` and return its result as tensors.

    Args:
        op: a function that takes nodes, and then the static values.
        operands: tensors, Python numbers, arrays, None, or lists of tensors.
        static: the other arguments; hashable.
    """
    trace = recorder.trace
    if trace.step.depth >= settings.max_trace and trace.function is None:
        flush(trace)
        trace = recorder.trace
    parts: list[Any] = [op]
    numbers: list[Any] = []
    for x in operands:
        if isinstance(x, (list, tuple)):
            parts.append(tuple(_part(x_i, numbers) for x_i in x))
        else:
            parts.append(_part(x, numbers))
    key = (*parts, static) if static else tuple(parts)
    step = trace.step.next.get(key)
    if step is None:
        step = _new_step(trace.step, key, op, parts[1:], static)
    if numbers:
        trace.values.extend(numbers)
        trace.owners.extend([None] * len(numbers))
    trace.step = step
    result = step.result
    if isinstance(result, Node):
        return pending(trace, result)
    return tuple([pending(trace, node) for node in result])


class _Exact:
    """An integer too large for a runtime input, which becomes a constant."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Exact) and other.value == self.value


def _part(x: Any, numbers: list[Any]) -> Any:
    """Return the part of a step's key that `x` makes."""
    kind = x.__class__
    if kind is float or kind is bool:
        numbers.append(x)
        return kind
    if kind is int:
        if x not in _INT64:
            return _Exact(x)
        numbers.append(x)
        return kind
    if isinstance(x, trie.handle):  # most are
        trace = recorder.trace
        return x._node if x._trace is trace else enter(trace, x)
    if x is None:
        return None
    if isinstance(x, np.generic):
        x = x.item()  # itself, if Python has no such number
        if x.__class__ in _NUMBER_DTYPES:
            return _part(x, numbers)
    elif isinstance(x, (int, float)):  # of a subclass
        return _part(int(x) if isinstance(x, int) else float(x), numbers)
    tensor = as_operand(x)
    trace = recorder.trace
    return tensor._node if tensor._trace is trace else enter(trace, tensor)


_NUMBER_DTYPES = {float: "float64", int: "int64", bool: "bool"}


def _new_step(
    parent: Step,
    key: Any,
    op: Callable[..., Any],
    parts: Sequence[Any],
    static: tuple[Any, ...],
) -> Step:
    """Return the step that an op makes, which is new but for its line.

    What may fail when it runs is a step for each line that records it, so that the
    error can name the line.
    """
    located = (op, static)
    if located in roots.located:
        key = (key, user_line())
        found = parent.next.get(key)
        if found is not None:
            return found
    made = _make(parent, op, parts, static)
    if located not in roots.located and _may_fail(made, parts):
        roots.located |= {located, op}
        key = (key, user_line())
    roots.count += 1
    return parent.next.setdefault(key, made)


def _may_fail(step: Step, parts: Sequence[Any]) -> bool:
    known = {part for part in _flat(parts) if isinstance(part, Node)}
    results = (step.result,) if isinstance(step.result, Node) else step.result
    made = topological_order(results, lambda node: node not in known)
    return any(_fails(node.primitive) for node in made)


@functools.cache
def _fails(primitive: Primitive) -> bool:
    """Return whether values, and not types alone, can make a primitive fail."""
    for failure in primitive.failures():
        types = [TensorType(x.shape, as_dtype(x.dtype)) for x in failure.operands]
        try:
            primitive.infer(*types, **failure.attributes)
        except PlaitError:
            continue
        return True
    return False


def _make(
    parent: Step,
    op: Callable[..., Any],
    parts: Sequence[Any],
    static: tuple[Any, ...],
) -> Step:
    """Run `op` on nodes and return the step that it makes."""
    leaves: list[Node] = []

    def operand(part: Any) -> Any:
        if isinstance(part, tuple):
            return [operand(item) for item in part]
        if isinstance(part, Node):
            if part.differentiable and not parent.grad_enabled:
                return source.stop_gradient(part)
            return part
        if part is None:
            return None
        if isinstance(part, _Exact):
            return part.value
        dtype = as_dtype(_NUMBER_DTYPES[part])
        leaves.append(make_input((), dtype, weak=True))
        return leaves[-1]

    arguments: Sequence[Any] = [operand(part) for part in parts]
    if parent.autocast is None:
        result = op(*arguments, *static)
    else:
        name = getattr(op, "name", None)
        arguments = cast_operands(name, arguments, parent.autocast)
        result = cast_result(name, arguments, op(*arguments, *static))
    given = set(_flat(arguments))
    if isinstance(result, Node):
        result = distinct(result) if result in given else result
    else:
        result = tuple([distinct(x) if x in given else x for x in result])
    return Step(parent, result, tuple(leaves))


def _flat(arguments: Sequence[Any]) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, (list, tuple)):
            yield from argument
        else:
            yield argument


def distinct(node: Node) -> Node:
    """Return a node of the value of `node` that is not itself a place or a leaf."""
    if not node.differentiable:
        return node
    return apply(movement.RESHAPE, node, shape=node.shape)


def mark_variable(tensor: Tensor) -> None:
    """Make a pending tensor a place that derivatives are taken with respect to."""
    trace = recorder.trace
    if tensor._trace is not trace:
        evaluate(tensor)
        tensor._trace = None  # enters as the leaf that it is
        return
    node = tensor._node
    key = ("variable", node)
    step = follow(trace, key, lambda: Step(trace.step, source.variable(node), ()))
    tensor._node = step.result
    trace.variables[step.result] = weakref.ref(tensor)
    if tensor._after_hooks is not None:
        hold(tensor)


def hold(tensor: Tensor) -> None:
    """Keep a pending tensor as long as its trace: its hooks are called even if nobody
    else has it any more.
    """
    if tensor._trace is not None:
        tensor._trace.marks.append(tensor)


# Modes


@contextmanager
def grad_mode(enabled: bool) -> Iterator[None]:
    """Record with derivatives on or off inside a `with` block."""
    before = recorder.grad_enabled
    recorder.grad_enabled = enabled
    set_modes(recorder.trace)
    try:
        yield
    finally:
        recorder.grad_enabled = before
        set_modes(recorder.trace)


@contextmanager
def autocast_mode(dtype: DType | None) -> Iterator[None]:
    """Record products in `dtype`, or as they are, inside a `with` block."""
    before = recorder.autocast
    recorder.autocast = dtype
    set_modes(recorder.trace)
    try:
        yield
    finally:
        recorder.autocast = before
        set_modes(recorder.trace)


# Functions recorded as graphs


class Recorded:
    """A function recorded as a closed graph.

    Attributes:
        graph: its inputs are the arguments, then what was captured.
        captured: the outside tensors and Python numbers that the function used.
    """

    __slots__ = ("graph", "captured")

    def __init__(self, graph: Graph, captured: list[Any]) -> None:
        self.graph = graph
        self.captured = captured


def record_function(
    name: str,
    function: Callable[[list[Tensor]], Sequence[Any]],
    types: Sequence[TensorType],
    kinds: Sequence[str],
) -> Recorded:
    """Record `function` on arguments of `types` that have no values.

    Args:
        name: what it is recorded for, in errors.
        function: takes the list of tensors, returns a list of tensors or numbers.
        kinds: for each argument CONSTANT, LEAF if derivatives flow to it, or NUMBER.
    """
    outer = recorder.trace
    trace = begun(name)
    trace.outer = outer
    recorder.trace = trace
    try:
        arguments = []
        for type, kind in zip(types, kinds, strict=True):
            node = enter_value(trace, type, None, None, kind)
            arguments.append(pending(trace, node))
        results = function(arguments)
        nodes = []
        for result in results:
            tensor = as_operand(result)
            nodes.append(enter(trace, tensor))
    finally:
        trace.closed = True
        recorder.trace = outer
        set_modes(outer)
    key = tuple(nodes)
    graph = trace.step.graphs.get(key)
    if graph is None:
        graph = trace.step.graphs.setdefault(key, Graph(trace.step.inputs(), nodes))
    pairs = zip(trace.owners, trace.values, strict=True)
    captured = [value if owner is None else owner for owner, value in pairs]
    return Recorded(graph, captured[len(types) :])
