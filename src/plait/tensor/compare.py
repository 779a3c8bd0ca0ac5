"""Whether what a compiled program gives is what the interpreter gives, up to rounding.

Sums are added up in another order, and 16-bit floats are rounded less often. How much
that changes a result depends on the program: where a result is off, the program is
interpreted again with each number rounded up or down at random (D. S. Parker, Monte
Carlo Arithmetic, 1997), and may be off by some times what that changes.

Read first: `compare`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import as_dtype
from ..errors import PlaitError, WrongResultError
from ..ir.graph import Graph, Node, TensorType, topological_order

# How far a compiled result may be from the interpreted one, relative to the largest
# number in it, by the coarsest type on the way: some hundred roundings.
TOLERANCES = {"float64": 1e-10, "float32": 2e-4, "float16": 0.02, "bfloat16": 0.1}
# The smallest number of each type. Numbers near it are rounded by as much, however
# small they are, so that results may be off by a few of it.
SMALLEST = {
    "float64": 2.0**-1074, "float32": 2.0**-149, "float16": 2.0**-24,
    "bfloat16": 2.0**-133,
}  # fmt: skip
_FEW = 4
# And in absolute terms: what random roundings change, times this.
_ROUNDED = 16.0
_RUNS = 3
# What does not round.
_EXACT = frozenset({
    "constant", "reshape", "expand", "permute", "slice", "flip", "pad", "concatenate",
    "gather", "windows", "select", "abs", "negative", "max", "min", "maximum",
    "minimum", "bitcast", "floor", "ceil", "round", "trunc", "sign", "sort",
    "stop_gradient", "variable",
})  # fmt: skip


def compare(
    graph: Graph,
    values: Sequence[Any],
    expected: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
) -> None:
    """Raise unless compiled results are the interpreted ones up to rounding.

    Args:
        values: the arguments.

    Raises:
        WrongResultError: a result is another one, naming the line of its node.
    """
    slack: list[float] | None = None
    for i, node in enumerate(graph.outputs):
        wrong = differences(node, expected[i], found[i])
        if not wrong.any():
            continue
        if slack is None:
            slack = _slack(graph, values, expected)
        wrong = differences(node, expected[i], found[i], slack[i])
        if wrong.any():
            raise _error(node, expected[i], found[i], wrong)


def differences(
    node: Node, expected: np.ndarray, found: np.ndarray, slack: Any = 0.0
) -> np.ndarray:
    """Return where a result is not the expected one up to rounding.

    Args:
        slack: how far it may be off besides, in absolute terms.
    """
    tolerance = _tolerance(node)
    if tolerance == 0.0 and not np.any(slack):
        return np.asarray(expected != found)
    right = np.asarray(expected, np.float64)
    got = np.asarray(found, np.float64)
    finite = np.isfinite(right)
    scale = np.abs(right[finite]).max(initial=0.0)
    with np.errstate(all="ignore"):
        near = np.abs(right - got) <= tolerance * scale + _floor(node) + slack
    same = (right == got) | (np.isnan(right) & np.isnan(got))
    return np.asarray(~(same | np.where(finite, near, slack == np.inf)))


def _tolerance(node: Node) -> float:
    """Return that of the coarsest type on the way to a node; 0 for an exact result."""
    if not node.dtype.is_float:
        return 0.0
    return max(TOLERANCES.get(name, 0.0) for name in _types_before(node))


def _floor(node: Node) -> float:
    """Return by how much any number on the way to a node may be rounded."""
    return _FEW * max(SMALLEST.get(name, 0.0) for name in _types_before(node))


def _types_before(node: Node) -> set[str]:
    return {
        type.dtype.name
        for one in topological_order([node])
        for type in ([one.type] if isinstance(one.type, TensorType) else one.type)
    }


def _slack(
    graph: Graph, values: Sequence[Any], expected: Sequence[np.ndarray]
) -> list[float]:
    """Return how far each result may be off, for what roundings do on the way."""
    rng = np.random.default_rng(0)
    slack = [0.0] * len(expected)
    for _ in range(_RUNS):
        try:
            moved = _shaken(graph, values, rng)
        except PlaitError:  # an index that was computed is not in its axis any more
            return [np.inf] * len(expected)
        for i, (x, y) in enumerate(zip(expected, moved, strict=True)):
            right, other = np.asarray(x, np.float64), np.asarray(y, np.float64)
            with np.errstate(all="ignore"):
                off = np.abs(right - other)
            same = (right == other) | (np.isnan(right) & np.isnan(other))
            off = np.where(same, 0.0, np.where(np.isnan(off), np.inf, off))
            slack[i] = max(slack[i], _ROUNDED * float(off.max(initial=0.0)))
    return slack


def _shaken(
    graph: Graph, values: Sequence[Any], rng: np.random.Generator
) -> list[np.ndarray]:
    """Interpret a graph with each number rounded up or down at random."""
    known: dict[Node, Any] = {}
    for node, value in zip(graph.inputs, values, strict=True):
        known[node] = _rounded(np.asarray(value, node.dtype.numpy), rng)
    for node in graph.nodes():
        operands = [known[x] for x in node.operands]
        with np.errstate(all="ignore"):
            value = node.primitive.reference(*operands, **node.attributes)
        if node.primitive.name not in _EXACT and isinstance(node.type, TensorType):
            value = _rounded(np.asarray(value), rng)
        known[node] = value
    return [np.asarray(known[node]) for node in graph.outputs]


def _rounded(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an array with each number rounded up or down to the next."""
    if not as_dtype(array.dtype).is_float:
        return array
    steps = rng.choice([-1.0, 0.0, 1.0], array.shape) * _epsilon(array.dtype)
    with np.errstate(all="ignore"):
        return np.asarray(array.astype(np.float64) * (1.0 + steps), array.dtype)


def _epsilon(dtype: np.dtype[Any]) -> float:
    """Return the distance from 1 to the next number."""
    one = np.ones((), dtype)
    integer = one.view(f"u{dtype.itemsize}") + 1
    return float(np.asarray(integer, f"u{dtype.itemsize}").view(dtype)) - 1.0


def _error(
    node: Node, expected: np.ndarray, found: np.ndarray, wrong: np.ndarray
) -> WrongResultError:
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    error = WrongResultError(
        f"[check] the compiled {node.primitive.name} differs from the interpreted one "
        f"in {int(wrong.sum())} of {wrong.size} elements, first at {at}",
        got=str(found[at]),
        expected=f"{expected[at]}, up to {_tolerance(node):g} of the largest element",
        fix="please report it; settings.execution = 'interpret' goes around it",
    )
    error.where = node.where or error.where
    return error
