"""Linear maps of one input or two.

Read first: `Linear`.
"""

from __future__ import annotations

from typing import Any

import plait
from plait import Tensor

from ..arguments import Size
from ..errors import AxisError
from .module import Module
from .parameter import Parameter, own_parameter, spread
from .sample import Sample, uniform


def axis_number(layer: str, dim: int, shape: tuple[int, ...]) -> int:
    """Return the number of an axis, counted from 0.

    Raises:
        AxisError: there is no such axis.
    """
    if not -len(shape) <= dim < len(shape):
        raise AxisError(
            f"[{layer}] the tensor has no such axis",
            got=f"dim={dim} for a tensor of shape {shape}",
        )
    return dim % len(shape)


class Identity(Module):
    """Hands on its input. Takes and ignores any arguments.

    Input: any shape. Result: the same tensor.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input

    @staticmethod
    def samples() -> list[Sample]:
        return [Sample((uniform(3, 4),))]


class Linear(Module):
    """A linear map with an offset: x @ weight.T + bias.

    Args:
        in_features: the size of the input's last axis.
        out_features: the size of the result's last axis.
        bias: whether there is an offset.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (out_features, in_features); at first U(-b, b) with
            b = 1 / sqrt(in_features).
        bias: shape (out_features,), or None; at first as the weight.

    Input: shape (..., in_features). Result: shape (..., out_features).
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: Size,
        out_features: Size,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        shape = (out_features, in_features)
        own_parameter(self, "weight", shape, device, dtype)
        own_parameter(self, "bias", out_features if bias else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        spread((self.weight, self.bias), self.in_features)

    def forward(self, input: Tensor) -> Tensor:
        return plait.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), (4, 5)),
            Sample((uniform(2, 3, 4),), (4, 1), {"bias": False}),
            Sample((uniform(4),), (4, 2), separable=False),
            Sample((uniform(0, 4),), (4, 2)),
        ]


class Bilinear(Module):
    """A map linear in each of two inputs: x1 @ weight[k] @ x2 + bias[k].

    Args:
        in1_features, in2_features: the sizes of the inputs' last axes.
        out_features: the size of the result's last axis.
        bias: whether there is an offset.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape (out_features, in1_features, in2_features); at first U(-b, b) with
            b = 1 / sqrt(in1_features).
        bias: shape (out_features,), or None; at first as the weight.

    Input: shapes (..., in1_features) and (..., in2_features). Result: shape
    (..., out_features).
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: Size,
        in2_features: Size,
        out_features: Size,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        own_parameter(self, "weight", shape, device, dtype)
        own_parameter(self, "bias", out_features if bias else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        spread((self.weight, self.bias), self.in1_features)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return plait.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4), uniform(3, 2)), (4, 2, 5), wrt=(0, 1)),
            Sample((uniform(2, 3, 4), uniform(2, 3, 2)), (4, 2, 3), {"bias": False}),
        ]
