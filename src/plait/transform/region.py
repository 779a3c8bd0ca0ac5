"""Regions: graphs held as attributes whose derivative is not that of their primitives.

Read first: `CUSTOM`, `RECOMPUTE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import float64
from ..errors import GradientError, GraphError, ShapeError
from ..ir.build import apply, inline, make_input, picks
from ..ir.evaluate import prepared
from ..ir.graph import Graph, Node, TensorType, remembered
from ..ir.primitive import Failure, Primitive, Sample
from ..ops import elementwise, reduce
from .batch import batch_graph, batch_size
from .derive import (
    Flags,
    check_inputs,
    check_type,
    chosen,
    filled,
    flags_of,
    given,
    narrowed,
    pulled,
    pushed,
    spread,
    taken,
    wanted_of,
)

Types = tuple[TensorType, ...]
Tangents = Sequence[Node | None]


def _float_input(*shape: int) -> Node:
    return make_input(shape, float64, differentiable=True)


# Custom derivative


def _custom_infer(
    *types: TensorType,
    graph: Graph,
    forward_graph: Graph,
    backward_graph: Graph,
    captured: int,
    wrt: tuple[int, ...],
) -> Types:
    check_inputs("custom_vjp", graph, types, "function")
    check_inputs("custom_vjp", forward_graph, types, "forward function")
    results = tuple(y.type for y in graph.outputs)
    forward = [y.type for y in forward_graph.outputs]
    if len(forward) < len(results):
        raise ShapeError(
            "[custom_vjp] the forward function returns fewer results than the function",
            got=f"{len(forward)} and {len(results)}",
        )
    for i, (one, other) in enumerate(zip(results, forward, strict=False)):
        check_type(
            f"[custom_vjp] result {i} of the forward function differs",
            f"{other!r} for {one!r}", other, one,
        )  # fmt: skip
    residuals = forward[len(results) :]
    check_inputs(
        "custom_vjp", backward_graph, (*residuals, *results), "backward function"
    )
    if len(backward_graph.outputs) != len(wrt):
        raise ShapeError(
            "[custom_vjp] the backward function does not return one cotangent for each "
            "argument",
            got=f"{len(backward_graph.outputs)} cotangents for {len(wrt)} arguments",
        )
    for position, ct in zip(wrt, backward_graph.outputs, strict=True):
        i, expected = position - captured, types[position]
        if expected.dtype.is_float:
            check_type(
                f"[custom_vjp] the cotangent of argument {i} is not of its type",
                f"{ct.type!r} for {expected!r}", ct.type, expected,
            )  # fmt: skip
    return results


def _custom_reference(*operands: Any, graph: Graph, **_: Any) -> tuple[Any, ...]:
    return tuple(prepared(graph).run(operands))


def _custom_vjp(
    cotangents: Tangents, node: Node, *operands: Node, wanted: Flags | None = None
) -> list[Node | None]:
    attributes = node.attributes
    wanted = wanted_of(operands) if wanted is None else wanted
    if any(wanted[: attributes["captured"]]):
        raise GradientError(
            "[custom_vjp] the function uses a differentiable value that is no argument",
            got=f"recorded at {node.where}" if node.where else "",
            fix="make it an argument, or detach it",
        )
    results = inline(attributes["forward_graph"], operands)
    outputs, residuals = results[: len(cotangents)], results[len(cotangents) :]
    full = filled(cotangents, outputs, (True,) * len(outputs))
    found: list[Node | None] = [None] * len(operands)
    backward = inline(attributes["backward_graph"], (*residuals, *full))
    for position, ct in zip(attributes["wrt"], backward, strict=True):
        if operands[position].dtype.is_float:
            found[position] = ct
    return found


@remembered
def _backward_batched(
    backward: Graph, residuals: Flags, summed: Flags, size: int
) -> Graph:
    """Return the backward function vectorised.

    Args:
        residuals: which residuals are batched; cotangents all are.
        summed: which cotangents belong to operands shared by all examples.
    """
    flags = residuals + (True,) * (len(backward.inputs) - len(residuals))
    graph, _ = batch_graph(backward, flags, size, True)
    outputs = [
        reduce.sum_over(ct, (0,)) if total and ct.dtype.is_float else ct
        for ct, total in zip(graph.outputs, summed, strict=True)
    ]
    return Graph(graph.inputs, outputs)


def _custom_batch(
    operands: Sequence[Node], flags: Sequence[bool], node: Node
) -> Sequence[Node]:
    attributes = node.attributes
    size = batch_size(operands, flags)
    taken = tuple(flags)
    graph, done = batch_graph(attributes["graph"], taken, size, True)
    count = len(done)
    forward = attributes["forward_graph"]
    force = tuple(i < count for i in range(len(forward.outputs)))
    forward, residuals = batch_graph(forward, taken, size, force)
    backward = _backward_batched(
        attributes["backward_graph"], residuals[count:],
        tuple(not flags[position] for position in attributes["wrt"]), size,
    )  # fmt: skip
    return picks(
        apply(
            CUSTOM, *operands, graph=graph, forward_graph=forward,
            backward_graph=backward, captured=attributes["captured"],
            wrt=attributes["wrt"],
        )
    )  # fmt: skip


def _clipped() -> dict[str, Any]:
    """Return sample graphs over k (2); x (2): k * sin(x), and its derivative."""
    k, x = make_input((2,), float64), _float_input(2)
    value = elementwise.multiply(k, elementwise.sin(x))
    slope, ct = _float_input(2), _float_input(2)
    return {
        "graph": Graph((k, x), (value,)),
        "forward_graph": Graph(
            (k, x), (value, elementwise.multiply(k, elementwise.cos(x)))
        ),
        "backward_graph": Graph((slope, ct), (elementwise.multiply(slope, ct),)),
        "captured": 1,
        "wrt": (1,),
    }


def _backward_of_another_shape() -> dict[str, Any]:
    slope, ct = _float_input(2), _float_input(2)
    total = reduce.sum_over(elementwise.multiply(slope, ct), (0,))
    return {**_clipped(), "backward_graph": Graph((slope, ct), (total,))}


_K, _X = np.array([2.0, -1.0]), np.array([0.4, 1.3])
CUSTOM = Primitive(
    name="custom_vjp",
    infer=_custom_infer,
    reference=_custom_reference,
    vjp=_custom_vjp,
    selective=True,
    batch=_custom_batch,
    # Not smooth: it has no derivative with respect to what it captures.
    samples=lambda: [Sample((_K, _X), _clipped(), smooth=False)],
    failures=lambda: [
        Failure(
            (_K, _X), _backward_of_another_shape(), ShapeError,
            "[custom_vjp] the cotangent of argument 0 is not of its type. "
            "Got: float64[] for float64[2]. "
            "Fix: return values of one shape, with reshape.",
        )
    ],
    source="a graph whose derivative the user gives",
)  # fmt: skip


def custom(
    captured: Sequence[Node],
    operands: Sequence[Node],
    graph: Graph,
    forward_graph: Graph,
    backward_graph: Graph,
    wrt: Sequence[int],
) -> tuple[Node, ...]:
    """Return the results of `graph`, whose derivative is given by two other graphs.

    Args:
        captured: values that `graph` and `forward_graph` take first, as constants.
        operands: the arguments.
        forward_graph: from captured and operands to the results of `graph`, followed by
            residuals for `backward_graph`. Runs in place of `graph` in derivatives.
        backward_graph: from residuals and a cotangent for each result, zeros where it
            is not used, to the cotangents of some operands.
        wrt: which operands: those left out get none.

    Raises:
        ShapeError, DTypeError: results or cotangents have not the types they must have.

    Gradient: what `backward_graph` returns. Forward mode is its transpose, and needs it
    to be linear in the cotangents.
    """
    positions = tuple(len(captured) + i for i in wrt)
    return picks(
        apply(
            CUSTOM, *captured, *operands, graph=graph, forward_graph=forward_graph,
            backward_graph=backward_graph, captured=len(captured), wrt=positions,
        )
    )  # fmt: skip


# Recompute


def _recompute_infer(*types: TensorType, graph: Graph) -> Types:
    check_inputs("recompute", graph, types, "function")
    return tuple(y.type for y in graph.outputs)


@remembered
def _recompute_pulled(
    graph: Graph, wrt: Flags, used: Flags
) -> tuple[Graph, Flags, Flags]:
    """Return the graph of cotangents, what it takes, and which there are."""
    back = pulled(graph, wrt, used)
    whole = Graph((*back.inputs, *given(back.seeds)), given(back.found))
    needed = taken(whole)
    return narrowed(whole, needed), needed, flags_of(back.found)


def _recompute_vjp(
    cotangents: Tangents, node: Node, *operands: Node, wanted: Flags | None = None
) -> list[Node | None]:
    wrt = wanted_of(operands) if wanted is None else wanted
    graph, needed, has = _recompute_pulled(
        node.attributes["graph"], wrt, flags_of(cotangents)
    )
    found = recompute(chosen((*operands, *given(cotangents)), needed), graph)
    return spread(found, has)


@remembered
def _recompute_pushed(graph: Graph, varying: Flags) -> tuple[Graph, Flags, Flags]:
    """Return the graph of tangents, what it takes, and which there are."""
    both = pushed(graph, varying)
    whole = Graph((*both.inputs, *given(both.seeds)), given(both.found))
    needed = taken(whole)
    return narrowed(whole, needed), needed, flags_of(both.found)


def _recompute_jvp(
    tangents: Tangents, node: Node, *operands: Node
) -> list[Node | None]:
    graph, needed, has = _recompute_pushed(node.attributes["graph"], flags_of(tangents))
    found = recompute(chosen((*operands, *given(tangents)), needed), graph)
    return spread(found, has)


def _recompute_batch(
    operands: Sequence[Node], flags: Sequence[bool], node: Node
) -> Sequence[Node]:
    size = batch_size(operands, flags)
    graph, _ = batch_graph(node.attributes["graph"], tuple(flags), size, True)
    return recompute(operands, graph)


def _waves() -> dict[str, Any]:
    """Return a sample graph over x (2), y (2): sin(exp(x) * y), and the sum of y."""
    x, y = _float_input(2), _float_input(2)
    wave = elementwise.sin(elementwise.multiply(elementwise.exp(x), y))
    return {"graph": Graph((x, y), (wave, reduce.sum_over(y, (0,))))}


RECOMPUTE = Primitive(
    name="recompute",
    infer=_recompute_infer,
    reference=lambda *operands, graph: tuple(prepared(graph).run(operands)),
    vjp=_recompute_vjp,
    selective=True,
    jvp=_recompute_jvp,
    batch=_recompute_batch,
    samples=lambda: [Sample((_X, _K), _waves())],
    failures=lambda: [
        Failure(
            (_X, np.zeros(3)), _waves(), GraphError,
            "[recompute] the function does not take what it is given. Got: float64[2], "
            "float64[3]. Expected: float64[2], float64[2].",
        )
    ],
    source="Chen, Xu, Zhang and Guestrin (2016), Training Deep Nets with Sublinear "
    "Memory Cost",
)  # fmt: skip


def recompute(operands: Sequence[Node], graph: Graph) -> tuple[Node, ...]:
    """Return the results of `graph`, of which no intermediate value is kept.

    Gradient: computes the graph again from its operands.
    """
    return picks(apply(RECOMPUTE, *operands, graph=graph))


PRIMITIVES = (CUSTOM, RECOMPUTE)
