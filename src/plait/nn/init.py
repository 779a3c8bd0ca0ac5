"""Initial values of parameters, set in place. Every function returns its tensor.

The fans of a weight of shape (out, in, *kernel) are fan_in = in * size of the kernel
and fan_out = out * size of the kernel.

Read first: `kaiming_uniform_`, `calculate_gain`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError

Generator = Any


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return by how much weights should be wider for what a nonlinearity takes away.

    Args:
        nonlinearity: `linear`, `conv1d` to `conv3d` (also transposed), `sigmoid`: 1;
            `tanh`: 5/3; `relu`: sqrt(2); `leaky_relu`: sqrt(2 / (1 + slope ** 2));
            `selu`: 3/4.
        param: the slope of `leaky_relu`. Default: 0.01.

    Raises:
        ArgumentError: the nonlinearity is unknown.
    """
    ones = ["linear", "sigmoid"]
    ones += [f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)]
    gains = dict.fromkeys(ones, 1.0)
    slope = 0.01 if param is None else param
    gains.update(
        tanh=5 / 3,
        relu=math.sqrt(2),
        leaky_relu=math.sqrt(2 / (1 + slope**2)),
        selu=3 / 4,
    )
    if nonlinearity not in gains:
        raise ArgumentError(
            "[calculate_gain] this nonlinearity is unknown",
            got=repr(nonlinearity),
            expected=", ".join(gains),
        )
    return gains[nonlinearity]


def _set(tensor: Tensor, value: Tensor) -> Tensor:
    tensor.data = value if value.dtype is tensor.dtype else value.to(tensor.dtype)
    return tensor


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with uniform random numbers between `a` and `b`."""
    draw = plait.random.uniform(
        a, b, shape=tensor.shape, dtype=tensor.dtype, generator=generator
    )
    return _set(tensor, draw)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with normally distributed random numbers."""
    draw = plait.random.normal(
        mean, std, shape=tensor.shape, dtype=tensor.dtype, generator=generator
    )
    return _set(tensor, draw)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator = None,
) -> Tensor:
    """Fill with normally distributed random numbers that lie between `a` and `b`."""
    draw = plait.random.truncated_normal(
        mean, std, a, b, shape=tensor.shape, dtype=tensor.dtype, generator=generator
    )
    return _set(tensor, draw)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with `val`."""
    return _set(tensor, plait.full(tensor.shape, val, dtype=tensor.dtype))


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """Set a matrix to 1 on its diagonal and 0 elsewhere."""
    _check_rank("eye_", tensor, 2, 2)
    return _set(tensor, plait.eye(*tensor.shape, dtype=tensor.dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Set the weight of a convolution so that it hands on its input channels.

    Within each group, output channel i has a 1 in the middle of the kernel of input
    channel i, as far as there is one.

    Raises:
        ShapeError: not three to five axes.
        ArgumentError: the output channels cannot be divided into so many groups.
    """
    _check_rank("dirac_", tensor, 3, 5)
    outputs, inputs, *kernel = tensor.shape
    if groups < 1 or outputs % groups:
        raise ArgumentError(
            "[dirac_] the output channels cannot be divided into so many groups",
            got=f"groups={groups} for {outputs} channels",
        )
    values = np.zeros(tensor.shape, np.float32)
    each = outputs // groups
    same = np.arange(min(each, inputs))
    middle = [size // 2 for size in kernel]
    for group in range(groups):
        values[(group * each + same, same, *middle)] = 1  # type: ignore[index]
    return _set(tensor, plait.asarray(values))


def _check_rank(op: str, tensor: Tensor, least: int, most: int | None = None) -> None:
    if tensor.ndim < least or (most is not None and tensor.ndim > most):
        count = (
            str(least)
            if least == most
            else f"{least} to {most}"
            if most
            else (f"{least} or more")
        )
        raise ShapeError(
            f"[{op}] the tensor has not the right number of axes",
            got=f"shape {tensor.shape}",
            expected=f"{count} axes",
        )


def _fans(op: str, tensor: Tensor) -> tuple[int, int]:
    _check_rank(op, tensor, 2)
    outputs, inputs, *kernel = tensor.shape
    size = math.prod(kernel)
    return inputs * size, outputs * size


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with uniform random numbers of a width that keeps variances both ways.

    Formula: U(-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)).

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010.
    """
    bound = math.sqrt(3.0) * _xavier_std("xavier_uniform_", tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(
    tensor: Tensor, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with normal random numbers of a width that keeps variances both ways.

    Formula: N(0, std ** 2) with std = gain * sqrt(2 / (fan_in + fan_out)).

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010.
    """
    std = _xavier_std("xavier_normal_", tensor, gain)
    return normal_(tensor, 0.0, std, generator)


def _xavier_std(op: str, tensor: Tensor, gain: float) -> float:
    total = sum(_fans(op, tensor))
    return gain * math.sqrt(2.0 / total) if total else 0.0


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """Fill with uniform random numbers of a width that keeps variances one way.

    Formula: U(-b, b) with b = gain * sqrt(3 / fan).

    Args:
        a: the slope of `leaky_relu`, for the gain.
        mode: `fan_in` keeps variances forward, `fan_out` backward.
        nonlinearity: for the gain; see `calculate_gain`.

    Source: K. He et al., "Delving deep into rectifiers", 2015.
    """
    bound = math.sqrt(3.0) * _kaiming_std(
        "kaiming_uniform_", tensor, a, mode, nonlinearity
    )
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
) -> Tensor:
    """Fill with normal random numbers of a width that keeps variances one way.

    Formula: N(0, std ** 2) with std = gain / sqrt(fan).

    Args:
        a: the slope of `leaky_relu`, for the gain.
        mode: `fan_in` keeps variances forward, `fan_out` backward.
        nonlinearity: for the gain; see `calculate_gain`.

    Source: K. He et al., "Delving deep into rectifiers", 2015.
    """
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(
    op: str, tensor: Tensor, a: float, mode: str, nonlinearity: str
) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(
            f"[{op}] this mode is unknown", got=repr(mode), expected="fan_in or fan_out"
        )
    fan_in, fan_out = _fans(op, tensor)
    fan = fan_in if mode == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def orthogonal_(
    tensor: Tensor, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with a random matrix of orthonormal rows or columns, whichever are fewer.

    Axes after the first count as columns.

    Source: A. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks", 2013.
    """
    _check_rank("orthogonal_", tensor, 2)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    if not tensor.size:
        return tensor
    tall = (max(rows, columns), min(rows, columns))
    draw = plait.random.normal(shape=tall, dtype=plait.float64, generator=generator)
    q, r = plait.linalg.qr(draw)
    # Of the many QR decompositions the one with a positive diagonal is distributed
    # evenly.
    diagonal = plait.diagonal(r)
    q = q * plait.where(diagonal < 0, -1.0, 1.0)
    q = q.mT if rows < columns else q
    return _set(tensor, (q * gain).reshape(tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator = None
) -> Tensor:
    """Fill a matrix with normal random numbers, of which a part of each column is 0.

    Args:
        sparsity: the part of each column that is 0, rounded up to whole elements.
        std: of the other elements.

    Raises:
        ArgumentError: `sparsity` is not in 0..1.

    Source: J. Martens, "Deep learning via Hessian-free optimization", 2010.
    """
    _check_rank("sparse_", tensor, 2, 2)
    if not 0 <= sparsity <= 1:
        raise ArgumentError(
            "[sparse_] sparsity must be in 0..1", got=f"sparsity={sparsity}"
        )
    zeros = math.ceil(sparsity * tensor.shape[0])
    values = plait.random.normal(
        0.0, std, shape=tensor.shape, dtype=tensor.dtype, generator=generator
    )
    # In each column, the order of random numbers is a random order of the rows.
    order = plait.random.uniform(
        shape=tensor.shape, dtype=plait.float64, generator=generator
    )
    rank = plait.argsort(plait.argsort(order, axis=0), axis=0)
    return _set(tensor, plait.where(rank < zeros, 0.0, values))
