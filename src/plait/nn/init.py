"""Initial values of parameters, set in place. Every function returns its tensor.

The fans of a weight of shape (out, in, *kernel) are fan_in = in * size of the kernel
and fan_out = out * size of the kernel.

Read first: `kaiming_uniform_`, `calculate_gain`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import checked
from ..errors import ArgumentError, ShapeError
from ..names import missing

Generator = Any
# Of a normal distribution of deviation 1 that is cut off at two deviations:
# sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
_STD_OF_CUT_NORMAL = 0.87962566103423978


@checked
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


@checked
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with uniform random numbers between `a` and `b`.

    Args:
        tensor: it is filled in place.
        a: the least value.
        b: the greatest value.
        generator: of random numbers; None for the default one.
    """
    draw = plait.random.uniform(
        a, b, shape=tensor.shape, dtype=tensor.dtype, generator=generator
    )
    return _set(tensor, draw)


@checked
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with normally distributed random numbers.

    Args:
        tensor: it is filled in place.
        mean: of the distribution.
        std: its standard deviation.
        generator: of random numbers; None for the default one.
    """
    draw = plait.random.normal(
        mean, std, shape=tensor.shape, dtype=tensor.dtype, generator=generator
    )
    return _set(tensor, draw)


@checked
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator = None,
) -> Tensor:
    """Fill with normally distributed random numbers that lie between `a` and `b`.

    Args:
        tensor: it is filled in place.
        mean: of the distribution before it is cut off.
        std: its standard deviation.
        a: the least value.
        b: the greatest value.
        generator: of random numbers; None for the default one.
    """
    draw = plait.random.truncated_normal(
        mean, std, a, b, shape=tensor.shape, dtype=tensor.dtype, generator=generator
    )
    return _set(tensor, draw)


@checked
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with `val`.

    Args:
        tensor: it is filled in place.
        val: a number.
    """
    return _set(tensor, plait.full(tensor.shape, val, dtype=tensor.dtype))


@checked
def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1.

    Args:
        tensor: it is filled in place.
    """
    return constant_(tensor, 1)


@checked
def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0.

    Args:
        tensor: it is filled in place.
    """
    return constant_(tensor, 0)


@checked
def eye_(tensor: Tensor) -> Tensor:
    """Set a matrix to 1 on its diagonal and 0 elsewhere.

    Args:
        tensor: it is filled in place.
    """
    _check_rank("eye_", tensor, 2, 2)
    return _set(tensor, plait.eye(*tensor.shape, dtype=tensor.dtype))


@checked
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Set the weight of a convolution so that it hands on its input channels.

    Within each group, output channel i has a 1 in the middle of the kernel of input
    channel i, as far as there is one.

    Args:
        tensor: it is filled in place.
        groups: of the convolution.

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


@checked
def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with uniform random numbers of a width that keeps variances both ways.

    Formula: U(-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)).

    Args:
        tensor: it is filled in place.
        gain: see `calculate_gain`.
        generator: of random numbers; None for the default one.

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010.
    """
    bound = math.sqrt(3.0) * _xavier_std("xavier_uniform_", tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


@checked
def xavier_normal_(
    tensor: Tensor, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with normal random numbers of a width that keeps variances both ways.

    Formula: N(0, std ** 2) with std = gain * sqrt(2 / (fan_in + fan_out)).

    Args:
        tensor: it is filled in place.
        gain: see `calculate_gain`.
        generator: of random numbers; None for the default one.

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010.
    """
    std = _xavier_std("xavier_normal_", tensor, gain)
    return normal_(tensor, 0.0, std, generator)


def _xavier_std(op: str, tensor: Tensor, gain: float) -> float:
    total = sum(_fans(op, tensor))
    return gain * math.sqrt(2.0 / total) if total else 0.0


@checked
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
        tensor: it is filled in place.
        a: the slope of `leaky_relu`, for the gain.
        mode: `fan_in` keeps variances forward, `fan_out` backward.
        nonlinearity: for the gain; see `calculate_gain`.
        generator: of random numbers; None for the default one.

    Source: K. He et al., "Delving deep into rectifiers", 2015.
    """
    bound = math.sqrt(3.0) * _kaiming_std(
        "kaiming_uniform_", tensor, a, mode, nonlinearity
    )
    return uniform_(tensor, -bound, bound, generator)


@checked
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
        tensor: it is filled in place.
        a: the slope of `leaky_relu`, for the gain.
        mode: `fan_in` keeps variances forward, `fan_out` backward.
        nonlinearity: for the gain; see `calculate_gain`.
        generator: of random numbers; None for the default one.

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


@checked
def variance_scaling_(
    tensor: Tensor,
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    generator: Generator = None,
) -> Tensor:
    """Fill with random numbers of variance scale / fan: the general form of the others.

    Args:
        tensor: it is filled in place.
        scale: above 0. 1 for Lecun's and Xavier's values, 2 for Kaiming's.
        mode: `fan_in`, `fan_out`, or `fan_avg` for the mean of the two.
        distribution: `truncated_normal`, cut off at two deviations, whose variance is
            that of the formula after the cut; `normal` or `untruncated_normal`; or
            `uniform`.
        generator: of random numbers; None for the default one.

    Raises:
        ArgumentError: the mode or the distribution is unknown, or scale not above 0.

    Source: Keras, VarianceScaling.
    """
    if not scale > 0:
        raise ArgumentError(
            "[variance_scaling_] scale is not above 0", got=f"scale={scale}"
        )
    std = math.sqrt(scale) * _std("variance_scaling_", tensor, mode)
    if distribution == "truncated_normal":
        wide = std / _STD_OF_CUT_NORMAL
        return trunc_normal_(tensor, 0.0, wide, -2 * wide, 2 * wide, generator)
    if distribution in ("normal", "untruncated_normal"):
        return normal_(tensor, 0.0, std, generator)
    if distribution == "uniform":
        bound = math.sqrt(3.0) * std
        return uniform_(tensor, -bound, bound, generator)
    raise ArgumentError(
        "[variance_scaling_] this distribution is unknown",
        got=repr(distribution),
        expected="truncated_normal, normal, untruncated_normal or uniform",
    )


def _std(op: str, tensor: Tensor, mode: str) -> float:
    fan_in, fan_out = _fans(op, tensor)
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if mode not in fans:
        raise ArgumentError(
            f"[{op}] this mode is unknown",
            got=repr(mode),
            expected="fan_in, fan_out or fan_avg",
        )
    return 1 / math.sqrt(fans[mode]) if fans[mode] else 0.0


@checked
def lecun_uniform_(tensor: Tensor, generator: Generator = None) -> Tensor:
    """Fill with uniform random numbers of variance 1 / fan_in.

    Formula: U(-b, b) with b = sqrt(3 / fan_in).

    Args:
        tensor: it is filled in place.
        generator: of random numbers; None for the default one.

    Source: Y. LeCun et al., "Efficient backprop", 1998.
    """
    bound = math.sqrt(3.0) * _std("lecun_uniform_", tensor, "fan_in")
    return uniform_(tensor, -bound, bound, generator)


@checked
def lecun_normal_(tensor: Tensor, generator: Generator = None) -> Tensor:
    """Fill with normal random numbers of variance 1 / fan_in, cut at two deviations.

    Args:
        tensor: it is filled in place.
        generator: of random numbers; None for the default one.

    Source: Y. LeCun et al., "Efficient backprop", 1998; G. Klambauer et al.,
    "Self-normalizing neural networks", 2017.
    """
    _fans("lecun_normal_", tensor)
    return variance_scaling_(tensor, generator=generator)


@checked
def bilinear_(tensor: Tensor) -> Tensor:
    """Set the weight of a transposed convolution so that it enlarges pictures smoothly.

    Formula: the product over the axes of the kernel of 1 - abs(i / f - c) with
    f = ceil(n / 2) and c = (2 f - 1 - f % 2) / (2 f) for the place i in a kernel of
    size n, for every pair of channels. With `groups` equal to the channels, each is
    enlarged by itself; the stride is f, the padding ceil((f - 1) / 2).

    Args:
        tensor: it is filled in place.

    Raises:
        ShapeError: not three to five axes.

    Source: J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for
    semantic segmentation", 2015; Caffe, the filler "bilinear".
    """
    _check_rank("bilinear_", tensor, 3, 5)
    values = np.ones(())
    for size in tensor.shape[2:]:
        factor = math.ceil(size / 2)
        middle = (2 * factor - 1 - factor % 2) / (2 * factor)
        line = 1 - np.abs(np.arange(size) / factor - middle)
        values = np.multiply.outer(values, line)
    return _set(tensor, plait.asarray(np.broadcast_to(values, tensor.shape).copy()))


@checked
def positive_unitball_(tensor: Tensor, generator: Generator = None) -> Tensor:
    """Fill with uniform random numbers, divided so that each row adds up to 1.

    Axes after the first count as columns.

    Args:
        tensor: it is filled in place.
        generator: of random numbers; None for the default one.

    Source: Caffe, the filler "positive_unitball".
    """
    _check_rank("positive_unitball_", tensor, 1)
    draw = plait.random.uniform(
        shape=tensor.shape, dtype=plait.float64, generator=generator
    )
    if not tensor.size:
        return tensor
    axes = tuple(range(1, tensor.ndim))
    total = plait.sum(draw, axis=axes, keepdims=True) if axes else draw
    return _set(tensor, draw / total)


@checked
def orthogonal_(
    tensor: Tensor, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    """Fill with a random matrix of orthonormal rows or columns, whichever are fewer.

    Axes after the first count as columns.

    Args:
        tensor: it is filled in place.
        gain: what the matrix is multiplied by.
        generator: of random numbers; None for the default one.

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


@checked
def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator = None
) -> Tensor:
    """Fill a matrix with normal random numbers, of which a part of each column is 0.

    Args:
        tensor: it is filled in place.
        sparsity: the part of each column that is 0, rounded up to whole elements.
        std: of the other elements.
        generator: of random numbers; None for the default one.

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


if not TYPE_CHECKING:  # else every name would pass for one of ours
    __getattr__ = missing("plait.nn.init")
