"""Layers that multiply and add: given numbers, trained ones, or to a norm of 1.

Read first: `Rescaling`, `Scale`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import NotNegative
from . import init
from .module import Module
from .parameter import Parameter, own_parameter
from .sample import Sample, uniform


class Rescaling(Module):
    """x * scale + offset: for example bytes to numbers in 0..1, with scale=1/255.

    Args:
        scale: a number, or a tensor that broadcasts, such as (channels, 1, 1).
        offset: the same.

    Input: any shape; integers become the default floating-point type. Result: the same.
    """

    _shown = ("scale", "offset")

    def __init__(self, scale: float | Tensor, offset: float | Tensor = 0.0) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset

    def forward(self, input: Tensor) -> Tensor:
        scale, offset = (
            x.to(input.dtype) if isinstance(x, Tensor) and input.dtype.is_float else x
            for x in (self.scale, self.offset)
        )
        return input * scale + offset

    @staticmethod
    def samples() -> list[Sample]:
        scale = np.array([[1.0], [2.0], [0.5]])

        def reference(layer: Rescaling, x: np.ndarray) -> np.ndarray:
            result: np.ndarray = x * np.asarray(layer.scale) + np.asarray(layer.offset)
            return result

        return [
            Sample((uniform(3, 4),), (1 / 127.5, -1.0), reference=reference),
            Sample(
                (uniform(2, 3, 4),), (), {"scale": scale, "offset": scale - 1},
                reference=reference,
            ),
        ]  # fmt: skip


class Scale(Module):
    """A trained factor for each feature, and an offset.

    Formula: x * weight + bias.

    Args:
        shape: of both; it broadcasts with the input, such as (channels, 1, 1) for
            images, or () for one factor of all.
        weight: whether there is a factor.
        bias: whether there is an offset.
        value: the factor at first.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape `shape`, at first `value`; or None.
        bias: shape `shape`, at first 0; or None.

    Input: any shape that `shape` broadcasts to. Result: the same.

    Source: H. Touvron et al., "Going deeper with image transformers", 2021, for
    factors that begin near 0.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        shape: int | tuple[int, ...],
        weight: bool = True,
        bias: bool = False,
        value: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.value = value
        for name, wanted in (("weight", weight), ("bias", bias)):
            own_parameter(self, name, shape if wanted else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to their initial values."""
        if self.weight is not None:
            init.constant_(self.weight, self.value)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        result = input if self.weight is None else input * self.weight
        return result if self.bias is None else result + self.bias

    def extra_repr(self) -> str:
        weight, bias = self.weight is not None, self.bias is not None
        return f"{self.shape}, weight={weight}, bias={bias}"

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Scale, x: np.ndarray) -> np.ndarray:
            for parameter, join in ((layer.weight, np.multiply), (layer.bias, np.add)):
                if parameter is not None:
                    x = join(x, parameter.numpy())
            return x

        return [
            Sample((uniform(3, 4),), (4, True, True), reference=reference),
            Sample((uniform(2, 3, 4),), ((3, 1),), reference=reference),
            Sample((uniform(3, 4),), ((), False, True), reference=reference),
        ]


class UnitNormalization(Module):
    """Divides by the norm along an axis, so that it becomes 1. See `plait.normalize`.

    Formula: x / max(norm(x), eps), with the p-norm over `dim`.

    Args:
        dim: the axis, or several.
        p: of the norm, the p-th root of the sum of abs(x) ** p.
        eps: the least that is divided by.

    Input: any shape. Result: the same.
    """

    _shown = ("dim", "p", "eps")

    def __init__(
        self, dim: int | tuple[int, ...] = -1, p: float = 2.0, eps: NotNegative = 1e-12
    ) -> None:
        super().__init__()
        self.dim = dim
        self.p = p
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        return plait.normalize(input, self.p, self.dim, self.eps)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: UnitNormalization, x: np.ndarray) -> np.ndarray:
            powers = np.sum(np.abs(x) ** layer.p, axis=layer.dim, keepdims=True)
            result: np.ndarray = x / powers ** (1 / layer.p)
            return result

        return [
            Sample((uniform(3, 4),), reference=reference),
            Sample((uniform(2, 3, 4),), ((1, 2), 3.0), reference=reference),
        ]
