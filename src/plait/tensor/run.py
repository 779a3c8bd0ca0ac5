"""Running a trace: every tensor of it that is still alive gets its value.

A trace is run ("flushed") when somebody looks at a value. What stays alive then,
together with the step reached, is the key of the program that is run.

Read first: `flush`, `evaluate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ahead import ahead
from ..errors import PlaitError, TracingError
from ..ir.graph import Node
from . import trie
from .execute import program_of
from .history import keep
from .trie import SPENT, Held, Step, Trace, fresh_trace, recorder

if TYPE_CHECKING:
    from .tensor import Tensor


def leaked(trace: Trace) -> TracingError:
    """Return the error of a tensor that outlived the function that made it."""
    return TracingError(
        f"a tensor made inside the function given to {trace.function} was used "
        "after that function had returned",
        fix="return it from the function",
    )


def evaluate(tensor: Tensor) -> np.ndarray:
    """Return the value of `tensor`, running what it needs."""
    while True:
        value: np.ndarray | None = tensor._value
        if value is not None:
            if ahead.wait is not None:
                ahead.wait()
            return value
        trace, node = tensor._trace, tensor._node
        if trace is None:  # another thread has just run it
            continue
        if trace.function is not None:
            if trace.closed:
                raise leaked(trace)
            raise TracingError(
                f"a value was looked at while the function given to {trace.function} "
                "was being recorded",
                got=f"a tensor of type {tensor._node.type!r} without a value",
                fix="use plait.where, plait.cond or plait.while_loop instead of a "
                "Python branch, and return what you need from the function",
            )
        if trace is recorder.trace:
            flush(trace)
        else:
            value = _alone(trace, node, tensor)
            if value is not None:
                return value


def _alone(trace: Trace, node: Node, tensor: Tensor) -> np.ndarray | None:
    """Return the value of one tensor of another thread's trace, of one around a
    function being recorded, or of one that failed; leave the trace as it is.

    Returns:
        None if the other thread has gone on: then the tensor is to be looked at again.
    """
    with trace.lock:
        step = trace.step  # first: there are at least the values that it needs
        held = trace.held()
        # In that order: what had no value then needed all that was held.
        if tensor._value is not None or tensor._trace is not trace:
            return None
        # A trace that was let go is one that the tensor entered while another thread
        # was changing it: that one will give it a value.
        if len(held.values) < len(step.inputs()):
            return None
    other = object.__new__(trie.handle)  # the tensor may come to stand for more
    _compute(step, held.values, {other: node}, held)
    if tensor._trace is trace and tensor._node is node and tensor._value is None:
        tensor._history = other._history
        tensor._value = other._value
    return other._value  # type: ignore[no-any-return]


def flush(trace: Trace) -> None:
    """Run `trace`: give every tensor of it that is still alive its value."""
    live = _close(trace)
    if live:
        try:
            _compute(trace.step, list(trace.values), live, trace)
        except PlaitError:
            _give_up(trace)
            raise
        for tensor in live:
            tensor._trace = None
    trace.let_go()


def replace(trace: Trace, tensors: Sequence[Tensor], nodes: Sequence[Node]) -> None:
    """Run `trace`, and give each of `tensors` the value of a node in place of its own.

    They stand for no expression then. If it fails, nothing has changed.

    During the run nothing refers to the values before but the list that the run gets,
    unless others share them, so that it may write over them: see `Program.run`.
    """
    live = _close(trace)
    live.update(zip(tensors, nodes, strict=True))
    with trace.lock:
        values, trace.values = trace.values, []
        try:
            for tensor in tensors:
                tensor._value = None
            _compute(trace.step, values, live, trace)
        except BaseException as error:
            trace.values = values
            _put_back(trace, tensors)
            if isinstance(error, PlaitError):
                _give_up(trace)
            raise
        if trace.origins:
            for tensor in tensors:
                tensor._history = None
        for tensor in live:
            tensor._trace = None
    trace.let_go()


def _put_back(trace: Trace, tensors: Sequence[Tensor]) -> None:
    """Give `tensors` the values with which they entered."""
    leaves = set(trace.step.inputs())
    pairs = zip(trace.owners, trace.values, strict=True)
    entered = {id(owner): value for owner, value in pairs}
    for tensor in tensors:
        # Others had no value. What is in another thread's trace had one.
        if tensor._trace is not trace or tensor._node in leaves:
            tensor._value = entered[id(tensor)]


def _close(trace: Trace) -> dict[Tensor, Node]:
    """End a trace, and return its tensors that are alive and their nodes."""
    live: dict[Tensor, Node] = {}
    for reference in trace.pending:
        tensor = reference()
        if tensor is not None:
            node = tensor._node
            # One that got another value meanwhile may have entered again, as a leaf.
            if tensor._trace is trace and tensor._value is None:
                live[tensor] = node
    recorder.trace = fresh_trace()
    trace.closed = True
    return live


def _give_up(trace: Trace) -> None:
    """Leave a trace that failed.

    Its tensors stay in it, where looking at one again computes it alone, or gives the
    same error. What entered may go.
    """
    for owner in trace.owners:
        if owner is not None and owner._value is not None:
            owner._trace = None


def _compute(
    step: Step,
    values: list[Any],
    live: dict[Tensor, Node],
    held: Held | Trace,
) -> None:
    """Give tensors their values, and what derivatives need.

    Args:
        values: of the leaves, in a list that nobody else uses.
        held: the owners of the leaves and what else histories are made from.
    """
    nodes = tuple(live.values())
    program = step.programs.get(nodes)
    if program is None:  # new, or several tensors stand for one node
        program = program_of(step, tuple(dict.fromkeys(nodes)))
        step.programs.setdefault(nodes, program)
    history = None
    del values[program.arity :]
    if program.roots:
        kept = list(values)
        results = program.run(values)
        history = keep(program, kept, held, live, results)
    else:
        results = program.run(values)
    kinds = program.histories
    if len(kinds) < len(nodes):
        places = {node: i for i, node in enumerate(program.targets)}
        results = [results[places[node]] for node in nodes]
        kinds = [kinds[places[node]] for node in nodes]
    # There may be further results, which the history has.
    for tensor, value, kind in zip(live, results, kinds, strict=False):
        if kind is not None:
            tensor._history = (history, live[tensor]) if kind is True else SPENT
        tensor._value = value
