"""Functions recorded once for each set of argument types.

Read first: `jit`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import numpy as np

from ..dtypes import float64
from ..errors import ArgumentTypeError
from ..ir.build import inline
from ..ir.graph import Graph, Node, TensorType
from ..trees import flatten, unflatten
from .create import asarray
from .plan import Plan
from .record import enter, record, record_function
from .stages import Compiled, Lowered, Signature, Traced
from .tensor import Tensor
from .trie import CONSTANT, LEAF, NUMBER, Step, all_pending, recorder

Function = Callable[..., Any]


def inlined(*values: Any) -> list[Node]:
    """Return the outputs of a graph, which comes last, on operands."""
    *operands, graph = values
    return inline(graph, operands)


class Jitted(Protocol):
    """A function that `jit` has made: called as before, or had stage by stage."""

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Record a call as one step."""

    def trace(self, *args: Any, **named: Any) -> Traced:
        """Return the graph for arguments of these types."""

    def lower(self, *args: Any, **named: Any) -> Lowered:
        """Return the program for arguments of these types."""

    def compile(self, *args: Any, **named: Any) -> Compiled:
        """Return the machine code for arguments of these types."""


def jit(function: Function, *, check: bool = False) -> Jitted:
    """Return `function` recorded once for each set of argument types.

    Later calls record one step instead of all the ops inside. The function must be
    pure: what it does besides returning a value happens only while it is recorded.
    Floats may be arguments and may change; other arguments that are not tensors are
    part of the key.

    What it becomes for given arguments can be had without calling it, stage by stage:
    `jit(f).trace(*args)` is a `Traced`, `jit(f).lower(*args)` a `Lowered`, and
    `jit(f).compile(*args)` a `Compiled`.

    Args:
        check: at each call, also run the function by itself, interpreted and compiled,
            and compare. For finding errors: it makes calls slow.

    Raises:
        WrongResultError: with `check`, a compiled result is wrong.

    Example:
        >>> import plait
        >>> f = plait.jit(lambda x: plait.tanh(x) + 1)
        >>> f.compile(plait.zeros(3))(plait.ones(3)).shape
        (3,)
    """
    cache: dict[Any, tuple[Graph, Any, list[Any]]] = {}

    def trace(*args: Any, **named: Any) -> Traced:
        leaves, structure = _jit_leaves(args, named)
        graph, out, captured = recorded_graph(cache, function, leaves, structure)
        return Traced(graph, Signature(structure, leaves, out), captured)

    @functools.wraps(function)
    def wrapped(*args: Any, **named: Any) -> Any:
        leaves, structure = _jit_leaves(args, named)
        if check and recorder.trace.function is None:
            trace(*args, **named).check(*args, **named)
        walk = recorder.trace
        parts: list[Any] = [wrapped, structure]
        numbers: list[Any] = []
        for x in leaves:
            if isinstance(x, Tensor):
                parts.append(x._node if x._trace is walk else enter(walk, x))
            elif isinstance(x, float):
                parts.append(float)
                numbers.append(x)
            else:
                parts.append((x.__class__, x))
        key = tuple(parts)
        before = walk.step
        try:
            shortcut = before.next.get(key)
        except TypeError:
            raise unhashable(leaves) from None
        if shortcut is not None:
            step, out, fixed = shortcut.result
            numbers += fixed
            walk.values += numbers
            walk.owners += [None] * len(numbers)
            walk.step = step
            return unflatten(out, all_pending(walk, step.result))
        graph, out, captured = recorded_graph(cache, function, leaves, structure)
        operands = [x for x in leaves if isinstance(x, (Tensor, float))]
        results = record(inlined, [*operands, *captured], (graph,))
        # A step made before is found again by the raw arguments, unless tensors from
        # outside enter with them.
        if walk.step.parent is before and not any(
            isinstance(x, Tensor) for x in captured
        ):
            before.next[key] = Step(before, (walk.step, out, captured), ())
        return unflatten(out, results)

    wrapped.__dict__.update(
        trace=trace,
        lower=lambda *args, **named: trace(*args, **named).lower(),
        compile=lambda *args, **named: trace(*args, **named).lower().compile(),
    )
    return cast(Jitted, wrapped)


def _jit_leaves(args: tuple[Any, ...], named: dict[str, Any]) -> tuple[list[Any], Any]:
    leaves, structure = flatten((args, named))
    leaves = [asarray(x) if isinstance(x, np.ndarray) else x for x in leaves]
    return leaves, structure


def recorded_graph(
    cache: dict[Any, Any], function: Function, leaves: list[Any], structure: Any
) -> Any:
    """Return the graph of `function` for arguments of these types, recorded once."""
    key = (
        structure,
        recorder.grad_enabled,
        recorder.autocast,
        tuple([
            (x._node.type, x.requires_grad) if isinstance(x, Tensor)
            else float if isinstance(x, float) else (type(x), x)
            for x in leaves
        ]),
    )  # fmt: skip
    found = cache.get(key)
    if found is None or _outdated(*found):
        found = cache[key] = _jit_graph(function, leaves, structure)
    return found


def _outdated(graph: Graph, _: Any, captured: list[Any]) -> bool:
    """Return whether a tensor from outside has changed its type since."""
    inputs = graph.inputs[len(graph.inputs) - len(captured) :]
    return any(
        isinstance(x, Tensor)
        and (
            x._node.type is not node.type or x.requires_grad is not node.differentiable
        )
        for x, node in zip(captured, inputs, strict=True)
    )


def unhashable(leaves: Sequence[Any]) -> ArgumentTypeError:
    """Return the error of an argument that can be no part of a key."""
    for x in leaves:
        try:
            hash(x)
        except TypeError:
            return ArgumentTypeError(
                "[jit] an argument is no tensor and cannot be part of a key",
                got=f"a {type(x).__name__}",
                expected="tensors, floats, what is hashable, and trees of them",
            )
    raise AssertionError("one of them is not hashable")


def _jit_graph(function: Function, leaves: list[Any], structure: Any) -> Any:
    places = [i for i, x in enumerate(leaves) if isinstance(x, (Tensor, float))]
    samples = [leaves[i] for i in places]
    types = [
        TensorType((), float64) if isinstance(x, float) else x._node.type
        for x in samples
    ]
    kinds = [
        NUMBER if isinstance(x, float) else LEAF if x.requires_grad else CONSTANT
        for x in samples
    ]
    found: list[Any] = []

    def flat(arguments: list[Tensor]) -> list[Any]:
        full = list(leaves)
        for i, argument in zip(places, arguments, strict=True):
            full[i] = argument
        args, named = unflatten(structure, full)
        result, out = flatten(function(*args, **named))
        found.append(out)
        return result

    recorded = record_function("jit", flat, types, kinds)
    return recorded.graph, found[0], recorded.captured


def plan(function: Function, *args: Any, **named: Any) -> Plan:
    """Return what a call of a function will need and cost, without computing it.

    Args:
        function: a pure function, as for `jit`.
        args, named: its arguments. Tensors that are only recorded, such as
            `plait.zeros(1000, 1000)`, stay so: nothing takes memory.

    Returns:
        A `Plan`; printed, it is a table of bytes, operations and times, by the lines
        that recorded them.
    """
    return jit(function).trace(*args, **named).plan()
