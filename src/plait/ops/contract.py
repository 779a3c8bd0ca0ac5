"""Contractions: one primitive, DOT, and the products made of it.

Read first: `DOT`, `matmul`, `linear`, `einsum`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..dtypes import int64
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    AxisError,
    DTypeError,
    ShapeError,
)
from ..ir.build import apply
from ..ir.graph import Node, TensorType
from ..ir.primitive import Failure, Primitive, Sample
from ..shapes import Shape, broadcast, normalize_axes, normalize_axis
from . import elementwise, movement, reduce
from .family import NUMERIC, check_axes, check_kind, quiet
from .operand import as_node, common_dtype
from .source import iota

Axes = tuple[int, ...]
Pair = tuple[Axes, Axes]


def _array(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(-1, 1, shape)


def _rest(ndim: int, *used: Axes) -> Axes:
    gone = {axis for axes in used for axis in axes}
    return tuple(axis for axis in range(ndim) if axis not in gone)


def _dot_infer(x: TensorType, y: TensorType, *, axes: Pair, batch: Pair) -> TensorType:
    if x.dtype is not y.dtype:
        raise DTypeError(
            "[dot] operands differ in element type",
            got=f"{x.dtype.name} and {y.dtype.name}",
        )
    check_kind("dot", x.dtype, NUMERIC)
    if len(axes[0]) != len(axes[1]) or len(batch[0]) != len(batch[1]):
        raise ShapeError(
            "[dot] axes come in pairs, one of each operand",
            got=f"axes={axes}, batch={batch}",
        )
    check_axes("dot", axes[0] + batch[0], x.ndim)
    check_axes("dot", axes[1] + batch[1], y.ndim)
    for i, j in zip(axes[0] + batch[0], axes[1] + batch[1], strict=True):
        if x.shape[i] != y.shape[j]:
            raise ShapeError(
                "[dot] the sizes to contract differ",
                got=f"{x.shape} and {y.shape}, whose axes {i} and {j} have "
                f"{x.shape[i]} and {y.shape[j]} elements",
            )
    shape = (
        tuple(x.shape[i] for i in batch[0])
        + tuple(x.shape[i] for i in _rest(x.ndim, axes[0], batch[0]))
        + tuple(y.shape[j] for j in _rest(y.ndim, axes[1], batch[1]))
    )
    return TensorType(shape, x.dtype)


def _dot_reference(
    x: np.ndarray, y: np.ndarray, *, axes: Pair, batch: Pair
) -> np.ndarray:
    dtype = x.dtype
    if dtype.itemsize == 2 and dtype.kind not in "iu":
        x, y = x.astype(np.float32), y.astype(np.float32)
    first, second, rows, columns, shape = _dot_plan(x.shape, y.shape, axes, batch)
    # Views where possible: BLAS takes transposed matrices as they are.
    a = x.transpose(first).reshape(rows)
    b = y.transpose(second).reshape(columns)
    # A sum of one product starts from it, not from 0, which would lose a -0.
    table = np.matmul(a, b) if axes[0] else a * b
    return np.asarray(table.reshape(shape), dtype)


@lru_cache(1024)
def _dot_plan(x: Shape, y: Shape, axes: Pair, batch: Pair) -> tuple[Shape, ...]:
    """Return how to make stacks of matrices of operands of shapes `x` and `y`.

    Returns:
        The order of axes of each, the shape of each, and the shape of the result.
    """
    rest_x, rest_y = _rest(len(x), axes[0], batch[0]), _rest(len(y), axes[1], batch[1])
    lead = tuple(x[i] for i in batch[0])
    rows = tuple(x[i] for i in rest_x)
    columns = tuple(y[j] for j in rest_y)
    inner = math.prod(x[i] for i in axes[0])
    return (
        batch[0] + rest_x + axes[0], batch[1] + axes[1] + rest_y,
        (*lead, math.prod(rows), inner), (*lead, inner, math.prod(columns)),
        lead + rows + columns,
    )  # fmt: skip


def _dot_vjp(ct: Node, node: Node, x: Node, y: Node) -> tuple[Node, Node]:
    axes, batch = node.attributes["axes"], node.attributes["batch"]
    first = _dot_operand_vjp(ct, x, y, axes, batch, second=False)
    second = _dot_operand_vjp(ct, y, x, axes[::-1], batch[::-1], second=True)
    return first, second


def _dot_operand_vjp(
    ct: Node, x: Node, y: Node, axes: Pair, batch: Pair, second: bool
) -> Node:
    """Return the cotangent of `x`, contracted with `y`; `second` if x stood second."""
    lead = len(batch[0])
    rest_x, rest_y = _rest(x.ndim, axes[0], batch[0]), _rest(y.ndim, axes[1], batch[1])
    start = lead if second else lead + len(rest_x)
    ct_axes = tuple(range(start, start + len(rest_y)))
    result = apply(
        DOT, ct, y, axes=(ct_axes, rest_y), batch=(tuple(range(lead)), batch[1])
    )
    # The result's axes are: batch, the rest of x, the contracted axes in y's order.
    contracted = tuple(axes[0][i] for i in np.argsort(axes[1]).tolist())
    return movement._permute(result, movement._inverse(batch[0] + rest_x + contracted))


def _dot_batch(operands: Sequence[Node], batched: Sequence[bool], node: Node) -> Node:
    axes, batch = node.attributes["axes"], node.attributes["batch"]

    def shift(group: Pair) -> Pair:
        left, right = (
            tuple(axis + flag for axis in side)
            for side, flag in zip(group, batched, strict=True)
        )
        return left, right

    new_axes, new_batch = shift(axes), shift(batch)
    if all(batched):
        lead = ((0, *new_batch[0]), (0, *new_batch[1]))
        return apply(DOT, *operands, axes=new_axes, batch=lead)
    result = apply(DOT, *operands, axes=new_axes, batch=new_batch)
    at = len(batch[0])
    if batched[1]:
        at += operands[0].ndim - len(axes[0]) - len(batch[0])
    return movement.moveaxis(result, at, 0)


DOT = Primitive(
    name="dot",
    infer=_dot_infer,
    reference=quiet(_dot_reference),
    vjp=_dot_vjp,
    batch=_dot_batch,
    samples=lambda: [
        Sample((_array(3, 4), _array(4, 2)), {"axes": ((1,), (0,)), "batch": ((), ())}),
        Sample((_array(3, 4), _array(2, 4)), {"axes": ((1,), (1,)), "batch": ((), ())}),
        Sample(
            (_array(2, 3, 4), _array(4, 2, 5)),
            {"axes": ((2,), (0,)), "batch": ((0,), (1,))},
        ),
        Sample(
            (_array(2, 3, 4), _array(4, 3, 5)),
            {"axes": ((1, 2), (1, 0)), "batch": ((), ())},
        ),
        Sample(
            (_array(2, 3, 2, 4), _array(3, 4, 2, 2)),
            {"axes": ((3,), (1,)), "batch": ((2, 1), (3, 0))},
        ),
        Sample((_array(3), _array(3)), {"axes": ((0,), (0,)), "batch": ((), ())}),
        Sample((_array(2), _array(3)), {"axes": ((), ()), "batch": ((), ())}),
        Sample((_array(2, 0), _array(0, 3)), {"axes": ((1,), (0,)), "batch": ((), ())}),
        Sample(
            (np.array([[1, 2]]), np.array([[3], [4]])),
            {"axes": ((1,), (0,)), "batch": ((), ())}, smooth=False,
        ),
    ],
    failures=lambda: [
        Failure(
            (_array(3, 4), _array(3, 2)), {"axes": ((1,), (0,)), "batch": ((), ())},
            ShapeError,
            "[dot] the sizes to contract differ. Got: (3, 4) and (3, 2), whose axes 1 "
            "and 0 have 4 and 3 elements.",
        ),
        Failure(
            (_array(3, 4), _array(4, 2)), {"axes": ((1, 0), (0,)), "batch": ((), ())},
            ShapeError,
            "[dot] axes come in pairs, one of each operand. "
            "Got: axes=((1, 0), (0,)), batch=((), ()).",
        ),
        Failure(
            (_array(3, 4), _array(4, 2)), {"axes": ((1,), (2,)), "batch": ((), ())},
            AxisError,
            "[dot] the tensor has no such axis. "
            "Got: axis=2 for a tensor of 2 axes. Expected: 0 to 1.",
        ),
        Failure(
            (_array(3, 3), _array(3, 3)), {"axes": ((1,), (0,)), "batch": ((1,), (1,))},
            AxisError, "[dot] an axis is named twice. Got: axis=(1, 1).",
        ),
        Failure(
            (_array(3), np.arange(3)), {"axes": ((0,), (0,)), "batch": ((), ())},
            DTypeError,
            "[dot] operands differ in element type. Got: float64 and int64.",
        ),
        Failure(
            (np.array([True]),) * 2, {"axes": ((0,), (0,)), "batch": ((), ())},
            DTypeError,
            "[dot] the element type is not accepted. Got: bool. "
            "Expected: float or signed or unsigned. Fix: cast with x.to(...).",
        ),
    ],
    source="sums of products over paired axes; 16-bit floats accumulate in float32",
)  # fmt: skip


def dot(x: Node, y: Node, axes: Pair, batch: Pair = ((), ())) -> Node:
    """Return the sum of products over paired axes.

    Args:
        axes: axes of `x` and of `y` to contract, pairwise.
        batch: axes of `x` and of `y` that run together.

    Returns:
        Axes: the batch, the rest of `x`, the rest of `y`.
    """
    return apply(DOT, x, y, axes=axes, batch=batch)


def _pair(op: str, x: Node, y: Node) -> list[Node]:
    dtype = common_dtype((x, y))
    return [as_node(op, node, dtype) for node in (x, y)]


def matmul(x: Node, y: Node) -> Node:
    """Return the matrix product.

    Args:
        x: shape (..., m, k), or (k,).
        y: shape (..., k, n), or (k,). The leading axes broadcast.

    Returns:
        Shape (..., m, n), without m or n where the operand had one axis.

    Raises:
        ShapeError: a scalar operand, or the sizes k differ.

    Gradient: `ct @ y.T` and `x.T @ ct`, summed over broadcast axes.

    Source: Array API standard 2024.12.
    """
    x, y = _pair("matmul", x, y)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(
            "[matmul] a scalar has no rows or columns",
            got=f"{x.shape} @ {y.shape}",
            fix="use * for a product of elements",
        )
    inner = y.ndim - 2 if y.ndim > 1 else 0
    if x.shape[-1] != y.shape[inner]:
        raise ShapeError(
            "[matmul] the inner sizes differ",
            got=f"{x.shape} @ {y.shape}: the last axis of the first has {x.shape[-1]} "
            f"elements, axis {inner - y.ndim} of the second has {y.shape[inner]}",
            expected="(..., m, k) @ (..., k, n)",
            fix="transpose one of them, for example with .mT",
        )
    if y.ndim <= 2:
        return dot(x, y, ((x.ndim - 1,), (inner,)))
    if x.ndim == 1:
        return movement.squeeze(matmul(movement.expand_dims(x), y), -2)
    lead = broadcast("matmul", x.shape[:-2], y.shape[:-2])
    x = movement.expand(x, (*lead, *x.shape[-2:]))
    y = movement.expand(y, (*lead, *y.shape[-2:]))
    n = len(lead)
    axes = tuple(range(n))
    return dot(x, y, ((n + 1,), (n,)), (axes, axes))


def linear(x: Node, weight: Node, bias: Node | None = None) -> Node:
    """Return `x @ weight.T + bias`.

    Args:
        x: shape (..., in_features).
        weight: shape (out_features, in_features).
        bias: shape (out_features,).

    Returns:
        Shape (..., out_features).

    Raises:
        ShapeError: the feature counts differ.
    """
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        features = weight.shape[-1] if weight.ndim else "?"
        raise ShapeError(
            "[linear] the input's features are not those of the weight",
            got=f"input {x.shape}, weight {weight.shape}",
            expected=f"input (..., {features}) for this weight "
            "(out_features, in_features)",
        )
    _check_bias("linear", bias, weight)
    x, weight = _pair("linear", x, weight)
    result = dot(x, weight, ((x.ndim - 1,), (1,)))
    return result if bias is None else elementwise.add(result, bias)


def _check_bias(op: str, bias: Node | None, weight: Node) -> None:
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"[{op}] the bias is not one number for each output feature",
            got=f"bias {bias.shape}, weight {weight.shape}",
            expected=f"bias {weight.shape[:1]}",
        )


def bilinear(x1: Node, x2: Node, weight: Node, bias: Node | None = None) -> Node:
    """Return `x1 @ weight[k] @ x2 + bias[k]` for each output feature k.

    Args:
        x1: shape (..., in1_features).
        x2: shape (..., in2_features).
        weight: shape (out_features, in1_features, in2_features).
        bias: shape (out_features,).

    Returns:
        Shape (..., out_features).

    Raises:
        ShapeError: the feature counts differ.
    """
    features = (*x1.shape[-1:], *x2.shape[-1:])
    if weight.ndim != 3 or features != weight.shape[1:]:
        raise ShapeError(
            "[bilinear] the inputs' features are not those of the weight",
            got=f"inputs {x1.shape} and {x2.shape}, weight {weight.shape}",
            expected="inputs (..., in1_features) and (..., in2_features), weight "
            "(out_features, in1_features, in2_features)",
        )
    _check_bias("bilinear", bias, weight)
    result = einsum("...i,kij,...j->...k", x1, weight, x2)
    return result if bias is None else elementwise.add(result, bias)


def tensordot(x: Node, y: Node, *, axes: int | Sequence[Sequence[int]] = 2) -> Node:
    """Return the sum of products over several axes.

    Args:
        axes: n contracts the last n axes of `x` with the first n of `y`; or two lists
            of axes, paired.

    Raises:
        ShapeError: paired axes differ in size, or in number.
        AxisError: an axis does not exist.
    """
    x, y = _pair("tensordot", x, y)
    if isinstance(axes, int):
        if not 0 <= axes <= np.minimum(x.ndim, y.ndim):
            raise ArgumentError(
                "[tensordot] there are not so many axes",
                got=f"axes={axes} for shapes {x.shape} and {y.shape}",
            )
        return dot(x, y, (tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))))
    if not isinstance(axes, (tuple, list)) or len(axes) != 2:
        raise ArgumentError(
            "[tensordot] axes must be a number, or a list for each operand",
            got=repr(axes),
        )
    left = normalize_axes("tensordot", axes[0], x.ndim)
    right = normalize_axes("tensordot", axes[1], y.ndim)
    return dot(x, y, (left, right))


def vecdot(x: Node, y: Node, *, axis: int = -1) -> Node:
    """Return the sum of products of `x` and `y` along `axis`.

    The axis is counted from the last in both; the other axes broadcast.

    Raises:
        ShapeError: the sizes along `axis` differ.
    """
    x, y = _pair("vecdot", x, y)
    normalize_axis("vecdot", axis, np.minimum(x.ndim, y.ndim).item())
    if x.shape[axis] != y.shape[axis]:
        raise ShapeError(
            "[vecdot] the sizes along the axis differ",
            got=f"{x.shape} and {y.shape} on axis {axis}",
        )
    x, y = movement.moveaxis(x, axis, -1), movement.moveaxis(y, axis, -1)
    shape = movement.broadcast_shape("vecdot", x, y)
    x, y = movement.expand(x, shape), movement.expand(y, shape)
    lead = tuple(range(len(shape) - 1))
    return dot(x, y, ((len(lead),), (len(lead),)), (lead, lead))


def outer(x: Node, y: Node) -> Node:
    """Return the table of products of the vectors `x` and `y`, shape (n, m)."""
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError("[outer] two vectors are needed", got=f"{x.shape}, {y.shape}")
    return tensordot(x, y, axes=0)


# Einstein summation


def einsum(equation: str, *operands: Node) -> Node:
    """Return the sum of products named by Einstein's convention.

    Args:
        equation: as in NumPy, for example `"bij,bjk->bik"`. Without `->`, indices named
            once are kept, in alphabetical order. `...` stands for axes that broadcast.
        operands: one tensor for each term.

    Raises:
        ArgumentError: the equation is malformed, or does not fit the operands.
        ShapeError: an index has two sizes.
    """
    terms, output = _parse_einsum(equation, operands)
    dtype = common_dtype(operands)
    nodes = [as_node("einsum", x, dtype) for x in operands]
    sizes: dict[str, int] = {}
    for term, node in zip(terms, nodes, strict=True):
        for letter, n in zip(term, node.shape, strict=True):
            if sizes.setdefault(letter, n) == 1:
                sizes[letter] = n
            elif n not in (1, sizes[letter]):
                name = "..." if letter in _DOTS else letter
                raise ShapeError(
                    f"[einsum] the index {name} has two sizes",
                    got=f"{sizes[letter]} and {n} in {equation!r} for "
                    + ", ".join(str(x.shape) for x in nodes),
                )
    pairs = [_tidy(term, node, sizes) for term, node in zip(terms, nodes, strict=True)]
    term, node = pairs.pop(0)
    while pairs:
        needed = set(output).union(*(other for other, _ in pairs[1:]))
        term, node = _contract_pair(term, node, *pairs.pop(0), needed)
    gone = tuple(i for i, letter in enumerate(term) if letter not in output)
    node = reduce.sum_over(node, gone)
    term = "".join(letter for letter in term if letter in output)
    return movement._permute(node, tuple(term.index(letter) for letter in output))


# Letters that stand for the axes of "...", more than a tensor has.
_DOTS = [chr(code) for code in range(0x100, 0x180)]


def _parse_einsum(equation: str, operands: Sequence[Node]) -> tuple[list[str], str]:
    if not isinstance(equation, str):
        raise ArgumentTypeError(
            "[einsum] the equation must be a string", got=type(equation).__name__
        )
    text = equation.replace(" ", "")
    left, arrow, output = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ArgumentError(
            "[einsum] one term is needed for each operand",
            got=f"{len(terms)} terms in {equation!r} and {len(operands)} operands",
        )
    widths = [
        x.ndim - len(t.replace("...", "")) for t, x in zip(terms, operands, strict=True)
    ]
    most = max([w for t, w in zip(terms, widths, strict=True) if "..." in t] or [0])
    dots = "".join([c for c in _DOTS if c not in text][:most])
    full = []
    for term, width, x in zip(terms, widths, operands, strict=True):
        if width < 0 or (width > 0 and "..." not in term) or term.count("...") > 1:
            raise ArgumentError(
                f"[einsum] the term {term!r} does not name each axis once",
                got=f"a tensor of shape {x.shape}",
            )
        full.append(term.replace("...", dots[most - width :] if width else ""))
    if not arrow:
        names = "".join(full)
        once = sorted(c for c in set(names) if names.count(c) == 1 and c not in dots)
        output = dots + "".join(once)
    else:
        output = output.replace("...", dots)
    bad = [c for c in output if output.count(c) > 1 or c not in "".join(full)]
    if bad or not all(c.isalpha() for c in "".join(full)):
        raise ArgumentError(
            "[einsum] the equation is malformed",
            got=repr(equation),
            expected='letters, commas and "->", each output index once and in a term',
        )
    return full, output


def _tidy(term: str, node: Node, sizes: dict[str, int]) -> tuple[str, Node]:
    """Broadcast axes of size 1, and take the diagonal of an index named twice."""
    node = movement.expand(node, tuple(sizes[letter] for letter in term))
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            i = term.index(letter)
            j = term.index(letter, i + 1)
            node = _diagonal_sum(node, i, j)
            term = term[:j] + term[j + 1 :]
    return term, node


def _diagonal_sum(x: Node, i: int, j: int) -> Node:
    """Return `x` with axis `j` removed where it equals axis `i`."""
    n = x.shape[i]
    shape_i, shape_j = [1] * x.ndim, [1] * x.ndim
    shape_i[i] = shape_j[j] = n
    same = elementwise.equal(
        movement.reshape(iota(n, int64), shape_i),
        movement.reshape(iota(n, int64), shape_j),
    )
    return reduce.sum_over(elementwise.select(same, x, 0), (j,))


def _contract_pair(
    a: str, x: Node, b: str, y: Node, needed: set[str]
) -> tuple[str, Node]:
    alone_x = tuple(i for i, c in enumerate(a) if c not in b and c not in needed)
    alone_y = tuple(i for i, c in enumerate(b) if c not in a and c not in needed)
    x, y = reduce.sum_over(x, alone_x), reduce.sum_over(y, alone_y)
    a = "".join(c for i, c in enumerate(a) if i not in alone_x)
    b = "".join(c for i, c in enumerate(b) if i not in alone_y)
    inner = [c for c in a if c in b and c not in needed]
    shared = [c for c in a if c in b and c in needed]
    result = dot(
        x, y,
        (tuple(a.index(c) for c in inner), tuple(b.index(c) for c in inner)),
        (tuple(a.index(c) for c in shared), tuple(b.index(c) for c in shared)),
    )  # fmt: skip
    rest = [c for c in a + b if c not in inner and c not in shared]
    return "".join(shared + rest), result


PRIMITIVES = (DOT,)

OPS = (matmul, linear, bilinear, tensordot, vecdot, outer, einsum)
