"""Control flow: primitives that run graphs which they hold as attributes.

The graphs are closed: values that a branch or body uses from outside are operands, put
first and called *captured*. Each primitive has several results; the function at the end
of each section returns them.

Derivatives and vectorised forms are again made of these primitives, so they nest. What
is derived from a graph is remembered with it. A loop of a known number of steps, which
has a derivative in reverse mode, stands in `scan`.

Read first: `COND`, `WHILE`, `cond`, `while_loop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..dtypes import bool_, float32, int64
from ..errors import DTypeError, GradientError, ShapeError
from ..ir.build import apply, inline, make_input, picks
from ..ir.evaluate import prepared
from ..ir.graph import Graph, Node, TensorType, remembered
from ..ir.primitive import Failure, Primitive, Sample
from ..ops import elementwise, movement, reduce
from .batch import batch_graph, batch_size
from .carry import (
    Tangents,
    Types,
    all_expanded,
    all_varying,
    check_state,
    float_input,
    grow,
    interleaved,
)
from .derive import (
    Derived,
    Flags,
    check_inputs,
    check_type,
    chosen,
    filled,
    flags_of,
    given,
    narrowed,
    opened,
    pulled,
    pushed,
    spread,
    taken,
    wanted_of,
)


def _choose(predicate: Node, x: Node, y: Node) -> Node:
    """Return for each example `x` where `predicate` is true, else `y`."""
    column = movement.reshape(predicate, (*predicate.shape, *(1,) * (x.ndim - 1)))
    return elementwise.select(movement.expand(column, x.shape), x, y)


def _check_predicate(name: str, what: str, type: TensorType) -> None:
    if type.shape != ():
        raise ShapeError(
            f"[{name}] {what} must be one bool",
            got=repr(type),
            fix="reduce it with any() or all(), or use plait.vmap or plait.where",
        )
    if type.dtype is not bool_:
        raise DTypeError(
            f"[{name}] {what} must be one bool",
            got=repr(type),
            fix="compare, for example x != 0",
        )


# Cond


def _cond_infer(
    predicate: TensorType, *types: TensorType, true_graph: Graph, false_graph: Graph
) -> Types:
    _check_predicate("cond", "the predicate", predicate)
    check_inputs("cond", true_graph, types, "true branch")
    check_inputs("cond", false_graph, types, "false branch")
    if len(true_graph.outputs) != len(false_graph.outputs):
        raise ShapeError(
            "[cond] the branches differ in the number of results",
            got=f"{len(true_graph.outputs)} from the true branch, "
            f"{len(false_graph.outputs)} from the false branch",
        )
    for i, (x, y) in enumerate(
        zip(true_graph.outputs, false_graph.outputs, strict=True)
    ):
        check_type(
            f"[cond] result {i} differs between the branches",
            f"{x.type!r} from the true branch, {y.type!r} from the false branch",
            y.type, x.type,
        )  # fmt: skip
    return tuple(x.type for x in true_graph.outputs)


def _cond_reference(
    predicate: Any, *operands: Any, true_graph: Graph, false_graph: Graph
) -> tuple[Any, ...]:
    return tuple(prepared(true_graph if predicate else false_graph).run(operands))


class _Branches(NamedTuple):
    """Branches made of others, what they take, and which of all results they return."""

    true_graph: Graph
    false_graph: Graph
    needed: Flags
    has: Flags

    def run(
        self, predicate: Node, operands: Sequence[Node], others: Tangents
    ) -> list[Node | None]:
        """Return the results, given operands and the cotangents or tangents."""
        operands = chosen((*operands, *given(others)), self.needed)
        results = cond(predicate, operands, self.true_graph, self.false_graph)
        return spread(results, self.has)


def _branches_of(
    derived: Sequence[Derived], models: Sequence[Sequence[Node]]
) -> _Branches:
    """Return branches that compute what either of `derived` found, like `models`."""
    has = tuple(
        any(pair) for pair in zip(*(flags_of(d.found) for d in derived), strict=True)
    )
    graphs = [
        Graph((*d.inputs, *given(d.seeds)), filled(d.found, model, has))
        for d, model in zip(derived, models, strict=True)
    ]
    needed = taken(*graphs)
    first, second = (narrowed(graph, needed) for graph in graphs)
    return _Branches(first, second, needed, has)


@remembered
def _cond_pulled(
    true_graph: Graph, false_graph: Graph, wrt: Flags, used: Flags
) -> _Branches:
    derived = [pulled(graph, wrt, used) for graph in (true_graph, false_graph)]
    return _branches_of(derived, [d.inputs for d in derived])


def _cond_vjp(
    cotangents: Tangents,
    node: Node,
    predicate: Node,
    *operands: Node,
    wanted: Flags | None = None,
) -> list[Node | None]:
    branches = _cond_pulled(
        node.attributes["true_graph"],
        node.attributes["false_graph"],
        wanted_of(operands) if wanted is None else wanted[1:],
        flags_of(cotangents),
    )
    return [None, *branches.run(predicate, operands, cotangents)]


@remembered
def _cond_pushed(true_graph: Graph, false_graph: Graph, varying: Flags) -> _Branches:
    derived = [pushed(graph, varying) for graph in (true_graph, false_graph)]
    return _branches_of(derived, [d.outputs for d in derived])


def _cond_jvp(
    tangents: Tangents, node: Node, predicate: Node, *operands: Node
) -> list[Node | None]:
    branches = _cond_pushed(
        node.attributes["true_graph"],
        node.attributes["false_graph"],
        flags_of(tangents[1:]),
    )
    return branches.run(predicate, operands, tangents[1:])


def _cond_batch(
    operands: Sequence[Node], flags: Sequence[bool], node: Node
) -> Sequence[Node]:
    size = batch_size(operands, flags)
    first, second = (
        batch_graph(node.attributes[name], tuple(flags[1:]), size, True)[0]
        for name in ("true_graph", "false_graph")
    )
    predicate, *rest = operands
    if not flags[0]:
        return cond(predicate, rest, first, second)
    pairs = zip(inline(first, rest), inline(second, rest), strict=True)
    return [_choose(predicate, x, y) for x, y in pairs]


def _branches() -> dict[str, Graph]:
    """Return sample branches over x (3) and y (3): x * y, sin(x); and y * y, x."""
    true, false = [[float_input(3), float_input(3)] for _ in range(2)]
    return {
        "true_graph": Graph(
            true, (elementwise.multiply(*true), elementwise.sin(true[0]))
        ),
        "false_graph": Graph(false, (elementwise.square(false[1]), false[0])),
    }


def _branches_that_differ() -> dict[str, Graph]:
    x, y = float_input(3), float_input(3)
    short = movement.slice_(y, (0,), (2,))
    return {"true_graph": Graph((x,), (x, x)), "false_graph": Graph((y,), (y, short))}


_X, _Y = np.array([0.5, -1.0, 2.0]), np.array([1.5, 0.3, -0.7])
COND = Primitive(
    name="cond",
    infer=_cond_infer,
    reference=_cond_reference,
    vjp=_cond_vjp,
    selective=True,
    jvp=_cond_jvp,
    batch=_cond_batch,
    samples=lambda: [
        Sample((np.array(True), _X, _Y), _branches()),
        Sample((np.array(False), _X, _Y), _branches()),
    ],
    failures=lambda: [
        Failure(
            (np.array([True]), _X, _Y), _branches(), ShapeError,
            "[cond] the predicate must be one bool. Got: bool[1]. Fix: reduce it with "
            "any() or all(), or use plait.vmap or plait.where.",
        ),
        Failure(
            (np.array(1), _X, _Y), _branches(), DTypeError,
            "[cond] the predicate must be one bool. Got: int64[]. "
            "Fix: compare, for example x != 0.",
        ),
        Failure(
            (np.array(True), _X), _branches_that_differ(), ShapeError,
            "[cond] result 1 differs between the branches. Got: float64[3] from the "
            "true branch, float64[2] from the false branch. "
            "Fix: return values of one shape, with reshape.",
        ),
    ],
    source="the results of one of two graphs",
)  # fmt: skip


def cond(
    predicate: Node, operands: Sequence[Node], true_graph: Graph, false_graph: Graph
) -> tuple[Node, ...]:
    """Return the results of `true_graph` if `predicate` is true, else of `false_graph`.

    Only one of them runs. Both take `operands` and return the same types.

    Raises:
        ShapeError, DTypeError: the predicate is not one bool, or the results differ.

    Gradient: through the branch that ran, which is run again. Vectorised over the
    predicate, both branches run.
    """
    return picks(
        apply(
            COND, predicate, *operands, true_graph=true_graph, false_graph=false_graph
        )
    )


# While


def _while_infer(
    *types: TensorType, condition_graph: Graph, body_graph: Graph, captured: int
) -> Types:
    check_inputs("while_loop", condition_graph, types, "condition")
    check_inputs("while_loop", body_graph, types, "body")
    if len(condition_graph.outputs) != 1:
        raise ShapeError(
            "[while_loop] the condition must return one bool",
            got=f"{len(condition_graph.outputs)} results",
        )
    _check_predicate(
        "while_loop", "the result of the condition", condition_graph.outputs[0].type
    )
    state = types[captured:]
    if len(body_graph.outputs) != len(state):
        raise ShapeError(
            "[while_loop] the body returns another number of values than it is given",
            got=f"{len(state)} in, {len(body_graph.outputs)} out",
        )
    check_state("while_loop", "state", state, tuple(y.type for y in body_graph.outputs))
    return state


def _while_reference(
    *operands: Any, condition_graph: Graph, body_graph: Graph, captured: int
) -> tuple[Any, ...]:
    condition, body = prepared(condition_graph), prepared(body_graph)
    outside, state = operands[:captured], operands[captured:]
    while condition.run((*outside, *state))[0]:
        state = tuple(body.run((*outside, *state)))
    return state


def _while_vjp(cotangents: Tangents, node: Node, *operands: Node) -> NoReturn:
    raise GradientError(
        "[while_loop] has no derivative in reverse mode, as it keeps none of its steps",
        got=f"recorded at {node.where}" if node.where else "",
        fix="use plait.scan with a known number of steps, or plait.jvp",
    )


@remembered
def _while_pushed(
    body: Graph, condition: Graph, captured: int, varying: Flags
) -> tuple[Graph, Graph, Flags]:
    """Return condition and body over the state and its tangents, and which vary."""
    varying = all_varying(body, captured, len(body.outputs), varying)
    both = pushed(body, varying)
    inputs = interleaved(both.inputs, both.seeds, captured)
    keep = varying[captured:]
    outputs = (*both.outputs, *filled(both.found, both.outputs, keep))
    return Graph(inputs, inline(condition, both.inputs)), Graph(inputs, outputs), keep


def _while_jvp(tangents: Tangents, node: Node, *operands: Node) -> list[Node | None]:
    captured = node.attributes["captured"]
    condition, body, keep = _while_pushed(
        node.attributes["body_graph"], node.attributes["condition_graph"], captured,
        flags_of(tangents),
    )  # fmt: skip
    outside, state = operands[:captured], operands[captured:]
    found = while_loop(
        (*outside, *given(tangents[:captured])),
        (*state, *filled(tangents[captured:], state, keep)),
        condition,
        body,
    )
    return spread(found[len(state) :], keep)


@remembered
def _while_batched(
    body: Graph, condition: Graph, captured: int, flags: Flags, size: int
) -> tuple[Graph, Graph, Flags, bool]:
    """Return condition, body, which inputs are batched, and if the condition is."""
    while True:
        _, (several,) = batch_graph(condition, flags, size)
        state = batch_graph(body, flags, size)[1]
        grown = grow(flags, captured, [several or flag for flag in state])
        if grown == flags:
            break
        flags = grown
    new_condition, _ = batch_graph(condition, flags, size)
    new_body, _ = batch_graph(body, flags, size, flags[captured:])
    return new_condition, new_body, flags, several


@remembered
def _while_any(body: Graph, condition: Graph, captured: int) -> tuple[Graph, Graph]:
    """Return condition and body that go on until every example is done.

    The condition's value for each example is the first of the state. The state of an
    example that is done is frozen.
    """
    size = condition.outputs[0].shape[0]
    going = make_input((size,), bool_)
    inputs, results = opened(body, (x.differentiable for x in body.inputs))
    outside, state = inputs[:captured], inputs[captured:]
    state = [_choose(going, new, old) for new, old in zip(results, state, strict=True)]
    still = inline(condition, (*outside, *state))
    inputs.insert(captured, going)
    return Graph(inputs, (reduce.any(going),)), Graph(inputs, (*still, *state))


def _while_batch(
    operands: Sequence[Node], flags: Sequence[bool], node: Node
) -> Sequence[Node]:
    size = batch_size(operands, flags)
    captured = node.attributes["captured"]
    condition, body, grown, several = _while_batched(
        node.attributes["body_graph"], node.attributes["condition_graph"], captured,
        tuple(flags), size,
    )  # fmt: skip
    operands = all_expanded(operands, flags, grown, size)
    outside, state = operands[:captured], operands[captured:]
    if several:
        first = inline(condition, operands)
        condition, body = _while_any(body, condition, captured)
        return while_loop(outside, (*first, *state), condition, body)[1:]
    results = while_loop(outside, state, condition, body)
    return all_expanded(results, grown[captured:], (True,) * len(results), size)


def _loop() -> dict[str, Any]:
    """Return a sample loop over limit; i, x (2).

    While i < limit: x = x * sin(x), i += 1.
    """
    limit, i, x = make_input((), int64), make_input((), int64), float_input(2)
    body = (elementwise.add(i, 1), elementwise.multiply(x, elementwise.sin(x)))
    return {
        "condition_graph": Graph((limit, i, x), (elementwise.less(i, limit),)),
        "body_graph": Graph((limit, i, x), body),
        "captured": 1,
    }


def _loop_that_changes() -> dict[str, Any]:
    x = float_input(2)
    condition = reduce.any(elementwise.less(x, 1))
    return {
        "condition_graph": Graph((x,), (condition,)),
        "body_graph": Graph((x,), (elementwise.cast(x, float32),)),
        "captured": 0,
    }


WHILE = Primitive(
    name="while_loop",
    infer=_while_infer,
    reference=_while_reference,
    vjp=_while_vjp,
    jvp=_while_jvp,
    batch=_while_batch,
    samples=lambda: [
        Sample(
            (np.array(limit), np.array(0), np.array([0.7, -1.2])), _loop(), smooth=False
        )
        for limit in (0, 1, 3)
    ],
    failures=lambda: [
        Failure(
            (np.array([0.5, 1.5]),), _loop_that_changes(), DTypeError,
            "[while_loop] state 0 leaves the body with another type. Got: float64[2] "
            "in, float32[2] out. Fix: cast the result with x.to(plait.float64).",
        )
    ],
    source="a graph repeated for as long as another gives true",
)  # fmt: skip


def while_loop(
    captured: Sequence[Node],
    init: Sequence[Node],
    condition_graph: Graph,
    body_graph: Graph,
) -> tuple[Node, ...]:
    """Return the state after `body_graph` ran for as long as `condition_graph` held.

    Args:
        captured: values that both graphs take first and that do not change.
        init: the state at the start.
        condition_graph: from captured and state to one bool.
        body_graph: from captured and state to the next state, of the same types.

    Raises:
        ShapeError, DTypeError: the condition is not one bool, or the state changes
            type.

    Gradient: forward mode only. Vectorised over the condition, it runs until all
    examples are done, and those that are done stay as they are.
    """
    return picks(
        apply(
            WHILE, *captured, *init,
            condition_graph=condition_graph, body_graph=body_graph,
            captured=len(captured),
        )
    )  # fmt: skip


PRIMITIVES = (COND, WHILE)
