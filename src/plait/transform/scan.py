"""A loop of a known number of steps, which keeps a result of each: the primitive SCAN.

As in `control`, the body is a closed graph: values that it uses from outside are
operands, put first and called *captured*. Derivatives in both modes and the vectorised
form are scans again.

Read first: `SCAN`, `scan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import float32, int64
from ..errors import ArgumentError, ShapeError
from ..ir.build import apply, make_input, picks, substitute
from ..ir.evaluate import prepared
from ..ir.graph import Graph, Node, TensorType, remembered, topological_order
from ..ir.primitive import Failure, Primitive, Sample
from ..ops import elementwise, movement, reduce, source
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
    Flags,
    check_inputs,
    chosen,
    filled,
    flags_of,
    given,
    opened,
    pulled,
    pushed,
    spread,
    taken,
    wanted_of,
)
from .steps import factors, products, total


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
    check_state("scan", "carry", carry, results[:carried])
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
        grown = grow(live, 0, needed[captured : captured + carried])
        if grown == live:
            break
        live = grown
    # A carry that is wanted stays one, though no step may look at it.
    needed = grow(needed, captured, live[:carried])
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
            cotangents of captured values; slices. Returns the next cotangents and sums;
            cotangents of the inputs; and what is left behind.
        slices: the carries, inputs and products that the step had, and cotangents of
            its results.
        stacking: a body for the forward direction that also returns the carries that
            it gets, and products.
        active: which carries have cotangents.
        sums: the types of the sums.
        later: for each captured value its cotangent in one step, if that is added up
            after the loop, or None.
        left: what is left behind for that, or is a cotangent of an input.
        has: which operands have cotangents.
    """

    body: Graph
    slices: Sequence[Node]
    stacking: Graph
    active: Flags
    sums: Sequence[TensorType]
    later: Sequence[Node | None]
    left: Sequence[Node]
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
        grown = grow(wrt, captured, [y.differentiable for y in outputs[:carried]])
        if grown == wrt:
            break
        wrt = grown
    end = captured + carried
    active = wrt[captured:end]
    back = pulled(body, wrt, (*active, *used))
    inputs, seeds = back.inputs, given(back.seeds)
    has_found = flags_of(back.found)
    has = (*has_found[:captured], *active, *has_found[end:])

    kept = products(given(back.found), inputs[:captured], seeds)
    if _bytes(kept) > _bytes(inputs[captured:]):
        kept = []  # a loop is there to save memory: they are computed again
    saved = {node: make_input(node.shape, node.dtype) for node in kept}
    found = spread(substitute(given(back.found), saved), has_found)
    slices = [*inputs[captured:], *given(back.seeds[carried:]), *saved.values()]

    later, behind = _added_later(found[:captured], found[end:], inputs, slices)
    sums, added = [], []
    for x, ct, once in zip(inputs[:captured], found[:captured], later, strict=True):
        if ct is not None and once is None:
            sums.append(_wide(x))
            added.append(
                elementwise.add(sums[-1], elementwise.cast(ct, sums[-1].dtype))
            )
    left = [*given(found[end:]), *behind]
    reverse_body = Graph(
        (*inputs[:captured], *given(back.seeds[:carried]), *sums, *slices),
        (*filled(found[captured:end], inputs[captured:end], active), *added, *left),
    )
    stacking = Graph(inputs, (*back.outputs[:carried], *inputs[captured:end], *saved))
    return _Reversed(
        reverse_body, slices, stacking, active, [x.type for x in sums], later, left, has
    )


def _added_later(
    cotangents: Sequence[Node | None],
    results: Sequence[Node | None],
    inputs: Sequence[Node],
    slices: Sequence[Node],
) -> tuple[list[Node | None], list[Node]]:
    """Return which cotangents of captured values are added up after the loop.

    Args:
        results: cotangents that are stacked anyway.

    What has to be stacked is no more than what the steps read.

    Returns:
        The cotangents in one step, or None; and what has to be stacked for them.
    """
    captured = set(inputs[: len(cotangents)])
    room = _bytes(inputs[len(cotangents) :])
    there = {*given(results), *slices}
    behind: dict[Node, None] = {}
    later: list[Node | None] = [None] * len(cotangents)
    # Sums last: they take what is there for products.
    for _ in range(2):
        for i, ct in enumerate(cotangents):
            if ct is not None and later[i] is None:
                needed = factors(ct, captured, {*there, *behind})
                if needed is None:
                    continue
                new = {x: None for x in needed if x not in there}
                if _bytes({**behind, **new}) <= room:
                    later[i] = ct
                    behind.update(new)
    return later, list(behind)


def _bytes(nodes: Iterable[Node]) -> int:
    return sum(x.type.nbytes for x in nodes)


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
    # What is added up after the loop may take values that no step takes.
    after = set(topological_order(given(back.later)))
    used = [
        need or x in after
        for need, x in zip(needed[captured + count :], back.slices, strict=True)
    ]
    others = len(operands) - end + len(given(cotangents[carried:]))
    kept = _run_pruned(
        operands, back.stacking, captured, carried,
        (False,) * carried + (*used[:carried], *used[carried + others :]),
        length, reverse,
    )[carried:]  # fmt: skip
    slices = [
        *kept[:carried], *operands[end:], *given(cotangents[carried:]), *kept[carried:]
    ]  # fmt: skip
    starts += [source.full(sum.shape, 0, sum.dtype) for sum in back.sums]
    found = _run_pruned(
        (*operands[:captured], *starts, *slices),
        back.body, captured, count, everything, length, not reverse,
    )  # fmt: skip
    pairs = zip((*back.slices, *back.left), (*slices, *found[count:]), strict=True)
    stacked = {x: y for x, y in pairs if y is not None}
    sums = iter(found[n:count])
    outside = [
        (next(sums) if ct is None else total(ct, stacked)) if wanted else None
        for ct, wanted in zip(back.later, back.has[:captured], strict=True)
    ]
    inside = given((*found[:n], *found[count:]))[: sum(back.has[captured:])]
    ordered = (*outside, *spread(inside, back.has[captured:]))
    return [
        None if ct is None else elementwise.cast(ct, x.dtype)
        for x, ct in zip(operands, ordered, strict=True)
    ]


@remembered
def _scan_pushed(
    body: Graph, captured: int, carried: int, varying: Flags
) -> tuple[Graph, Flags, Flags]:
    """Return a body over carry and tangents, which inputs vary, and which results."""
    varying = all_varying(body, captured, carried, varying)
    both = pushed(body, varying)
    end = captured + carried
    keep = (*varying[captured:end], *flags_of(both.found[carried:]))
    tangents = filled(both.found, both.outputs, keep)
    graph = Graph(
        interleaved(both.inputs, both.seeds, captured, end),
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
        grown = grow(flags, captured, results[:carried])
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
        all_expanded(
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
    return all_expanded(moved, done, (True,) * len(moved), size)


def _recurrence() -> dict[str, Any]:
    """Return a sample body over w (2, 2); i, h (2); x (2).

    h = tanh(w @ h + x), i += 1, and the results for each step are h * x and i.
    """
    w, i, h, x = (
        float_input(2, 2),
        make_input((), int64),
        float_input(2),
        float_input(2),
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
    total, x = float_input(), float_input()
    return {
        "body": Graph((total, x), (elementwise.add(total, elementwise.sin(x)),)),
        "captured": 0, "carried": 1, "length": 4, "reverse": False,
    }  # fmt: skip


def _carry_that_grows() -> dict[str, Any]:
    total, x = float_input(1), float_input(1)
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
    carry and its products. Cotangents of captured values are added up after it where
    they are sums of products; others in 16 bits are summed in float32.
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


PRIMITIVES = (SCAN,)
