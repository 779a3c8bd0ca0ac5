"""Linear maps, and layers that only change shapes.

Read first: `Linear`.
"""

from __future__ import annotations

import math
from typing import Any

import plait
from plait import Tensor

from ..errors import ArgumentError, AxisError
from . import init
from .module import Module
from .parameter import Parameter
from .sample import Sample, uniform


def sizes(layer: str, **given: Any) -> None:
    """Raise unless every given size is an integer of at least 0.

    Raises:
        ArgumentError: one is not.
    """
    for name, size in given.items():
        whole = hasattr(size, "__index__") and not isinstance(size, bool)
        if not whole or size < 0:
            raise ArgumentError(
                f"[{layer}] {name} must be an integer of at least 0", got=repr(size)
            )


def probabilities(layer: str, **given: float) -> None:
    """Raise unless all lie in 0..1.

    Raises:
        ArgumentError: one does not.
    """
    for name, p in given.items():
        if not 0 <= p <= 1:
            raise ArgumentError(
                f"[{layer}] a probability lies in 0..1", got=f"{name}={p}"
            )


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

    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        shape = (out_features, in_features)
        self.weight = Parameter(plait.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(plait.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

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

    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes(
            "Bilinear", in1_features=in1_features, in2_features=in2_features,
            out_features=out_features,
        )  # fmt: skip
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(plait.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(plait.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        bound = 1 / math.sqrt(self.in1_features) if self.in1_features else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

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


class Flatten(Module):
    """Joins the axes from `start_dim` to `end_dim` into one. See `plait.flatten`.

    Args:
        start_dim: the first axis that is joined. Default: the one behind the batch.
        end_dim: the last one. Default: the last of all.

    Input: by default shape (n, ...). Result: shape
    (n, product of the sizes of the other axes).
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return plait.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 2, 4),)),
            Sample((uniform(2, 3, 4, 2),), (1, 2)),
            Sample((uniform(2, 3, 4),), (0, -1), separable=False),
        ]


class Unflatten(Module):
    """Splits an axis into several. See `plait.unflatten`.

    Args:
        dim: the axis.
        unflattened_size: the sizes of the new axes; they multiply to that of the axis.
            In place of a -1 stands what makes them do so.

    Input: shape (..., size, ...). Result: shape (..., *unflattened_size, ...).

    Raises:
        AxisError: (calling it) the input has no such axis.
        ShapeError: (calling it) the sizes do not multiply to that of the axis.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        return plait.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 12),), (1, (3, 4))),
            Sample((uniform(3, 12, 2),), (-2, (2, -1))),
        ]
