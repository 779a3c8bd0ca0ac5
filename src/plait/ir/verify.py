"""Checks that a graph keeps the rules that every transform relies on.

Read first: `verify`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from ..errors import GraphError, PlaitError
from .build import INPUT, PICK
from .graph import Graph, Node, TensorType
from .text import MAX_NESTING, Names, is_pick, step_text


def verify(graph: Graph) -> None:
    """Raise unless `graph`, and each graph in its attributes, is well-formed.

    Inputs are nodes of the primitive `input`, each named once. Every other node is made
    of operands in order, none of them an input from elsewhere; its attributes can be
    hashed; and its type is the one that its primitive infers. Nodes with several
    results are used through `pick` only.

    Raises:
        GraphError: it is not. The message shows the faulty node as a step of the text.
    """
    depth = {graph: 0}
    waiting = [graph]
    while waiting:
        outer = waiting.pop()
        for inner in _Check(outer).run():
            if depth[outer] == MAX_NESTING:
                raise GraphError(
                    f"[verify] more than {MAX_NESTING} graphs in one another"
                )
            if inner not in depth:
                waiting.append(inner)
                depth[inner] = depth[outer] + 1


class _Check:
    """The check of one graph; `order` holds the nodes found good so far."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order: list[Node] = []

    def run(self) -> list[Graph]:
        """Check all nodes and return the graphs found in attributes."""
        inputs = set(self.graph.inputs)
        if len(inputs) != len(self.graph.inputs):
            self.fail("an input is named twice", got=repr(self.graph))
        for node in self.graph.inputs:
            if node.primitive is not INPUT or not isinstance(node.type, TensorType):
                self.fail("an input is not of the primitive 'input'", node)
        inner: list[Graph] = []
        for node in self.ordered(inputs):
            inner.extend(self.step(node))
            self.order.append(node)
        for node in self.graph.outputs:
            if not isinstance(node.type, TensorType):
                self.fail("an output has several results", node)
        return inner

    def ordered(self, inputs: set[Node]) -> Iterator[Node]:
        """Yield the nodes, operands first; a node that needs itself is a fault."""
        done = set(inputs)
        open_: set[Node] = set()
        stack = list(reversed(self.graph.outputs))
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            if not isinstance(node, Node):
                self.fail("something else than a node", got=type(node).__name__)
            waiting = [x for x in node.operands if x not in done]
            if waiting:
                if node in open_:
                    self.fail("a node needs itself", node)
                open_.add(node)
                stack.extend(reversed(waiting))
                continue
            yield node
            stack.pop()
            done.add(node)

    def step(self, node: Node) -> list[Graph]:
        """Check one node whose operands are good; return the graphs it holds."""
        if node.primitive is INPUT:
            self.fail("an input is not among the graph's inputs", node)
        for name, value in node.attributes.items():
            try:
                hash(value)
            except TypeError:
                self.fail(f"the attribute {name} cannot be hashed", node)
        if node.primitive is PICK:
            if not is_pick(node):
                self.fail("the result picked is not there", node)
        else:
            for operand in node.operands:
                if not isinstance(operand.type, TensorType):
                    self.fail("an operand has several results and is not picked", node)
        try:
            types = [operand.type for operand in node.operands]
            expected = node.primitive.infer(*types, **node.attributes)
        except PlaitError as error:
            self.fail("the primitive refuses its operands", node, error.message)
        except Exception as error:  # any fault of a rule is one of the node here
            reason = f"{type(error).__name__}: {error}"
            self.fail("the primitive refuses its operands", node, reason)
        if node.type != expected:
            self.fail(
                "the recorded type differs from the inferred one", node,
                f"inferred {expected!r}",
            )  # fmt: skip
        if isinstance(node.type, TensorType) and (node.shape, node.dtype) != (
            node.type.shape, node.type.dtype,
        ):  # fmt: skip
            self.fail("shape and dtype are not those of the type", node)
        return list(_graphs(node.attributes.values()))

    def fail(
        self, what: str, node: Node | None = None, reason: str = "", *, got: str = ""
    ) -> NoReturn:
        """Raise a GraphError that shows `node`."""
        where = None
        if node is not None:
            names = Names(self.graph.inputs, [*self.order, node])
            got = step_text(node, names) + (f"; {reason}" if reason else "")
            where = node.where or None
        raise GraphError(f"[verify] {what}", got=got, where=where)


def _graphs(values: Any) -> Iterator[Graph]:
    stack = list(values)
    while stack:
        value = stack.pop()
        if isinstance(value, Graph):
            yield value
        elif isinstance(value, tuple):
            stack.extend(value)
