"""Rebuilds a graph bottom up: equal nodes become one, and rules replace nodes.

Dead code drops out, since only what the outputs need is rebuilt. Knows no rule.

Read first: `Rule`, `rewrite`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .build import INPUT, flows, rebuild
from .graph import Graph, Node
from .primitive import Primitive

# More replacements than this on average for each node: rules chase one another.
MOST_REPLACEMENTS = 32


@dataclass(frozen=True, eq=False)
class Rule:
    """One way in which a node may be replaced by another of the same type.

    Args:
        function: returns the replacement of a node, or None. The first line of its
            docstring reads `before -> after`. The operands of the node are rewritten
            already, and equal ones are one node, so that `is` compares expressions.
        roots: the primitives of the nodes it looks at; empty means all.
        exact: the value keeps every bit, but for the signs and payloads of nans. Others
            may round differently, never worse beyond a few units in the last place.
    """

    function: Callable[[Node], Node | None]
    roots: tuple[Primitive, ...]
    exact: bool = True

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.__name__.lstrip("_")

    @property
    def statement(self) -> str:
        """The line `before -> after`."""
        return (self.function.__doc__ or "").strip().split("\n")[0]

    def __repr__(self) -> str:
        return f"<rule {self.name}: {self.statement}>"


def derive(
    node: Node, primitive: Primitive, *operands: Node, **attributes: Any
) -> Node:
    """Return `primitive` applied to `operands`, recorded at the place of `node`.

    Unlike the ops, it neither casts nor expands, and a weak operand counts like others.
    """
    type = primitive.infer(*(operand.type for operand in operands), **attributes)
    flowing = flows(primitive, type, operands)
    return Node(primitive, operands, attributes, type, flowing, where=node.where)


def rewrite(
    graph: Graph,
    rules: Iterable[Rule] = (),
    *,
    commutative: Collection[Primitive] = (),
    distinct: Collection[Primitive] = (),
    inner: Callable[[Graph], Graph] = lambda graph: graph,
    observe: Callable[[Rule, Node, Node], None] | None = None,
) -> Graph:
    """Return `graph` with equal nodes merged and `rules` applied until none does.

    Takes time linear in the number of nodes and of replacements, and no recursion. A
    graph in which nothing changes is returned as it is.

    Args:
        rules: tried on each node in this order.
        commutative: primitives of two operands whose order does not matter.
        distinct: primitives whose nodes are never merged, however equal.
        inner: rewrites the graphs in attributes. It must give one graph for one graph.
        observe: told of each replacement: the rule, the node, and what replaced it.
    """
    table: dict[Primitive | None, list[Rule]] = {None: []}
    for rule in rules:
        for root in rule.roots or (None,):
            table.setdefault(root, []).append(rule)
    outputs = _Pass(
        graph, table, frozenset(commutative), frozenset(distinct), inner, observe
    ).run()
    if all(map(operator.is_, outputs, graph.outputs)):
        return graph
    return Graph(graph.inputs, outputs)


class _Pass:
    """The rewriting of one graph.

    `done` maps a node to its final form, `known` a key to the first node with it. A
    node that a rule replaced waits in `replaced`, and on the stack, until the
    replacement is done.
    """

    def __init__(
        self,
        graph: Graph,
        table: Mapping[Primitive | None, list[Rule]],
        commutative: Collection[Primitive],
        distinct: Collection[Primitive],
        inner: Callable[[Graph], Graph],
        observe: Callable[[Rule, Node, Node], None] | None,
    ) -> None:
        self.table = table
        self.commutative = commutative
        self.distinct = distinct
        self.inner = inner
        self.observe = observe
        self.outputs = graph.outputs
        self.done: dict[Node, Node] = {node: node for node in graph.inputs}
        self.known: dict[Any, Node] = {}
        self.serial: dict[Node, int] = {}
        self.replaced: dict[Node, tuple[Node, Node]] = {}
        self.fuel = MOST_REPLACEMENTS

    def run(self) -> list[Node]:
        """Return the outputs rewritten. No recursion: graphs may be deep."""
        done, replaced = self.done, self.replaced
        stack = list(reversed(self.outputs))
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
            elif node in replaced:
                new, replacement = replaced.pop(node)
                done[node] = done[new] = done[replacement]
                stack.pop()
            elif waiting := [x for x in node.operands if x not in done]:
                for x in waiting:
                    if x in replaced:  # a rule put the node itself into its replacement
                        done[x] = x
                stack.extend(reversed(waiting))
            else:
                new = self.merged(node)
                if new in done or (new in replaced and new is not node):
                    done[node] = done.get(new, new)
                    continue
                found = self.replacement(new)
                if found is None or found in replaced:
                    done[node] = done[new] = new
                else:
                    replaced[node] = replaced[new] = (new, found)
                    stack.append(found)
        return [done[node] for node in self.outputs]

    def merged(self, node: Node) -> Node:
        """Return `node` over final operands; an equal node that was met before."""
        if node.primitive is INPUT:
            return node
        operands = tuple([self.done[x] for x in node.operands])
        new = rebuild(node, operands)
        parts: list[Any] = [new.primitive, new.weak]
        if new.primitive in self.commutative:
            operands = tuple(sorted(operands, key=self.number))
        parts.append(operands)
        attributes: dict[str, Any] | None = None
        for name, value in sorted(node.attributes.items()):
            changed = self.value(value)
            if changed is not value:
                attributes = attributes or dict(node.attributes)
                attributes[name] = changed
            parts += (name, attribute_key(changed))
        if attributes is not None:
            new = Node(
                new.primitive, new.operands, attributes, new.type, new.differentiable,
                new.weak, new.where,
            )  # fmt: skip
        if new.primitive in self.distinct:
            return new
        return self.known.setdefault(tuple(parts), new)

    def value(self, value: Any) -> Any:
        """Return the value of an attribute with its graphs rewritten."""
        if isinstance(value, Graph):
            return self.inner(value)
        if isinstance(value, tuple):
            new = tuple(map(self.value, value))
            return value if all(map(operator.is_, new, value)) else new
        return value

    def number(self, node: Node) -> int:
        """Return a number that orders nodes by first use."""
        return self.serial.setdefault(node, len(self.serial))

    def replacement(self, node: Node) -> Node | None:
        """Return what the first rule that applies makes of `node`."""
        self.fuel += MOST_REPLACEMENTS
        if node.primitive is INPUT:
            return None
        for rule in (*self.table[None], *self.table.get(node.primitive, ())):
            found: Node | None = rule.function(node)
            if found is None or found is node:
                continue
            assert found.type == node.type, (rule, node, found)
            self.fuel -= MOST_REPLACEMENTS + 1
            if self.fuel < 0:
                return None
            if self.observe is not None:
                self.observe(rule, node, found)
            return found
        return None


def attribute_key(value: Any) -> Any:
    """Return what tells `value` from others: 0.0 from -0.0, and 1 from 1.0 and True."""
    if isinstance(value, tuple):
        return tuple(map(attribute_key, value))
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, bool):
        return ("bool", value)
    return value
