"""Control flow: primitives that run graphs which they hold as attributes.

The graphs are closed: values that a branch or body uses from outside are operands, put
first and called *captured*. Each primitive has several results; the function at the end
of each section returns them.

Derivatives and vectorised forms are again made of these primitives, so they nest. What
is derived from a graph is remembered with it.

Read first: `COND`, `SCAN`, `scan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..dtypes import bool_, float32, float64, int64
from ..errors import ArgumentError, DTypeError, GradientError, ShapeError
from ..ir.build import apply, inline, make_input, picks
from ..ir.evaluate import prepared
from ..ir.graph import Graph, Node, TensorType, remembered
from ..ir.primitive import Failure, Primitive, Sample
from ..ops import elementwise, movement, reduce, source
from .batch import batch_graph, batch_size, expanded
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

Types = tuple[TensorType, ...]
Tangents = Sequence[Node | None]


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


def _check_state(name: str, what: str, start: Types, end: Types) -> None:
    """Raise unless the state leaves a body with the types that it entered with."""
    for i, (one, other) in enumerate(zip(start, end, strict=True)):
        check_type(
            f"[{name}] {what} {i} leaves the body with another type",
            f"{one!r} in, {other!r} out", other, one,
        )  # fmt: skip


def _float_input(*shape: int) -> Node:
    return make_input(shape, float64, differentiable=True)


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
    true, false = [[_float_input(3), _float_input(3)] for _ in range(2)]
    return {
        "true_graph": Graph(
            true, (elementwise.multiply(*true), elementwise.sin(true[0]))
        ),
        "false_graph": Graph(false, (elementwise.square(false[1]), false[0])),
    }


def _branches_that_differ() -> dict[str, Graph]:
    x, y = _float_input(3), _float_input(3)
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
    _check_state(
        "while_loop", "state", state, tuple(y.type for y in body_graph.outputs)
    )
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
def _varying(body: Graph, captured: int, carried: int, varying: Flags) -> Flags:
    """Return `varying` grown by the state that comes to vary when a body repeats."""
    while True:
        found = flags_of(pushed(body, varying).found)
        grown = _grown(varying, captured, found[:carried])
        if grown == varying:
            return varying
        varying = grown


def _grown(flags: Flags, captured: int, state: Sequence[bool]) -> Flags:
    """Return the flags of a body's inputs with those of its state joined to `state`."""
    end = captured + len(state)
    joined = (a or b for a, b in zip(flags[captured:end], state, strict=True))
    return (*flags[:captured], *joined, *flags[end:])


@remembered
def _while_pushed(
    body: Graph, condition: Graph, captured: int, varying: Flags
) -> tuple[Graph, Graph, Flags]:
    """Return condition and body over the state and its tangents, and which vary."""
    varying = _varying(body, captured, len(body.outputs), varying)
    both = pushed(body, varying)
    inputs = _interleaved(both.inputs, both.seeds, captured)
    keep = varying[captured:]
    outputs = (*both.outputs, *filled(both.found, both.outputs, keep))
    return Graph(inputs, inline(condition, both.inputs)), Graph(inputs, outputs), keep


def _interleaved(values: Sequence[Node], tangents: Tangents, *ends: int) -> list[Node]:
    """Return values, then tangents, of each of the groups that end at `ends`."""
    starts, stops = (0, *ends), (*ends, len(values))
    return [
        node
        for start, stop in zip(starts, stops, strict=True)
        for node in (*values[start:stop], *given(tangents[start:stop]))
    ]


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
        grown = _grown(flags, captured, [several or flag for flag in state])
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
    operands = _expanded(operands, flags, grown, size)
    outside, state = operands[:captured], operands[captured:]
    if several:
        first = inline(condition, operands)
        condition, body = _while_any(body, condition, captured)
        return while_loop(outside, (*first, *state), condition, body)[1:]
    results = while_loop(outside, state, condition, body)
    return _expanded(results, grown[captured:], (True,) * len(results), size)


def _expanded(
    nodes: Sequence[Node], flags: Sequence[bool], wanted: Sequence[bool], size: int
) -> list[Node]:
    """Return `nodes`, with those that are wanted batched and are not so expanded."""
    return [
        expanded(x, size) if want and not flag else x
        for x, flag, want in zip(nodes, flags, wanted, strict=True)
    ]


def _loop() -> dict[str, Any]:
    """Return a sample loop over limit; i, x (2).

    While i < limit: x = x * sin(x), i += 1.
    """
    limit, i, x = make_input((), int64), make_input((), int64), _float_input(2)
    body = (elementwise.add(i, 1), elementwise.multiply(x, elementwise.sin(x)))
    return {
        "condition_graph": Graph((limit, i, x), (elementwise.less(i, limit),)),
        "body_graph": Graph((limit, i, x), body),
        "captured": 1,
    }


def _loop_that_changes() -> dict[str, Any]:
    x = _float_input(2)
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


# Scan


def _scan_infer(
    *types: TensorType,
    body: Graph,
    captured: int,
    carried: int,
    length: int,
    reverse: bool,
) -> Types:
    carry, xs = types[captured : captured + carried], types[captured + carried :]
    for i, type in enumerate(xs):
        if type.ndim == 0 or type.shape[0] != length:
            raise ShapeError(
                f"[scan] input {i} does not have one slice for each step",
                got=repr(type),
                expected=f"{length} along the first axis",
            )
    slices = (TensorType(type.shape[1:], type.dtype) for type in xs)
    check_inputs("scan", body, (*types[: captured + carried], *slices), "body")
    results = tuple(y.type for y in body.outputs)
    if len(results) < carried:
        raise ShapeError(
            "[scan] the body returns fewer values than are carried",
            got=f"{len(results)} of {carried}",
        )
    _check_state("scan", "carry", carry, results[:carried])
    stacked = (TensorType((length, *y.shape), y.dtype) for y in results[carried:])
    return (*carry, *stacked)


def _scan_reference(
    *operands: Any, body: Graph, captured: int, carried: int, length: int, reverse: bool
) -> tuple[Any, ...]:
    step = prepared(body)
    outside, xs = operands[:captured], operands[captured + carried :]
    carry: Sequence[Any] = operands[captured : captured + carried]
    ys = [np.empty((length, *y.shape), y.dtype.numpy) for y in body.outputs[carried:]]
    for i in reversed(range(length)) if reverse else range(length):
        results = step.run((*outside, *carry, *(x[i] for x in xs)))
        carry = results[:carried]
        for y, value in zip(ys, results[carried:], strict=True):
            y[i] = value
    return (*carry, *ys)


@remembered
def _pruned(
    body: Graph, captured: int, carried: int, wanted: Flags
) -> tuple[Graph, Flags, Flags]:
    """Return a body with those results only that the wanted ones need.

    Returns:
        The body, which operands of the scan it takes, and which results it returns.
    """
    live = wanted
    while True:
        outputs = chosen(body.outputs, live)
        needed = taken(Graph(body.inputs, outputs))
        grown = _grown(live, 0, needed[captured : captured + carried])
        if grown == live:
            break
        live = grown
    # A carry that is wanted stays one, though no step may look at it.
    needed = _grown(needed, captured, live[:carried])
    return Graph(chosen(body.inputs, needed), outputs), needed, live


def _run_pruned(
    operands: Tangents,
    body: Graph,
    captured: int,
    carried: int,
    wanted: Flags,
    length: int,
    reverse: bool,
) -> list[Node | None]:
    """Return the results of a scan that computes no more than what is wanted.

    Operands that are not needed may be None.
    """
    graph, needed, live = _pruned(body, captured, carried, wanted)
    node = apply(
        SCAN, *chosen(operands, needed), body=graph, captured=sum(needed[:captured]),
        carried=sum(live[:carried]), length=length, reverse=reverse,
    )  # fmt: skip
    return spread(picks(node), live)


class _Reversed(NamedTuple):
    """A scan from the last step to the first that computes cotangents.

    Attributes:
        body: takes captured values; cotangents of the active carries, and sums of
            cotangents of captured values; the carries and inputs that the step had, and
            cotangents of its results. Returns the next cotangents and sums; and
            cotangents of the inputs.
        stacking: a body for the forward direction that also returns the carries that
            it gets.
        active: which carries have cotangents.
        sums: the types of the sums.
        has: which operands have cotangents.
    """

    body: Graph
    stacking: Graph
    active: Flags
    sums: Sequence[TensorType]
    has: Flags


@remembered
def _scan_pulled(
    body: Graph, captured: int, carried: int, wrt: Flags, used: Flags
) -> _Reversed:
    """Return the derivative of a scan.

    Args:
        wrt: for each operand of the scan, whether its cotangent is wanted.
        used: for each stacked result, whether it has a cotangent.
    """
    while True:  # a carry that differentiable values come to flow into
        outputs = opened(body, wrt)[1]
        grown = _grown(wrt, captured, [y.differentiable for y in outputs[:carried]])
        if grown == wrt:
            break
        wrt = grown
    end = captured + carried
    active = wrt[captured:end]
    back = pulled(body, wrt, (*active, *used))
    inputs, found = back.inputs, back.found
    has = (*flags_of(found[:captured]), *active, *flags_of(found[end:]))
    sums = [_wide(x) for x in chosen(inputs[:captured], has[:captured])]
    added = [
        elementwise.add(total, elementwise.cast(ct, total.dtype))
        for total, ct in zip(sums, given(found[:captured]), strict=True)
    ]
    reverse_body = Graph(
        (
            *inputs[:captured], *given(back.seeds[:carried]), *sums,
            *inputs[captured:], *given(back.seeds[carried:]),
        ),
        (
            *filled(found[captured:end], inputs[captured:end], active), *added,
            *given(found[end:]),
        ),
    )  # fmt: skip
    stacking = Graph(body.inputs, (*body.outputs[:carried], *body.inputs[captured:end]))
    return _Reversed(reverse_body, stacking, active, [x.type for x in sums], has)


def _wide(x: Node) -> Node:
    """Return a new input for the sum of many cotangents of `x`."""
    dtype = float32 if x.dtype.bits == 16 else x.dtype
    return make_input(x.shape, dtype, differentiable=True)


def _scan_vjp(
    cotangents: Tangents, node: Node, *operands: Node, wanted: Flags | None = None
) -> list[Node | None]:
    captured, carried = node.attributes["captured"], node.attributes["carried"]
    length, reverse = node.attributes["length"], node.attributes["reverse"]
    back = _scan_pulled(
        node.attributes["body"],
        captured,
        carried,
        wanted_of(operands) if wanted is None else wanted,
        flags_of(cotangents[carried:]),
    )
    end = captured + carried
    starts = filled(cotangents[:carried], operands[captured:end], back.active)
    n, count = len(starts), len(starts) + len(back.sums)
    everything = (True,) * len(back.body.outputs)
    _, needed, _ = _pruned(back.body, captured, count, everything)
    stacked = needed[captured + count : captured + count + carried]
    carries = _run_pruned(
        operands, back.stacking, captured, carried, (False,) * carried + stacked,
        length, reverse,
    )[carried:]  # fmt: skip
    starts += [source.full(sum.shape, 0, sum.dtype) for sum in back.sums]
    found = _run_pruned(
        (
            *operands[:captured], *starts,
            *carries, *operands[end:], *given(cotangents[carried:]),
        ),
        back.body, captured, count, everything, length, not reverse,
    )  # fmt: skip
    ordered = given((*found[n:count], *found[:n], *found[count:]))
    return [
        None if ct is None else elementwise.cast(ct, x.dtype)
        for x, ct in zip(operands, spread(ordered, back.has), strict=True)
    ]


@remembered
def _scan_pushed(
    body: Graph, captured: int, carried: int, varying: Flags
) -> tuple[Graph, Flags, Flags]:
    """Return a body over carry and tangents, which inputs vary, and which results."""
    varying = _varying(body, captured, carried, varying)
    both = pushed(body, varying)
    end = captured + carried
    keep = (*varying[captured:end], *flags_of(both.found[carried:]))
    tangents = filled(both.found, both.outputs, keep)
    graph = Graph(
        _interleaved(both.inputs, both.seeds, captured, end),
        (*both.outputs[:carried], *tangents),
    )
    return graph, varying, keep


def _scan_jvp(tangents: Tangents, node: Node, *operands: Node) -> list[Node | None]:
    captured, carried = node.attributes["captured"], node.attributes["carried"]
    end = captured + carried
    body, varying, keep = _scan_pushed(
        node.attributes["body"], captured, carried, flags_of(tangents)
    )
    init = operands[captured:end]
    starts = filled(tangents[captured:end], init, varying[captured:end])
    inner = captured + sum(varying[:captured])
    found = _run_pruned(
        (
            *operands[:captured], *given(tangents[:captured]), *init, *starts,
            *operands[end:], *given(tangents[end:]),
        ),
        body, inner, carried + len(starts), (False,) * carried + (True,) * sum(keep),
        node.attributes["length"], node.attributes["reverse"],
    )  # fmt: skip
    return spread(given(found[carried:]), keep)


@remembered
def _scan_batched(
    body: Graph, captured: int, carried: int, flags: Flags, size: int
) -> tuple[Graph, Flags, Flags]:
    """Return the body vectorised, which inputs are batched, and which results."""
    while True:
        results = batch_graph(body, flags, size)[1]
        grown = _grown(flags, captured, results[:carried])
        if grown == flags:
            break
        flags = grown
    carry = flags[captured : captured + carried]
    graph, done = batch_graph(body, flags, size, (*carry, *results[carried:]))
    return graph, flags, done


def _scan_batch(
    operands: Sequence[Node], flags: Sequence[bool], node: Node
) -> Sequence[Node]:
    captured, carried = node.attributes["captured"], node.attributes["carried"]
    size = batch_size(operands, flags)
    end = captured + carried
    body, grown, done = _scan_batched(
        node.attributes["body"], captured, carried, tuple(flags), size
    )
    results = scan(
        operands[:captured],
        _expanded(
            operands[captured:end], flags[captured:end], grown[captured:end], size
        ),
        [
            movement.moveaxis(x, 1, 0) if flag else x
            for x, flag in zip(operands[end:], flags[end:], strict=True)
        ],
        body,
        node.attributes["length"],
        node.attributes["reverse"],
    )
    moved = [
        movement.moveaxis(y, 1, 0) if flag and i >= carried else y
        for i, (y, flag) in enumerate(zip(results, done, strict=True))
    ]
    return _expanded(moved, done, (True,) * len(moved), size)


def _recurrence() -> dict[str, Any]:
    """Return a sample body over w (2, 2); i, h (2); x (2).

    h = tanh(w @ h + x), i += 1, and the results for each step are h * x and i.
    """
    w, i, h, x = (
        _float_input(2, 2),
        make_input((), int64),
        _float_input(2),
        _float_input(2),
    )
    row = movement.expand(movement.reshape(h, (1, 2)), (2, 2))
    product = reduce.sum_over(elementwise.multiply(w, row), (1,))
    new = elementwise.tanh(elementwise.add(product, x))
    count = elementwise.add(i, 1)
    return {
        "body": Graph((w, i, h, x), (count, new, elementwise.multiply(new, x), count)),
        "captured": 1,
        "carried": 2,
    }


def _total() -> dict[str, Any]:
    """Return a sample body over total; x: a sum, whose derivative needs no carry."""
    total, x = _float_input(), _float_input()
    return {
        "body": Graph((total, x), (elementwise.add(total, elementwise.sin(x)),)),
        "captured": 0, "carried": 1, "length": 4, "reverse": False,
    }  # fmt: skip


def _carry_that_grows() -> dict[str, Any]:
    total, x = _float_input(1), _float_input(1)
    joined = movement.concat([total, x])
    return {
        "body": Graph((total, x), (joined,)),
        "captured": 0, "carried": 1, "length": 4, "reverse": False,
    }  # fmt: skip


_W = np.array([[0.4, -1.1], [0.8, 0.3]])
_XS = np.array([[0.1, -0.6], [1.3, 0.2], [-0.4, 0.9]])
SCAN = Primitive(
    name="scan",
    infer=_scan_infer,
    reference=_scan_reference,
    vjp=_scan_vjp,
    selective=True,
    jvp=_scan_jvp,
    batch=_scan_batch,
    samples=lambda: [
        *(
            Sample(
                (_W, np.array(0), np.array([0.5, -0.5]), _XS[:length]),
                {**_recurrence(), "length": length, "reverse": reverse},
            )
            for length, reverse in ((3, False), (3, True), (1, False), (0, False))
        ),
        Sample((np.array(0.5), np.array([0.1, 0.2, -0.3, 1.4])), _total()),
    ],
    failures=lambda: [
        Failure(
            (np.array([0.5]), np.zeros((4, 1))), _carry_that_grows(), ShapeError,
            "[scan] carry 0 leaves the body with another type. Got: float64[1] in, "
            "float64[2] out. Fix: return values of one shape, with reshape.",
        ),
        Failure(
            (np.array(0.5), np.zeros(3)), _total(), ShapeError,
            "[scan] input 0 does not have one slice for each step. Got: float64[3]. "
            "Expected: 4 along the first axis.",
        ),
    ],
    source="a graph applied to each slice in turn, carrying a state",
)  # fmt: skip


def scan(
    captured: Sequence[Node],
    init: Sequence[Node],
    xs: Sequence[Node],
    body: Graph,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Node, ...]:
    """Return the carry after `body` was applied to each slice, and stacked results.

    Args:
        captured: values that the body takes first and that do not change.
        init: the carry at the start.
        xs: inputs, sliced along their first axis.
        body: from captured, carry and one slice of each input to the next carry, of the
            same types, and results of this step.
        length: the number of steps. Default: the size of the first axis of `xs`.
        reverse: go from the last slice to the first. Results are stacked at the place
            of their slice.

    Raises:
        ArgumentError: neither `length` nor `xs` is given.
        ShapeError, DTypeError: the inputs have not `length` slices, or the carry
            changes type.

    Gradient: a scan in the other direction, which computes each step again from its
    carry. Cotangents of captured values in 16 bits are summed in float32.
    """
    if length is None:
        if not xs:
            raise ArgumentError(
                "[scan] the number of steps is not known", fix="give length"
            )
        length = xs[0].shape[0] if xs[0].ndim else 0
    return picks(
        apply(
            SCAN, *captured, *init, *xs, body=body, captured=len(captured),
            carried=len(init), length=length, reverse=reverse,
        )
    )  # fmt: skip


PRIMITIVES = (COND, WHILE, SCAN)
