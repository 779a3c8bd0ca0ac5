"""Programs: what is run when somebody looks at a value.

Read first: `Program`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import GradientError
from ..ir.build import make_input
from ..ir.graph import Graph, Node, TensorType, topological_order
from ..ir.text import to_text
from ..ops import movement, source
from ..settings import settings
from ..stopwatch import timed
from ..transform.differentiate import pull_back
from ..transform.simplify import simplify
from .tier import Tiered
from .trie import SPENT, Step, roots


class Program:
    """A graph ready to be run, and what of it later derivatives need.

    Attributes:
        arity: how many leaves it takes.
        targets: the nodes asked for.
        histories: for each target, whether it needs a history, or SPENT.
        roots: the targets that need one.
        saved: further nodes whose values are kept for later derivatives.
        spent: nodes whose derivative was used up before.
        order: what the roots are differentiated by, operands before users. What cannot
            be differentiated is not looked into where its value is saved, nor are
            leaves that were computed.
        index: the place of each node in `order`.
        leaves: the leaves among them, and their places among all leaves.
        donations: leaf -> result, by their places: a leaf that nobody needs once this
            has run, as the result takes its place. See `run`.
        form: equal for programs whose `order` is the same but for its nodes.
    """

    __slots__ = (
        "arity", "targets", "histories", "roots", "saved", "spent", "order", "index",
        "leaves", "donations", "form", "_ends", "_cones", "_graph",
    )  # fmt: skip

    def __init__(self, step: Step, targets: tuple[Node, ...]) -> None:
        inputs = step.inputs()
        spent = step.all_spent()
        self.arity = len(inputs)
        self.targets = targets
        self.histories = [_needs_history(node, spent) for node in targets]
        self.roots = [
            n for n, h in zip(targets, self.histories, strict=True) if h is True
        ]
        self.spent = frozenset(spent) if self.roots else frozenset()
        self.saved = _residuals(self.roots, inputs, spent) if self.roots else []
        self._ends = {n for n in self.saved if not n.differentiable or is_variable(n)}
        self._cones: dict[tuple[Node, bool], list[int]] = {}
        self.order = _ordered(self.roots, self._ends)
        self.index = {node: i for i, node in enumerate(self.order)}
        self.leaves = [(i, x) for i, x in enumerate(inputs) if x in self.index]
        self.form = self._form()
        outputs = tuple(dict.fromkeys((*targets, *self.saved)))
        graph = Graph(inputs, outputs)
        with timed("simplify"):
            simplified = simplify(graph)
        places = {node: i for i, node in enumerate(inputs)}
        results = {node: i for i, node in enumerate(outputs)}
        asked, returned = set(targets), set(simplified.outputs)
        self.donations = {
            places[old]: results[new]
            for old, new in step.replaced or ()
            # Others still need what is kept for derivatives, or handed on.
            if new in asked
            and old not in self.index
            and simplified.inputs[places[old]] not in returned
        }
        for stage, one in (("graph", graph), ("simplified", simplified)):
            if settings.shows(stage):
                print(f"# {stage}\n{to_text(one)}", file=sys.stderr)
        updated = None
        if step.replaced is not None:
            pairs = [(old, new) for old, new in step.replaced if new in results]
            updated = {results[new]: places[old] for old, new in pairs}
        self._graph = Tiered(simplified, graph, updated, bool(self.roots))

    def run(self, values: list[Any]) -> list[np.ndarray]:
        """Return the values of targets and saved nodes, given those of the leaves.

        A result may be written over the leaf that it takes the place of, see
        `donations`, where nobody else holds that memory: the array is its owner, and
        `values` alone refers to the array. (Tensors, views and other libraries that
        see the same memory each hold a reference.) What may fail must not do so, as
        the caller puts the leaves back then.

        Args:
            values: a list that is this call's own.
        """
        return self._graph.run(values)

    def cone(self, node: Node, kept: bool = False) -> list[int]:
        """Return the places of what `node` is computed from, operands before users.

        Args:
            kept: only of what a history may have kept.
        """
        found = self._cones.get((node, kept))
        if found is None:
            cone = _ordered([node], self._ends)
            if kept:
                saved = {*self.saved, *(leaf for _, leaf in self.leaves)}
                cone = [one for one in cone if one in saved]
            found = self._cones[node, kept] = sorted(self.index[one] for one in cone)
        return found

    def _form(self) -> int:
        saved = set(self.saved)
        parts = tuple(
            (
                node.primitive,
                tuple(node.attributes.items()),
                node.type,
                node.differentiable,
                node.weak,
                node in saved,
                node not in self._ends
                and tuple([self.index[operand] for operand in node.operands]),
            )
            for node in self.order
        )
        return roots.forms.setdefault(parts, next(_count)) if parts else 0


_count = itertools.count(1)


def _ordered(nodes: Sequence[Node], ends: set[Node]) -> list[Node]:
    """Return `nodes` and what they need, operands before users, not beyond `ends`."""
    order: list[Node] = []
    done: set[Node] = set()
    stack = list(reversed(nodes))
    while stack:
        node = stack.pop()
        if node in done:
            continue
        waiting = (
            [x for x in node.operands if x not in done] if node not in ends else []
        )
        if waiting:
            stack.append(node)
            stack.extend(reversed(waiting))
        else:
            done.add(node)
            order.append(node)
    return order


def program_of(step: Step, targets: tuple[Node, ...]) -> Program:
    """Return the program that computes `targets` after `step`, made once."""
    program = step.programs.get(targets)
    if program is None:
        program = step.programs.setdefault(targets, Program(step, targets))
    return program


def is_variable(node: Node) -> bool:
    """Return whether `node` is a leaf, though its value was computed."""
    return node.primitive is source.VARIABLE and not node.operands[0].differentiable


def _needs_history(node: Node, spent: set[Node]) -> Any:
    if not node.differentiable or is_variable(node):
        return None
    return SPENT if node in spent else True


def _residuals(
    targets: Sequence[Node], inputs: Sequence[Node], spent: set[Node]
) -> list[Node]:
    """Return the nodes whose values a derivative of `targets` needs."""
    forward = topological_order(targets)
    marks = [n for n in forward if n.primitive is source.VARIABLE and n not in spent]
    wrt = [node for node in inputs if node.differentiable] + marks
    seeds = [
        make_input(node.shape, node.dtype, differentiable=True) for node in targets
    ]
    try:
        cotangents = pull_back(targets, seeds, wrt, fixed=spent)
    except GradientError:
        return marks  # the error belongs to whoever asks for the derivative
    known = {node for node in forward if node.operands}
    needed: dict[Node, None] = dict.fromkeys(marks)
    grown = [ct for ct in cotangents if ct is not None]
    for node in topological_order(grown, lambda node: node not in known):
        for operand in node.operands:
            # What an expanded value was expanded from is smaller.
            while operand in known and operand.primitive is movement.EXPAND:
                (operand,) = operand.operands
            if operand in known:
                needed[operand] = None
    return [node for node in needed if isinstance(node.type, TensorType)]
