"""Makes a graph smaller, faster and more accurate, and keeps what it means.

Equal expressions are computed once, dead code drops out, constants are folded, and the
rules of `ALGEBRA`, `MOVES` and `STABLE` are applied until none does.

Read first: `simplify`, and the tables of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import PlaitError
from ..ir.build import PICK, inline
from ..ir.graph import Graph, Node, TensorType, remembered
from ..ir.rewrite import Rule, rewrite
from ..ops.elementwise import (
    ADD,
    BITWISE_AND,
    BITWISE_OR,
    BITWISE_XOR,
    CAST,
    EQUAL,
    MULTIPLY,
    NOT_EQUAL,
)  # fmt: skip
from ..ops.movement import EXPAND
from ..ops.reduce import SUM
from ..ops.source import CONSTANT, STOP_GRADIENT, VARIABLE
from .algebra import ALGEBRA
from .control import COND
from .moves import MOVES, element_at_extremum
from .patterns import expanded, full, literal, number, scalar
from .region import CUSTOM
from .stable import STABLE

COMMUTATIVE = (ADD, MULTIPLY, EQUAL, NOT_EQUAL, BITWISE_AND, BITWISE_OR, BITWISE_XOR)

# A node is folded if it has at most so many elements, and its operands together too.
MOST_FOLDED = 1024
# Primitives that are no function of their operands.
UNFOLDED = ("random_bits",)


def simplify(
    graph: Graph,
    *,
    final: bool = True,
    exact: bool = False,
    observe: Callable[[Rule, Node, Node], None] | None = None,
) -> Graph:
    """Return a graph of the same inputs and the same values, cheaper to run.

    Graphs in attributes are simplified too. Takes linear time, and no recursion: a
    graph may be 100,000 nodes deep.

    Args:
        final: no derivative will be taken any more, so that `stop_gradient` and
            `variable` are mere identities.
        exact: apply only rules that keep every bit, but for the signs and payloads of
            nans. Else sums may be reordered, and formulas that overflow or cancel be
            replaced by stable ones: values differ by rounding, or are more accurate.
        observe: told of each replacement: the rule, the node, and what replaced it.
    """
    if observe is None:
        return _simplified(graph, final, exact)
    return _rewritten(graph, final, exact, observe)


@remembered
def _simplified(graph: Graph, final: bool, exact: bool) -> Graph:
    return _rewritten(graph, final, exact, None)


def _rewritten(
    graph: Graph,
    final: bool,
    exact: bool,
    observe: Callable[[Rule, Node, Node], None] | None,
) -> Graph:
    rules = RULES + FINAL if final else RULES
    return rewrite(
        graph,
        [rule for rule in rules if rule.exact or not exact],
        commutative=COMMUTATIVE,
        distinct=() if final else (VARIABLE,),
        inner=lambda graph: _simplified(graph, final, exact),
        observe=observe,
    )


# Constants


def one_constant(node: Node) -> Node | None:
    """`constant([c, c]) -> expand(c)`"""
    if node.shape == ():
        return None
    return _uniform(node, node.attributes["value"].array)


def _uniform(node: Node, array: np.ndarray) -> Node | None:
    """Return `array` as an expanded scalar if its elements are all of the same bits."""
    if array.size == 0:
        return None
    first = array.reshape(-1)[:1]
    bits = array.view(f"u{array.itemsize}")
    if not (bits == first.view(bits.dtype)).all():
        return None
    return expanded(node, literal(node, first.reshape(())), array.shape)


def fold(node: Node) -> Node | None:
    """`f(constant, ...) -> constant`, if it is small or elementwise over scalars"""
    if not _may_fold(node):
        return None
    scalars = [scalar(x) for x in node.operands]
    uniform = [x for x in scalars if x is not None]
    if node.primitive.batch == "elementwise" and len(uniform) == len(scalars):
        value = _evaluated(node, uniform, TensorType((), node.dtype))
        return None if value is None else full(node, value)
    if max(node.size, sum(x.size for x in node.operands)) > MOST_FOLDED:
        return None
    arrays = [_array(x) for x in node.operands]
    known = [x for x in arrays if x is not None]
    if len(known) < len(arrays):
        return None
    value = _evaluated(node, known, node.type)
    if value is None:
        return None
    return _uniform(node, value) or literal(node, value)


def _may_fold(node: Node) -> bool:
    if not node.operands or node.primitive in (EXPAND, VARIABLE):
        return False
    if node.primitive.name in UNFOLDED:
        return False
    if not all(isinstance(x.type, TensorType) for x in (node, *node.operands)):
        return False
    return not any(isinstance(value, Graph) for value in node.attributes.values())


def _array(node: Node) -> np.ndarray | None:
    """Return the value of a constant, or of one that was expanded."""
    if node.primitive is CONSTANT:
        array: np.ndarray = node.attributes["value"].array
        return array
    if node.primitive is EXPAND and node.operands[0].primitive is CONSTANT:
        return np.broadcast_to(node.operands[0].attributes["value"].array, node.shape)
    return None


def _evaluated(
    node: Node, operands: list[np.ndarray], type: TensorType
) -> np.ndarray | None:
    try:
        value = np.asarray(node.primitive.reference(*operands, **node.attributes))
    except PlaitError:  # it shall be raised where the graph runs
        return None
    if value.shape != type.shape or value.dtype != type.dtype.numpy:
        return None
    return np.array(value, order="C")


# When derivatives are done


def identity(node: Node) -> Node | None:
    """`stop_gradient(x) -> x, variable(x) -> x`"""
    return node.operands[0]


def cast_weak(node: Node) -> Node | None:
    """`cast(x) -> x`, of a weak x to the dtype it has"""
    (x,) = node.operands
    return x if x.dtype is node.dtype else None


def custom_derivative(node: Node) -> Node | None:
    """`pick(custom_vjp(x)) -> what its function returns`"""
    inner = node.operands[0]
    if inner.primitive is not CUSTOM:
        return None
    return _result(inner.attributes["graph"], node, inner.operands)


def _result(graph: Graph, node: Node, operands: Sequence[Node]) -> Node:
    only = Graph(graph.inputs, [graph.outputs[node.attributes["index"]]])
    return inline(only, operands)[0]


# Control flow


def known_branch(node: Node) -> Node | None:
    """`pick(cond(True, x)) -> what the true branch returns`, the same for False"""
    inner = node.operands[0]
    predicate = number(inner.operands[0]) if inner.primitive is COND else None
    if predicate is None:
        return None
    graph = inner.attributes["true_graph" if predicate else "false_graph"]
    return _result(graph, node, inner.operands[1:])


FINAL = (
    Rule(identity, (STOP_GRADIENT, VARIABLE)),
    Rule(cast_weak, (CAST,)),
    Rule(custom_derivative, (PICK,)),
    Rule(element_at_extremum, (SUM,), exact=False),
)
CONTROL = (Rule(known_branch, (PICK,)),)
CONSTANTS = (Rule(one_constant, (CONSTANT,)), Rule(fold, ()))
RULES = (*CONSTANTS, *CONTROL, *ALGEBRA, *MOVES, *STABLE)
