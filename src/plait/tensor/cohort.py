"""Tensors that got their values together, as by an optimizer, enter a trace together.

A large model has many parameters. As one step of the trie they enter several times
faster than one after another.

Read first: `Cohort`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

from ..ir.build import make_input
from .trie import Step, Trace, roots

if TYPE_CHECKING:
    from .tensor import Tensor


class Cohort:
    """Tensors that have values, no history, and keep their types.

    The first of them that a trace needs brings the others along. They are not kept
    alive.

    Attributes:
        members: weak references to them.
        key: that of the step by which they enter, equal for equal types.
        valid: whether all are still as they were, but for their values.
    """

    __slots__ = ("members", "key", "valid")

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.members = [ref(tensor) for tensor in tensors]
        self.valid = True
        parts = tuple([(x._node.type, x._requires_grad) for x in tensors])
        self.key = ("enter", _numbers.setdefault(parts, next(_count)))
        for tensor in tensors:
            tensor._cohort = self

    def enter(self, trace: Trace) -> None:
        """Have the tensors enter `trace`, unless one of them cannot."""
        try:
            tensors: list[Any] = [member() for member in self.members]
            values = [tensor._value for tensor in tensors]
        except AttributeError:  # one is gone
            self.valid = False
            return
        for value in values:
            if value is None:  # for now: another thread is changing it
                return
        step = trace.step.next.get(self.key)
        if step is None:
            step = trace.step.next.setdefault(self.key, _entered(trace.step, tensors))
            roots.count += 1
        # The step comes last: other threads take as many values as their step needs.
        trace.values += values
        trace.owners += tensors
        trace.step = step
        for tensor, node in zip(tensors, step.result, strict=True):
            tensor._trace = trace
            tensor._node = node


# A number has a hash that need not be computed from that of all types each time.
_numbers: dict[Any, int] = {}
_count = itertools.count()


def _entered(parent: Step, tensors: Sequence[Any]) -> Step:
    nodes = []
    for tensor in tensors:
        type = tensor._node.type
        kind = tensor._requires_grad
        nodes.append(make_input(type.shape, type.dtype, differentiable=kind))
    return Step(parent, tuple(nodes), tuple(nodes))


def form(tensors: Sequence[Tensor]) -> None:
    """Have `tensors` enter together from now on, unless they do already.

    Those that require a gradient are apart: an evaluation has no need of the others.
    """
    first, last = tensors[0]._cohort, tensors[-1]._cohort
    if first is None or last is None or not (first.valid and last.valid):
        for kind in (True, False):
            alike = [tensor for tensor in tensors if tensor._requires_grad is kind]
            if alike:
                Cohort(alike)
