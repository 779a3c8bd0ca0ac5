"""Activation functions as layers.

Formulas, gradients and sources stand with the functions.

Read first: `ReLU`, `Softmax`.
"""

from __future__ import annotations

from typing import Any

import plait
from plait import Tensor

from ..arguments import Size
from .module import Module
from .parameter import Parameter
from .sample import Sample, uniform


class _Activation(Module):
    """An activation with samples that reach beyond where it bends."""

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4, low=-4.0, high=4.0),))]


class _InPlace(_Activation):
    """One of those that take PyTorch's `inplace`, which has no effect here.

    Args:
        inplace: has no effect: results of ops never share memory with their inputs.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class ReLU(_InPlace):
    """max(x, 0). See `plait.relu`.

    Args:
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.relu(input)


class ReLU6(_InPlace):
    """min(max(x, 0), 6). See `plait.relu6`.

    Args:
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.relu6(input)


class LeakyReLU(_InPlace):
    """x where it is positive, else negative_slope * x. See `plait.leaky_relu`.

    Args:
        negative_slope: the factor of what is not positive.
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    _shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return plait.leaky_relu(input, self.negative_slope)


class PReLU(_Activation):
    """x where it is positive, else a trained slope times x. See `plait.prelu`.

    Args:
        num_parameters: 1, or the number of channels, the size of axis 1.
        init: the slope at first.
        dtype: of the slopes. Default: float32.

    Attributes:
        weight: the slopes, shape (num_parameters,); at first `init`.

    Input: shape (n, channels, ...), or any shape with one slope. Result: the same
    shape.

    Raises:
        ArgumentError: `num_parameters` is no integer, or negative.
        ShapeError: (calling it) the number of slopes is neither 1 nor that of the
            channels.
    """

    _shown = ("num_parameters",)

    def __init__(
        self,
        num_parameters: Size = 1,
        init: float = 0.25,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        values = plait.empty(num_parameters, device=device, dtype=dtype)
        self.weight = Parameter(values)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to what they were at first."""
        self.weight.data = plait.full_like(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return plait.prelu(input, self.weight)

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),)),
            Sample((uniform(2, 3, 4),), (3,), {"init": 0.5}),
        ]


class RReLU(_InPlace):
    """x where it is positive, else a random slope times x. See `plait.rrelu`.

    In training each element has its own slope; in evaluation mode the slope is the mean
    of the two bounds.

    Args:
        lower, upper: the bounds of the slope.
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    _shown = ("lower", "upper")

    def __init__(
        self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False
    ) -> None:
        super().__init__(inplace)
        self.lower = lower
        self.upper = upper

    def forward(self, input: Tensor, key: Tensor | None = None) -> Tensor:
        """Return the result.

        Args:
            key: for the random numbers. Default: the default generator's next; inside
                `jit` one must be given.
        """
        used: Any = None
        if self.training:
            used = plait.random.next_key() if key is None else key
        return plait.rrelu(input, used, self.lower, self.upper)

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(3, 4)
        return [
            Sample((x,), smooth=False, like_torch="eval"),
            Sample((x,), (0.2, 0.2)),
        ]


class ELU(_InPlace):
    """x where it is positive, else alpha * (exp(x) - 1). See `plait.elu`.

    Args:
        alpha: minus the lower limit.
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    _shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return plait.elu(input, self.alpha)

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4),)), Sample((uniform(3, 4),), (0.5,))]


class CELU(ELU):
    """x where it is positive, else alpha * (exp(x / alpha) - 1). See `plait.celu`.

    Args:
        alpha: minus the lower limit; not 0.
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.

    Raises:
        ArgumentError: (calling it) `alpha` is 0.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.celu(input, self.alpha)


class SELU(_InPlace):
    """An ELU that keeps mean 0 and variance 1. See `plait.selu`.

    Formula: scale * elu(x, alpha), with scale = 1.0507... and alpha = 1.6732....

    Args:
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.selu(input)


class GELU(_Activation):
    """x times the normal distribution function of x. See `plait.gelu`.

    Args:
        approximate: "none" for that, or "tanh" for a formula near to it.

    Input: any shape. Result: the same shape.

    Raises:
        ArgumentError: (calling it) `approximate` is something else.
    """

    _shown = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return plait.gelu(input, self.approximate)

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4),)), Sample((uniform(3, 4),), ("tanh",))]


class SiLU(_InPlace):
    """x * sigmoid(x). See `plait.silu`.

    Args:
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.silu(input)


class Mish(_InPlace):
    """x * tanh(log(1 + exp(x))). See `plait.mish`.

    Args:
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.mish(input)


class Sigmoid(_Activation):
    """1 / (1 + exp(-x)). See `plait.sigmoid`.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.sigmoid(input)


class Tanh(_Activation):
    """The hyperbolic tangent. See `plait.tanh`.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.tanh(input)


class LogSigmoid(_Activation):
    """log(sigmoid(x)). See `plait.log_sigmoid`.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.log_sigmoid(input)


class Softplus(_Activation):
    """log(1 + exp(beta * x)) / beta. See `plait.softplus`.

    Args:
        beta: how sharp the bend is; positive.
        threshold: where beta * x is above it, the result is x.

    Input: any shape. Result: the same shape.

    Raises:
        ArgumentError: (calling it) `beta` is not positive.
    """

    _shown = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return plait.softplus(input, self.beta, self.threshold)

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4),)), Sample((uniform(3, 4),), (2.0, 3.0))]


class Softsign(_Activation):
    """x / (1 + abs(x)). See `plait.softsign`.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.softsign(input)


class Hardtanh(_InPlace):
    """x limited to min_val and max_val. See `plait.hardtanh`.

    Args:
        min_val, max_val: the limits.
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    _shown = ("min_val", "max_val")

    def __init__(
        self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
    ) -> None:
        super().__init__(inplace)
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, input: Tensor) -> Tensor:
        return plait.hardtanh(input, self.min_val, self.max_val)


class Hardsigmoid(_InPlace):
    """min(max(x + 3, 0), 6) / 6. See `plait.hardsigmoid`.

    Args:
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.hardsigmoid(input)


class Hardswish(_InPlace):
    """x * min(max(x + 3, 0), 6) / 6. See `plait.hardswish`.

    Args:
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.hardswish(input)


class Hardshrink(_Activation):
    """0 where abs(x) <= lambd, else x. See `plait.hardshrink`.

    Args:
        lambd: the greatest size that becomes 0.

    Input: any shape. Result: the same shape.
    """

    _shown = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return plait.hardshrink(input, self.lambd)


class Softshrink(Hardshrink):
    """0 where abs(x) <= lambd, else x moved towards 0 by it. See `plait.softshrink`.

    Args:
        lambd: how far; not negative.

    Input: any shape. Result: the same shape.

    Raises:
        ArgumentError: (calling it) `lambd` is negative.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.softshrink(input, self.lambd)


class Tanhshrink(_Activation):
    """x - tanh(x). See `plait.tanhshrink`.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.tanhshrink(input)


class Threshold(_InPlace):
    """x where it is above `threshold`, else `value`. See `plait.threshold`.

    Args:
        threshold: what is not above it is replaced.
        value: by this.
        inplace: has no effect: tensors are not changed in place.

    Input: any shape. Result: the same shape.
    """

    _shown = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return plait.threshold(input, self.threshold, self.value)

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4),), (0.1, 2.0))]


class _AlongAxis(_Activation):
    """An activation along one axis.

    Args:
        dim: the axis.
    """

    _shown = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), (1,)),
            Sample((uniform(2, 4, 3),), (-2,)),
            Sample((uniform(4, 2),), (0,), separable=False),
        ]


class Softmax(_AlongAxis):
    """exp(x) over its sum along `dim`. See `plait.softmax`.

    Args:
        dim: the axis. Default: the last one.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.softmax(input, self.dim)


class Softmin(_AlongAxis):
    """exp(-x) over its sum along `dim`. See `plait.softmin`.

    Args:
        dim: the axis. Default: the last one.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.softmin(input, self.dim)


class LogSoftmax(_AlongAxis):
    """The logarithm of the softmax along `dim`. See `plait.log_softmax`.

    Args:
        dim: the axis. Default: the last one.

    Input: any shape. Result: the same shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.log_softmax(input, self.dim)


class GLU(_AlongAxis):
    """The first half along `dim` times the sigmoid of the second. See `plait.glu`.

    Args:
        dim: the axis. Default: the last one.

    Input: any shape. Result: the same shape, with half the size of the axis.

    Raises:
        ShapeError: (calling it) the size of the axis is odd.
    """

    def forward(self, input: Tensor) -> Tensor:
        return plait.glu(input, self.dim)
