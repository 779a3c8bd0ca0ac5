"""What PyTorch calls each primitive: an independent judge of values and derivatives.

An entry is a function of tensors and the primitive's attributes, or the reason why
there is none. Without PyTorch, `torch` is None and nothing here is called.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

NO_DERIVATIVE = "the result has no derivative"


def dtype_of(dtype: Any) -> Any:
    return getattr(torch, dtype.name)


def pad(x: Any, *, widths: Any, value: float) -> Any:
    if not widths:
        return x.clone()
    flat = [w for pair in reversed(widths) for w in pair]
    return torch.nn.functional.pad(x, flat, value=value)


def slices(x: Any, *, starts: Any, stops: Any, steps: Any) -> Any:
    return x[tuple(slice(*part) for part in zip(starts, stops, steps, strict=True))]


def product(x: Any, *, axes: tuple[int, ...]) -> Any:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis)
    return x.clone()


def dot(x: Any, y: Any, *, axes: Any, batch: Any) -> Any:
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left, right = [""] * x.ndim, [""] * y.ndim
    for i, j in [*zip(*axes, strict=True), *zip(*batch, strict=True)]:
        left[i] = right[j] = next(letters)
    left = [letter or next(letters) for letter in left]
    right = [letter or next(letters) for letter in right]
    lead = [left[i] for i in batch[0]]
    summed = [left[i] for i in axes[0]]
    rest = [c for c in left + right if c not in summed and c not in lead]
    return torch.einsum(
        f"{''.join(left)},{''.join(right)}->{''.join(lead + rest)}", x, y
    )


def gather(x: Any, indices: Any, *, axis: int, batch: int) -> Any:
    if batch:
        rows = [
            gather(x[i], indices[i], axis=axis - 1, batch=batch - 1)
            for i in range(len(x))
        ]
        return torch.stack(rows)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return torch.index_select(x, axis, indices.reshape(-1)).reshape(shape)


def scatter(
    x: Any, indices: Any, updates: Any, *, axis: int, batch: int, mode: str
) -> Any:
    if batch:
        rows = [
            scatter(*row, axis=axis - 1, batch=batch - 1, mode=mode)
            for row in zip(x, indices, updates, strict=True)
        ]
        return torch.stack(rows)
    flat = indices.reshape(-1)
    updates = updates.reshape(*x.shape[:axis], flat.numel(), *x.shape[axis + 1 :])
    if mode == "set":
        # With an index named twice, index_copy gives a derivative to both writers.
        result = x.clone()
        for k, i in enumerate(flat.tolist()):
            place = (slice(None),) * axis
            result[(*place, i)] = updates[(*place, k)]
        return result
    if mode == "add":
        return torch.index_add(x, axis, flat, updates)
    name = {"multiply": "prod", "max": "amax", "min": "amin"}[mode]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is in beta
        return torch.index_reduce(x, axis, flat, updates, name)


def convolution(
    x: Any,
    weight: Any,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    input_dilation: Any,
    groups: int,
) -> Any:
    for axis, spread in enumerate(input_dilation, 2):
        parts = []
        for piece in x.split(1, axis):
            parts += [piece] + [torch.zeros_like(piece)] * (spread - 1)
        x = torch.cat(parts, axis).narrow(axis, 0, (x.shape[axis] - 1) * spread + 1)
    x = torch.nn.functional.pad(x, [w for pair in reversed(padding) for w in pair])
    names = {1: "conv1d", 2: "conv2d", 3: "conv3d"}
    function = getattr(torch.nn.functional, names[len(stride)])
    return function(x, weight, stride=stride, dilation=dilation, groups=groups)


def windows(x: Any, *, window: Any, stride: Any, dilation: Any) -> Any:
    lead = x.ndim - len(window)
    for i, (k, step, gap) in enumerate(zip(window, stride, dilation, strict=True)):
        x = x.unfold(lead + i, (k - 1) * gap + 1, step)[..., ::gap]
    return x.clone()


def fold(x: Any, *, size: Any, stride: Any, dilation: Any) -> Any:
    rank = len(size)
    lead = x.ndim - 2 * rank
    if rank == 0:
        return x.clone()
    # Where each element goes, by the windows of the positions.
    places = torch.arange(math.prod(size)).reshape(size)
    window = x.shape[lead + rank :]
    target = windows(places, window=window, stride=stride, dilation=dilation)
    flat = x.reshape(*x.shape[:lead], -1)
    result = torch.zeros(*x.shape[:lead], math.prod(size), dtype=x.dtype)
    return result.index_add(lead, target.reshape(-1), flat).reshape(
        *x.shape[:lead], *size
    )


def triangular_solve(
    a: Any, b: Any, *, lower: bool, transpose: bool, unit_diagonal: bool
) -> Any:
    if transpose:
        a, lower = a.mT, not lower
    return torch.linalg.solve_triangular(
        a, b, upper=not lower, unitriangular=unit_diagonal
    )


def signs(vectors: Any) -> Any:
    """Return 1 or -1 for each column, to turn it as plait does: the first element of at
    least half of the greatest is positive.
    """
    if not vectors.shape[-2]:
        return vectors.sum(-2)  # empty
    size = vectors.abs()
    large = size >= 0.5 * size.amax(-2, keepdim=True)
    first = large.to(torch.int8).argmax(-2, keepdim=True)
    return torch.sign(torch.take_along_dim(vectors, first, -2))[..., 0, :].detach()


def svd(x: Any, *, full_matrices: bool) -> Any:
    u, s, vh = torch.linalg.svd(x, full_matrices)
    turn = signs(u)
    return u * turn[..., None, :], s, vh * turn[..., : vh.shape[-2], None]


def eigh(x: Any) -> Any:
    w, v = torch.linalg.eigh((x + x.mT) / 2)
    return w, v * signs(v)[..., None, :]


HOLDS_GRAPHS = "PyTorch has no graphs to hold"

TORCH: dict[str, Callable[..., Any] | str] = {
    # source
    "constant": NO_DERIVATIVE,
    "iota": NO_DERIVATIVE,
    "stop_gradient": lambda x: x.detach(),
    "variable": lambda x: x.clone(),
    # elementwise
    "cast": lambda x, *, dtype: x.to(dtype_of(dtype)),
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "floor_divide": "PyTorch gives it no derivative",
    "remainder": lambda x, y: torch.remainder(x, y),
    "power": lambda x, y: torch.pow(x, y),
    "negative": lambda x: -x,
    "abs": lambda x: torch.abs(x),
    "sign": lambda x: torch.sign(x),
    "maximum": lambda x, y: torch.maximum(x, y),
    "minimum": lambda x, y: torch.minimum(x, y),
    "equal": NO_DERIVATIVE,
    "not_equal": NO_DERIVATIVE,
    "less": NO_DERIVATIVE,
    "less_equal": NO_DERIVATIVE,
    "bitwise_and": NO_DERIVATIVE,
    "bitwise_or": NO_DERIVATIVE,
    "bitwise_xor": NO_DERIVATIVE,
    "bitwise_invert": NO_DERIVATIVE,
    "bitwise_left_shift": NO_DERIVATIVE,
    "bitwise_right_shift": NO_DERIVATIVE,
    "select": lambda c, x, y: torch.where(c, x, y),
    "floor": lambda x: torch.floor(x),
    "ceil": lambda x: torch.ceil(x),
    "trunc": lambda x: torch.trunc(x),
    "round": lambda x: torch.round(x),
    "exp": lambda x: torch.exp(x),
    "expm1": lambda x: torch.expm1(x),
    "log": lambda x: torch.log(x),
    "log1p": lambda x: torch.log1p(x),
    "sqrt": lambda x: torch.sqrt(x),
    "sigmoid": lambda x: torch.sigmoid(x),
    "sin": lambda x: torch.sin(x),
    "cos": lambda x: torch.cos(x),
    "tan": lambda x: torch.tan(x),
    "asin": lambda x: torch.asin(x),
    "acos": lambda x: torch.acos(x),
    "atan": lambda x: torch.atan(x),
    "atan2": lambda y, x: torch.atan2(y, x),
    "sinh": lambda x: torch.sinh(x),
    "cosh": lambda x: torch.cosh(x),
    "tanh": lambda x: torch.tanh(x),
    "asinh": lambda x: torch.asinh(x),
    "acosh": lambda x: torch.acosh(x),
    "atanh": lambda x: torch.atanh(x),
    "signbit": NO_DERIVATIVE,
    "copysign": lambda x, y: torch.copysign(x, y),
    "nextafter": "PyTorch gives it no derivative",
    "bitcast": NO_DERIVATIVE,
    # movement
    "reshape": lambda x, *, shape: x.reshape(shape),
    "permute": lambda x, *, axes: x.permute(axes),
    "expand": lambda x, *, shape: x.expand(shape),
    "pad": pad,
    "slice": slices,
    "flip": lambda x, *, axes: torch.flip(x, axes),
    "concatenate": lambda *xs, axis: torch.cat(xs, axis),
    # reduce
    "sum": lambda x, *, axes: torch.sum(x, axes) if axes else x.clone(),
    "product": product,
    "max": lambda x, *, axes: torch.amax(x, axes) if axes else x.clone(),
    "min": lambda x, *, axes: torch.amin(x, axes) if axes else x.clone(),
    "argmax": NO_DERIVATIVE,
    "argmin": NO_DERIVATIVE,
    "cumulative_sum": lambda x, *, axis: torch.cumsum(x, axis),
    "cumulative_product": lambda x, *, axis: torch.cumprod(x, axis),
    "cumulative_max": lambda x, *, axis: torch.cummax(x, axis).values,
    # contract
    "dot": dot,
    # index
    "class_number": NO_DERIVATIVE,
    "wrap_index": NO_DERIVATIVE,
    "gather": gather,
    "scatter": scatter,
    # sort
    "sort": lambda x, *, axis, descending, stable: tuple(
        torch.sort(x, dim=axis, descending=descending, stable=stable)
    ),
    "top_k": lambda x, *, k, axis: tuple(torch.topk(x, k, axis)),
    "search_sorted": NO_DERIVATIVE,
    # random
    "random_bits": NO_DERIVATIVE,
    # window
    "convolution": convolution,
    "windows": windows,
    "fold": fold,
    # special
    "erf": lambda x: torch.erf(x),
    "erfc": lambda x: torch.erfc(x),
    "erfinv": lambda x: torch.erfinv(x),
    "lgamma": lambda x: torch.lgamma(x),
    "digamma": lambda x: torch.digamma(x),
    "polygamma": lambda x, *, order: torch.polygamma(order, x),
    # linalg
    "cholesky": lambda x, *, upper: torch.linalg.cholesky((x + x.mT) / 2, upper=upper),
    "triangular_solve": triangular_solve,
    "solve": lambda a, b: torch.linalg.solve(a, b),
    "qr": lambda x, *, mode: tuple(torch.linalg.qr(x, mode)),
    "svd": svd,
    "eigh": eigh,
    "slogdet": lambda x: tuple(torch.linalg.slogdet(x)),
    "det": lambda x: torch.linalg.det(x),
    "cofactor": lambda x: torch.linalg.det(x)[..., None, None] * torch.linalg.inv(x).mT,
    "pinv": lambda x, rtol: torch.linalg.pinv(x, rtol=rtol.detach()),
    # control
    "cond": HOLDS_GRAPHS,
    "while_loop": HOLDS_GRAPHS,
    "scan": HOLDS_GRAPHS,
    "custom_vjp": HOLDS_GRAPHS,
    "recompute": HOLDS_GRAPHS,
}
