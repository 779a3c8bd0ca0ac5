"""Derivatives across a run: leaves that were computed before are linked to the
expressions they came from.

Read first: `adopt_all`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TracingError
from ..ir.build import INPUT, rebuild
from ..ir.graph import Node
from . import trie
from .history import History, Kept
from .record import enter, enter_value, kind_of
from .run import flush
from .trie import (
    COMPUTED,
    CONSTANT,
    LEAF,
    SPENT,
    Step,
    Trace,
    follow,
    pending,
    recorder,
)

if TYPE_CHECKING:
    from .tensor import Tensor


def watch(tensor: Tensor, hooks: Any) -> None:
    """Have `hooks` called with the gradient of `tensor`, which was computed.

    Raises:
        TracingError: inside a function that is being recorded.
    """
    if recorder.trace.function is not None:
        raise TracingError(
            "[register_hook] a hook is never called while the function given to "
            f"{recorder.trace.function} is recorded",
            fix="use plait.custom_vjp",
        )
    origin = tensor._history
    if tensor._value is not None and origin is not None and origin is not SPENT:
        history, node = origin
        holder = history.kept.get(node)
        if holder is None and node not in history.spent:
            history.kept[node] = Kept(tensor._value, COMPUTED, tensor)
        history.hooks[node] = hooks
        # What was linked to this history without the hooks is linked anew.
        flush(recorder.trace)
    trace = recorder.trace
    node = enter(trace, tensor)
    trace.hooked[node] = hooks
    if node.operands:
        # A tensor may come to stand for another value. This one does not.
        trace.marks.append(pending(trace, node))


def adopt_all(trace: Trace) -> None:
    """Link every leaf that was computed before a flush to the expression it came
    from.
    """
    while trace.historic:
        leaf = trace.historic.pop()
        if leaf not in trace.linked:
            _adopt(trace, leaf)


def _adopt(trace: Trace, leaf: Node) -> None:
    history, node = trace.origins[leaf]
    program = history.program
    known = trace.adopted.setdefault(history, {})
    place = list(trace.adopted).index(history)
    trace.linked.add(leaf)
    at = program.index[node]
    entered: dict[int, Node] = {}
    linked: list[int] = []
    for i in program.cone(node, kept=not history.hooks):
        if i in known:
            continue
        one = program.order[i]
        kept = history.kept.get(one)
        if kept is not None:
            entered[i] = leaf if i == at else _restore(trace, history, one, kept)
            if one.operands and entered[i] in trace.origins:
                linked.append(i)
                trace.linked.add(entered[i])
        elif one.primitive is INPUT:
            # It was let go of, as all that was computed with it was used up.
            trace.origins[leaf] = SPENT
            return
    spent = [
        i
        for i in program.cone(node)
        if history.spent and program.order[i] in history.spent
    ]

    def make() -> Step:
        step = Step(trace.step, None, ())
        table = {**known, **entered}
        cone = [i for i in program.cone(node) if i not in known]
        for i in cone:
            if i in entered and i not in linked:
                continue
            one = program.order[i]
            operands = tuple([table[program.index[x]] for x in one.operands])
            if i in entered:
                step.links[entered[i]] = rebuild(one, operands)
            else:
                table[i] = rebuild(one, operands)
        if table[at] is not leaf:
            step.links[leaf] = table[at]
        step.result = {i: table[i] for i in cone}
        step.spent = frozenset(table[i] for i in spent)
        return step

    key = (
        "adopt", leaf, program.form, at, place, tuple(entered.items()), tuple(spent)
    )  # fmt: skip
    known.update(follow(trace, key, make).result)


def _restore(trace: Trace, history: History, node: Node, kept: Kept) -> Node:
    """Enter a value that `history` keeps, by the tensor that holds it if it still
    does.
    """
    if kept.kind is COMPUTED:
        origin = kept.origin or (history, node)
        return trace.entered.get(origin) or enter(
            trace, _stand_in(node, kept.value, origin)
        )
    tensor = None if kept.handle is None else kept.handle()
    if (
        tensor is not None
        and tensor._value is kept.value
        and kind_of(tensor) is kept.kind
    ):
        return enter(trace, tensor)
    value = np.asarray(kept.value, node.dtype.numpy) if node.weak else kept.value
    # Of a leaf that is gone, as those of transforms are, nobody wants a gradient.
    gone = kept.kind is LEAF and kept.owner is None
    kind = CONSTANT if gone else kept.kind
    leaf = enter_value(trace, node.type, value, kept.owner, kind)
    if kind is SPENT:
        trace.origins[leaf] = SPENT
    return leaf


def _stand_in(node: Node, value: np.ndarray, origin: Any) -> Tensor:
    tensor: Tensor = object.__new__(trie.handle)
    tensor._trace = None
    tensor._node = node
    tensor._value = value
    tensor._history = origin
    return tensor
