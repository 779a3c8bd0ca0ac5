"""New values in the place of old ones, for many tensors in one step: what optimizers
do.

Read first: `updating`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentError, DTypeError, ShapeError, TracingError
from ..ir.build import INPUT
from ..trees import flatten
from .cohort import form
from .jit import inlined, recorded_graph, unhashable
from .record import autocast_mode, enter, grad_mode, record
from .run import replace
from .tensor import Tensor
from .trie import Step, recorder

Rule = Callable[[Sequence[Tensor], Sequence[Any]], Sequence[Tensor]]


def updating(rule: Rule) -> Callable[[Sequence[Tensor], Sequence[Any]], None]:
    """Return a function that gives tensors the values that `rule` computes.

    Called with tensors and operands, it has each tensor stand for what
    `rule(tensors, operands)` returns at its place, without derivative, and runs all
    that is recorded. If that fails, nothing is changed. The rule is recorded once for
    each set of types, as under `jit`: operands may be trees, floats in them may change,
    and whatever else is no tensor is part of the key. The memory of old values that
    nobody else holds is used for the new ones.

    Args:
        rule: takes the tensors and the operands, returns a tensor for each of the
            tensors, of its shape and dtype. It must be pure.

    Example:
        >>> import plait
        >>> decay = plait.updating(lambda tensors, k: [x * k[0] for x in tensors])
        >>> x = plait.ones(2)
        >>> decay([x], [0.5])
        >>> x.tolist()
        [0.5, 0.5]
    """
    cache: dict[Any, Any] = {}

    def constant(tensors: Sequence[Tensor], operands: Sequence[Any]) -> list[Tensor]:
        with grad_mode(False), autocast_mode(None):
            new = list(rule(tensors, operands))
            return [x.detach() if x.requires_grad else x for x in new]

    @functools.wraps(rule)
    def updated(tensors: Sequence[Tensor], operands: Sequence[Any] = ()) -> None:
        trace = recorder.trace
        if trace.function is not None:
            raise TracingError(
                "[updating] tensors from outside cannot get new values while the "
                f"function given to {trace.function} is recorded",
                fix="return the new values from the function",
            )
        leaves, structure = flatten(list(operands))
        parts: list[Any] = [updated, len(tensors), structure]
        for x in tensors:
            parts.append(x._node if x._trace is trace else enter(trace, x))
        numbers: list[Any] = []
        for x in leaves:
            if isinstance(x, Tensor):
                parts.append(x._node if x._trace is trace else enter(trace, x))
            elif isinstance(x, float):
                parts.append(float)
                numbers.append(x)
            else:
                parts.append((x.__class__, x))
        key = tuple(parts)
        try:
            shortcut = trace.step.next.get(key)
        except TypeError:
            raise unhashable(leaves) from None
        if shortcut is None:
            shortcut = _first(cache, constant, key, tensors, operands)
            trace = recorder.trace
        else:
            step, fixed, _ = shortcut.result
            numbers += fixed
            trace.values += numbers
            trace.owners += [None] * len(numbers)
            trace.step = step
        replace(trace, tensors, shortcut.result[2])
        if tensors:
            form(tensors)

    return updated


def _first(
    cache: dict[Any, Any],
    rule: Callable[..., Any],
    key: Any,
    tensors: Sequence[Tensor],
    operands: Sequence[Any],
) -> Step:
    """Record an update that was not recorded after this step before.

    Returns:
        A step whose result is: the step recorded, the numbers from outside that enter
        with it, and the nodes of the new values.
    """
    if len({id(x) for x in tensors}) < len(tensors):
        raise ArgumentError("[updating] a tensor is given twice")
    leaves, structure = flatten(((list(tensors), list(operands)), {}))
    trace = recorder.trace
    before = trace.step
    graph, _, captured = recorded_graph(cache, rule, leaves, structure)
    given = [x for x in leaves if isinstance(x, (Tensor, float))]
    new = record(inlined, [*given, *captured], (graph,))
    _check_types(tensors, new)
    trace = recorder.trace
    step = trace.step
    nodes = tuple([x._node for x in new])
    # One place for each new value, though it may go to several tensors.
    places = {node: enter(trace, x) for node, x in zip(nodes, tensors, strict=True)}
    step.replaced = tuple(
        [(old, node) for node, old in places.items() if old.primitive is INPUT]
    )
    made = Step(before, (step, captured, nodes), ())
    # As under `jit`: found again by the raw arguments, unless tensors from outside
    # enter with them.
    if step.parent is before and not any(isinstance(x, Tensor) for x in captured):
        before.next[key] = made
    return made


def _check_types(tensors: Sequence[Tensor], new: Sequence[Tensor]) -> None:
    """Raise ShapeError or DTypeError unless each new value fits in its place."""
    if len(new) != len(tensors):
        raise ArgumentError(
            "[updating] the rule returns one value for each tensor",
            got=f"{len(new)} for {len(tensors)}",
        )
    for old, value in zip(tensors, new, strict=True):
        if value.shape != old.shape:
            raise ShapeError(
                "[updating] a new value differs in shape",
                got=f"{value.shape} for a tensor of shape {old.shape}",
            )
        if value.dtype is not old.dtype:
            raise DTypeError(
                "[updating] a new value differs in type",
                got=f"{value.dtype.name} for a tensor of {old.dtype.name}",
                fix="convert it with .to(dtype)",
            )
