"""Rules for primitives that move elements, and for those that work across a movement.

All keep every bit, but those of `dot` and of sums, whose terms may be added in another
order.

Of 0.0 and -0.0 either may be the greater one; which, may change.

Read first: the table `MOVES` at the end.
"""

from __future__ import annotations

import numpy as np

from ..ir.graph import Node
from ..ir.rewrite import Rule, derive
from ..ops.contract import DOT
from ..ops.elementwise import CAST, EQUAL, MULTIPLY, SELECT
from ..ops.gather import GATHER
from ..ops.movement import CONCATENATE, EXPAND, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from ..ops.reduce import (
    ARGMAX,
    ARGMIN,
    CUMULATIVE_MAX,
    CUMULATIVE_PRODUCT,
    CUMULATIVE_SUM,
    MAX,
    MIN,
    PRODUCT,
    SUM,
)  # fmt: skip
from ..ops.source import IOTA
from ..shapes import Shape, size_of
from .patterns import expanded, full, is_a, number, reshaped, scalar, without_lead

REDUCTIONS = (SUM, PRODUCT, MAX, MIN)
# A longer concatenation is left nested, since joining a chain of n costs n * n.
MOST_JOINED = 64


def move_nothing(node: Node) -> Node | None:
    """`reshape(x) -> x` to its shape; same for expand, permute, slice, flip and pad"""
    (x,) = node.operands
    if node.shape != x.shape:
        return None
    at = node.attributes
    if node.primitive is PERMUTE:
        still = at["axes"] == tuple(range(x.ndim))
    elif node.primitive is FLIP:
        still = all(x.shape[axis] <= 1 for axis in at["axes"])
    elif node.primitive is SLICE:  # of the same shape, it starts at 0
        still = True
    else:
        still = is_a(node, RESHAPE, EXPAND, PAD)
    return x if still else None


def move_constant(node: Node) -> Node | None:
    """`reshape(c) -> c` in the new shape; the same for permute, slice and flip"""
    value = scalar(node.operands[0])
    return None if value is None else full(node, value)


# Two of a kind


def reshape_twice(node: Node) -> Node | None:
    """`reshape(reshape(x)) -> reshape(x)`"""
    (inner,) = node.operands
    if inner.primitive is not RESHAPE:
        return None
    return derive(node, RESHAPE, inner.operands[0], shape=node.shape)


def expand_twice(node: Node) -> Node | None:
    """`expand(expand(x)) -> expand(x)`"""
    (inner,) = node.operands
    if inner.primitive is not EXPAND:
        return None
    return derive(node, EXPAND, inner.operands[0], shape=node.shape)


def expand_of_reshape(node: Node) -> Node | None:
    """`expand(reshape(x)) -> expand(x)`, where only leading ones come or go"""
    (inner,) = node.operands
    if inner.primitive is not RESHAPE:
        return None
    (x,) = inner.operands
    if x.ndim > node.ndim or without_lead(x.shape) != without_lead(inner.shape):
        return None
    return derive(node, EXPAND, x, shape=node.shape)


def permute_twice(node: Node) -> Node | None:
    """`permute(permute(x)) -> permute(x)`"""
    (inner,) = node.operands
    if inner.primitive is not PERMUTE:
        return None
    order = inner.attributes["axes"]
    axes = tuple(order[axis] for axis in node.attributes["axes"])
    return derive(node, PERMUTE, inner.operands[0], axes=axes)


def permute_of_ones(node: Node) -> Node | None:
    """`permute(x) -> reshape(x)`, where only axes of size 1 change places"""
    (x,) = node.operands
    wide = [axis for axis in node.attributes["axes"] if x.shape[axis] != 1]
    return reshaped(node, x, node.shape) if wide == sorted(wide) else None


def slice_twice(node: Node) -> Node | None:
    """`slice(slice(x)) -> slice(x)`"""
    (inner,) = node.operands
    if inner.primitive is not SLICE:
        return None
    a, b = inner.attributes, node.attributes
    starts, stops, steps = [], [], []
    for i, n in enumerate(node.shape):
        start = a["starts"][i] + b["starts"][i] * a["steps"][i]
        step = a["steps"][i] * b["steps"][i]
        start = min(start, a["stops"][i])  # an empty slice may begin at the end
        starts.append(start)
        steps.append(step)
        stops.append(start + (n - 1) * step + 1 if n else start)
    return derive(
        node, SLICE, inner.operands[0],
        starts=tuple(starts), stops=tuple(stops), steps=tuple(steps),
    )  # fmt: skip


def flip_twice(node: Node) -> Node | None:
    """`flip(flip(x)) -> flip(x)` along the axes that only one of them names"""
    (inner,) = node.operands
    if inner.primitive is not FLIP:
        return None
    ndim = node.ndim
    first, second = (
        {axis % ndim for axis in one.attributes["axes"]} for one in (inner, node)
    )
    return derive(node, FLIP, inner.operands[0], axes=tuple(sorted(first ^ second)))


def pad_twice(node: Node) -> Node | None:
    """`pad(pad(x)) -> pad(x)`, of one value"""
    (inner,) = node.operands
    if inner.primitive is not PAD or _padding(inner) != _padding(node):
        return None
    pairs = zip(inner.attributes["widths"], node.attributes["widths"], strict=True)
    widths = tuple((a + c, b + d) for (a, b), (c, d) in pairs)
    value = node.attributes["value"]
    return derive(node, PAD, inner.operands[0], widths=widths, value=value)


def _padding(node: Node) -> bytes:
    value = node.attributes["value"]
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(node.dtype.numpy).tobytes()


def pad_constant(node: Node) -> Node | None:
    """`pad(c) -> c` in the new shape, padded with c"""
    value = scalar(node.operands[0])
    if value is None or value.tobytes() != _padding(node):
        return None
    return full(node, value)


def slice_of_pad(node: Node) -> Node | None:
    """`slice(pad(x)) -> slice(x)`, where no padding is left"""
    (inner,) = node.operands
    if inner.primitive is not PAD or node.size == 0:
        return None
    (x,) = inner.operands
    at = node.attributes
    lows = [low for low, _ in inner.attributes["widths"]]
    starts = tuple(a - low for a, low in zip(at["starts"], lows, strict=True))
    lasts = [
        a + (n - 1) * s for a, n, s in zip(starts, node.shape, at["steps"], strict=True)
    ]
    if min(starts, default=0) < 0 or any(
        a >= n for a, n in zip(lasts, x.shape, strict=True)
    ):
        return None
    stops = tuple(a + 1 for a in lasts)
    return derive(node, SLICE, x, starts=starts, stops=stops, steps=at["steps"])


# Concatenation


def concatenate_one(node: Node) -> Node | None:
    """`concatenate(x) -> x`, operands without elements left out"""
    axis = node.attributes["axis"]
    kept = [x for x in node.operands if x.shape[axis]]
    if len(kept) == 1 or not kept:
        return (kept or node.operands)[0]
    if len(kept) == len(node.operands):
        return None
    return derive(node, CONCATENATE, *kept, axis=axis)


def concatenate_twice(node: Node) -> Node | None:
    """`concatenate(concatenate(x, y), z) -> concatenate(x, y, z)`"""
    axis = node.attributes["axis"]
    flat: list[Node] = []
    for x in node.operands:
        same = x.primitive is CONCATENATE and x.attributes["axis"] == axis
        flat.extend(x.operands if same else [x])
    if len(flat) == len(node.operands) or len(flat) > MOST_JOINED:
        return None
    return derive(node, CONCATENATE, *flat, axis=axis)


def concatenate_constants(node: Node) -> Node | None:
    """`concatenate(c, c) -> c` in the new shape"""
    values = [scalar(x) for x in node.operands]
    first = values[0]
    if first is None or any(
        value is None or value.tobytes() != first.tobytes() for value in values
    ):
        return None
    return full(node, first)


def concatenate_slices(node: Node) -> Node | None:
    """`concatenate(x[a:b], x[b:c]) -> x[a:c]`"""
    axis = node.attributes["axis"]
    joined: list[Node] = []
    for x in node.operands:
        both = _joined(node, joined[-1], x, axis) if joined else None
        if both is None:
            joined.append(x)
        else:
            joined[-1] = both
    if len(joined) == len(node.operands):
        return None
    if len(joined) == 1:
        return joined[0]
    return derive(node, CONCATENATE, *joined, axis=axis)


def _joined(node: Node, x: Node, y: Node, axis: int) -> Node | None:
    """Return the slice that `x` and `y` make together, if they make one."""
    if x.primitive is not SLICE or y.primitive is not SLICE:
        return None
    a, b = x.attributes, y.attributes
    others = [i for i in range(node.ndim) if i != axis]
    if (
        x.operands[0] is not y.operands[0]
        or a["steps"] != b["steps"]
        or a["steps"][axis] != 1
        or a["stops"][axis] != b["starts"][axis]
        or any(a[k][i] != b[k][i] for k in ("starts", "stops") for i in others)
    ):
        return None
    return derive(
        node, SLICE, x.operands[0],
        starts=a["starts"], stops=_replaced(a["stops"], axis, b["stops"][axis]),
        steps=a["steps"],
    )  # fmt: skip


def _replaced(values: Shape, axis: int, value: int) -> Shape:
    return (*values[:axis], value, *values[axis + 1 :])


def slice_of_concatenate(node: Node) -> Node | None:
    """`slice(concatenate(x, y)) -> slice(x)`, where nothing of the others is left"""
    (inner,) = node.operands
    if inner.primitive is not CONCATENATE or node.size == 0:
        return None
    axis = inner.attributes["axis"]
    at = node.attributes
    start, step = at["starts"][axis], at["steps"][axis]
    last = start + (node.shape[axis] - 1) * step
    begin = 0
    for x in inner.operands:
        end = begin + x.shape[axis]
        if begin <= start and last < end:
            return derive(
                node, SLICE, x, steps=at["steps"],
                starts=_replaced(at["starts"], axis, start - begin),
                stops=_replaced(at["stops"], axis, last + 1 - begin),
            )  # fmt: skip
        begin = end
    return None


# Elementwise primitives


def elementwise_of_expand(node: Node) -> Node | None:
    """`f(expand(x), expand(y), c) -> expand(f(x, y, c))`, for elementwise f"""
    if node.primitive.batch != "elementwise" or isinstance(node.type, tuple):
        return None
    shape = None
    for x in node.operands:
        if scalar(x) is None:
            if x.primitive is not EXPAND or shape not in (None, x.operands[0].shape):
                return None
            shape = x.operands[0].shape
    if shape is None:
        return None
    small = [
        x.operands[0] if scalar(x) is None else full(x, scalar(x), shape)
        for x in node.operands
    ]
    return expanded(
        node, derive(node, node.primitive, *small, **node.attributes), node.shape
    )


# Reductions


def reduce_nothing(node: Node) -> Node | None:
    """`sum(x) -> reshape(x)` over axes of size 1, or none; same for max and others"""
    (x,) = node.operands
    axes = node.attributes["axes"]
    return reshaped(node, x, node.shape) if all(x.shape[a] == 1 for a in axes) else None


def accumulate_nothing(node: Node) -> Node | None:
    """`cumulative_sum(x) -> x` along an axis of size 1; the same for product and max"""
    (x,) = node.operands
    return x if x.shape[node.attributes["axis"]] == 1 else None


def reduce_twice(node: Node) -> Node | None:
    """`max(max(x)) -> max(x)` over both axes; the same for min, and integer sums"""
    (inner,) = node.operands
    if inner.primitive is not node.primitive:
        return None
    if node.dtype.is_float and not is_a(node, MAX, MIN):
        return None
    (x,) = inner.operands
    first = {axis % x.ndim for axis in inner.attributes["axes"]}
    left = [axis for axis in range(x.ndim) if axis not in first]
    second = {left[axis] for axis in node.attributes["axes"]}
    return derive(node, node.primitive, x, axes=tuple(sorted(first | second)))


def extremum_of_expand(node: Node) -> Node | None:
    """`max(expand(x)) -> max(x)`, the same for min"""
    found = _reduced_small(node)
    return found[0] if found else None


def element_at_extremum(node: Node) -> Node | None:
    """`sum(select(iota == argmax(x), x, 0)) -> max(x)` over its axis; the same for min

    Their derivatives differ where elements are equal.
    """
    (chosen,) = node.operands
    axes = node.attributes["axes"]
    if chosen.primitive is not SELECT or len(axes) != 1:
        return None
    condition, x, other = chosen.operands
    if condition.primitive is not EQUAL or number(other) != 0:
        return None
    axis = axes[0] % x.ndim
    for places, position in (condition.operands, condition.operands[::-1]):
        found = _without_axis(position, x.shape, axis)
        if found is None or not _counts_along(places, x.shape, axis):
            continue
        if (
            found.primitive in (ARGMAX, ARGMIN)
            and found.operands[0] is x
            and found.attributes["axis"] % x.ndim == axis
        ):
            kind = MAX if found.primitive is ARGMAX else MIN
            return derive(node, kind, x, axes=(axis,))
    return None


def _without_axis(node: Node, shape: Shape, axis: int) -> Node | None:
    """Return the positions that were expanded along an axis to `shape`, or None."""
    few = shape[axis] <= 1 << 7  # all of them fit into any integer dtype
    if node.primitive is EXPAND:
        (node,) = node.operands
    aligned = axis == 0
    while node.primitive in (RESHAPE, CAST):
        if node.primitive is CAST and not few:
            return None
        aligned = aligned or node.shape == (*shape[:axis], 1, *shape[axis + 1 :])
        (node,) = node.operands
    left = shape[:axis] + shape[axis + 1 :]
    return node if aligned and node.shape == left else None


def _counts_along(node: Node, shape: Shape, axis: int) -> bool:
    """Whether each element of `shape` is its place along an axis."""
    if node.primitive is EXPAND:
        (node,) = node.operands
    after = len(shape) - 1 - axis
    if without_lead(node.shape) != (shape[axis],) + (1,) * after:
        return False
    while node.primitive in (RESHAPE, CAST):
        (node,) = node.operands
    return node.primitive is IOTA and node.size == shape[axis]


def sum_of_expand(node: Node) -> Node | None:
    """`sum(expand(x)) -> n * sum(x)`, with n the number of equal terms"""
    found = _reduced_small(node)
    if found is None:
        return None
    small, count = found
    factor = full(node, count)
    # A count that the dtype cannot hold would be rounded, or wrap around.
    return derive(node, MULTIPLY, small, factor) if number(factor) == count else None


def _reduced_small(node: Node) -> tuple[Node, int] | None:
    """Return the reduction of `x` for that of `expand(x)`, and how often x stood."""
    (inner,) = node.operands
    if inner.primitive is not EXPAND:
        return None
    (x,) = inner.operands
    lead = inner.ndim - x.ndim
    axes = {axis % inner.ndim for axis in node.attributes["axes"]}
    own = tuple(sorted(a - lead for a in axes if a >= lead))
    count = size_of(inner.shape[a] for a in axes if a < lead or x.shape[a - lead] == 1)
    if count <= 1:
        return None
    small = derive(node, node.primitive, x, axes=own) if own else x
    left = [a for a in range(inner.ndim) if a not in axes]
    aligned = tuple(x.shape[a - lead] if a >= lead else 1 for a in left)
    return expanded(node, reshaped(node, small, aligned), node.shape), count


# Contraction


def dot_of_permute(node: Node) -> Node | None:
    """`dot(permute(x), y) -> dot(x, y)` over other axes, if the result's stay"""
    sides = list(node.operands)
    axes, batch = list(node.attributes["axes"]), list(node.attributes["batch"])
    changed = False
    for i, side in enumerate(sides):
        if side.primitive is not PERMUTE:
            continue
        order = side.attributes["axes"]
        used = {*axes[i], *batch[i]}
        rest = [order[axis] for axis in range(side.ndim) if axis not in used]
        if rest == sorted(rest):
            sides[i] = side.operands[0]
            axes[i] = tuple(order[axis] for axis in axes[i])
            batch[i] = tuple(order[axis] for axis in batch[i])
            changed = True
    if not changed:
        return None
    return derive(node, DOT, *sides, axes=tuple(axes), batch=tuple(batch))


def permute_of_dot(node: Node) -> Node | None:
    """`permute(dot(x, y)) -> dot(y, x)`, where it exchanges the axes of x and y"""
    (inner,) = node.operands
    if inner.primitive is not DOT:
        return None
    x, y = inner.operands
    axes, batch = inner.attributes["axes"], inner.attributes["batch"]
    lead = len(batch[0])
    middle = lead + x.ndim - len(axes[0]) - lead
    swap = (*range(lead), *range(middle, node.ndim), *range(lead, middle))
    if node.attributes["axes"] != swap:
        return None
    return derive(node, DOT, y, x, axes=axes[::-1], batch=batch[::-1])


def permute_of_gather(node: Node) -> Node | None:
    """`permute(gather(x, i)) -> gather(x, permute(i))`, if it moves axes of i only"""
    (inner,) = node.operands
    if inner.primitive is not GATHER:
        return None
    x, indices = inner.operands
    start, batch = inner.attributes["axis"], inner.attributes["batch"]
    axes, count = node.attributes["axes"], indices.ndim - batch
    moved = axes[start : start + count]
    still = (*range(start), *moved, *range(start + count, node.ndim))
    if axes != still:
        return None
    order = (*range(batch), *(axis - start + batch for axis in moved))
    turned = derive(indices, PERMUTE, indices, axes=order)
    return derive(node, GATHER, x, turned, **inner.attributes)


MOVES = (
    Rule(move_nothing, (RESHAPE, EXPAND, PERMUTE, SLICE, FLIP, PAD)),
    Rule(move_constant, (RESHAPE, PERMUTE, SLICE, FLIP)),
    Rule(reshape_twice, (RESHAPE,)),
    Rule(expand_twice, (EXPAND,)),
    Rule(expand_of_reshape, (EXPAND,)),
    Rule(permute_twice, (PERMUTE,)),
    Rule(permute_of_ones, (PERMUTE,)),
    Rule(slice_twice, (SLICE,)),
    Rule(flip_twice, (FLIP,)),
    Rule(pad_twice, (PAD,)),
    Rule(pad_constant, (PAD,)),
    Rule(slice_of_pad, (SLICE,)),
    Rule(concatenate_one, (CONCATENATE,)),
    Rule(concatenate_twice, (CONCATENATE,)),
    Rule(concatenate_constants, (CONCATENATE,)),
    Rule(concatenate_slices, (CONCATENATE,)),
    Rule(slice_of_concatenate, (SLICE,)),
    Rule(elementwise_of_expand, ()),
    Rule(reduce_nothing, REDUCTIONS),
    Rule(accumulate_nothing, (CUMULATIVE_SUM, CUMULATIVE_PRODUCT, CUMULATIVE_MAX)),
    Rule(reduce_twice, REDUCTIONS),
    Rule(extremum_of_expand, (MAX, MIN)),
    Rule(sum_of_expand, (SUM,), exact=False),
    Rule(dot_of_permute, (DOT,), exact=False),
    Rule(permute_of_dot, (PERMUTE,), exact=False),
    Rule(permute_of_gather, (PERMUTE,)),
)
