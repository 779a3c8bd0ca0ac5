"""Maps like `Linear`: of any axes, rounded to three values, or with a small one added.

Read first: `EinsumDense`, `LoRALinear`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Size
from ..errors import ArgumentError
from . import init
from .linear import Linear
from .module import Module
from .parameter import Parameter, own_parameter, spread
from .sample import Sample, linear_map, uniform


class EinsumDense(Module):
    """A linear map over any axes, written with Einstein's convention.

    Args:
        equation: for `plait.einsum` with two operands, the input and the weight, such
            as "...a,ab->...b".
        weight_shape: the sizes of the weight's axes, in the order of the equation.
        bias_axes: those letters of the weight along which there is an offset, in their
            order in the result. Default: there is none.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight: shape `weight_shape`; at first U(-b, b) with b = 1 / sqrt(the product of
            the sizes that are summed over).
        bias: sizes of the letters from the first of `bias_axes` on, with 1 for the
            others, so that it broadcasts; or None. At first as the weight.

    Input: shape as in the equation. Result: shape as in the equation.

    Raises:
        ArgumentError: the equation has not two operands, or does not fit the shape; a
            letter of `bias_axes` is not in both weight and result.

    Example:
        >>> import plait
        >>> from plait import nn
        >>> heads = nn.EinsumDense("...a,ahb->...hb", (8, 2, 4), bias_axes="hb")
        >>> heads(plait.zeros(3, 5, 8)).shape
        (3, 5, 2, 4)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        equation: str,
        weight_shape: Sequence[Size],
        bias_axes: str | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.equation = equation
        self.bias_axes = bias_axes
        self.weight_shape = tuple(weight_shape)
        given, arrow, result = equation.replace(" ", "").partition("->")
        operands = given.split(",")
        if not arrow or len(operands) != 2 or "." in operands[1]:
            raise ArgumentError(
                "[EinsumDense] the equation must say what becomes of input and weight",
                got=repr(equation),
                expected='such as "...a,ab->...b"',
            )
        letters = operands[1]
        if len(letters) != len(self.weight_shape):
            raise ArgumentError(
                "[EinsumDense] the weight needs one size for each letter",
                got=f"weight_shape={self.weight_shape} for {letters!r}",
            )
        each = dict(zip(letters, self.weight_shape, strict=True))
        summed = [n for letter, n in each.items() if letter not in result]
        self._fan_in = math.prod(summed)
        own_parameter(self, "weight", self.weight_shape, device, dtype)
        shape = _bias_shape(bias_axes, result, each) if bias_axes else None
        own_parameter(self, "bias", shape, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        spread((self.weight, self.bias), self._fan_in)

    def forward(self, input: Tensor) -> Tensor:
        result = plait.einsum(self.equation, input, self.weight)
        return result if self.bias is None else result + self.bias

    def extra_repr(self) -> str:
        text = f"{self.equation!r}, {self.weight_shape}"
        return text + (f", bias_axes={self.bias_axes!r}" if self.bias_axes else "")

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: EinsumDense, x: np.ndarray) -> np.ndarray:
            result: np.ndarray = np.einsum(layer.equation, x, layer.weight.numpy())
            return result if layer.bias is None else result + layer.bias.numpy()

        return [
            Sample((uniform(3, 4),), ("ab,bc->ac", (4, 5), "c"), reference=reference),
            Sample(
                (uniform(2, 3, 4),), ("...xa,ahb->...hxb", (4, 2, 3), "h"),
                reference=reference,
            ),
            Sample((uniform(2, 3, 4),), ("nta,as->nts", (4, 5)), reference=reference),
        ]  # fmt: skip


def _bias_shape(bias_axes: str, result: str, each: dict[str, int]) -> tuple[int, ...]:
    """Return the shape of an offset that broadcasts with the result."""
    for letter in bias_axes:
        if letter not in each or letter not in result:
            raise ArgumentError(
                "[EinsumDense] an offset stands along axes of weight and result",
                got=f"bias_axes={bias_axes!r}",
                expected=f"letters of {''.join(c for c in each if c in result)!r}",
            )
    # What stands in front broadcasts by itself.
    kept = result[min(result.index(letter) for letter in bias_axes) :]
    if "." in kept:
        raise ArgumentError(
            "[EinsumDense] an offset stands behind the dots of the result",
            got=f"bias_axes={bias_axes!r} for {result!r}",
        )
    return tuple(each[letter] if letter in bias_axes else 1 for letter in kept)


def _ternary(weight: Tensor, threshold: Tensor) -> Tensor:
    return plait.where(plait.abs(weight) > threshold, plait.sign(weight), 0.0)


# The gradient goes through as if nothing were rounded.
_rounded = plait.custom_vjp(_ternary)
_rounded.defvjp(
    lambda weight, threshold: (_ternary(weight, threshold), None),
    lambda _, ct: (ct, None),
)


class TernaryDense(Linear):
    """A `Linear` layer that computes with weights -1, 0 and 1 only.

    The weights that are trained are real numbers. Each call rounds them, and their
    gradient is that of the rounded ones: a straight-through estimator.

    Formula: y = scale * (x @ t.T) + bias, where t is the sign of a weight whose
    absolute value is above the threshold, and else 0.

    Args:
        in_features: the size of the input's last axis.
        out_features: the size of the result's last axis.
        threshold: default: half of mean(abs(weight)), and scale is mean(abs(weight)).
            With a number, scale is 1.
        bias: whether there is an offset.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight, bias: those of `Linear`.

    Input: shape (..., in_features). Result: shape (..., out_features).

    Raises:
        ArgumentError: the threshold is negative.

    Source: S. Ma et al., "The era of 1-bit LLMs: all large language models are in 1.58
    bits", 2024; Y. Bengio et al., "Estimating or propagating gradients through
    stochastic neurons for conditional computation", 2013.
    """

    def __init__(
        self,
        in_features: Size,
        out_features: Size,
        threshold: float | None = None,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if threshold is not None and not threshold >= 0:
            raise ArgumentError(
                "[TernaryDense] the threshold must not be negative",
                got=f"threshold={threshold}",
            )
        super().__init__(in_features, out_features, bias, device, dtype)
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight
        if self.threshold is not None:
            limit = plait.asarray(self.threshold, dtype=weight.dtype)
            return plait.linear(input, _rounded(weight, limit), self.bias)
        scale = plait.abs(weight).mean()
        ternary = scale * _rounded(weight, scale / 2)
        return plait.linear(input, ternary, self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, threshold={self.threshold}"

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: TernaryDense, x: np.ndarray) -> np.ndarray:
            weight = layer.weight.numpy()
            scale = np.abs(weight).mean()
            limit = scale / 2 if layer.threshold is None else layer.threshold
            ternary = np.sign(weight) * (np.abs(weight) > limit)
            result: np.ndarray = x @ ternary.T
            result = result * scale if layer.threshold is None else result
            return result if layer.bias is None else result + layer.bias.numpy()

        return [
            Sample((uniform(3, 4),), (4, 5), smooth=False, reference=reference),
            Sample(
                (uniform(2, 3, 4),), (4, 5, 0.3, False), smooth=False,
                reference=reference,
            ),
        ]  # fmt: skip


class LoRALinear(Linear):
    """A `Linear` layer whose weight stays, and a small one of low rank that is trained.

    Formula: y = x @ weight.T + bias + alpha / rank * (x @ lora_a.T) @ lora_b.T.

    Args:
        in_features: the size of the input's last axis.
        out_features: the size of the result's last axis.
        rank: the size between the two small matrices.
        alpha: the factor of their product, times rank. Default: `rank`.
        bias: whether there is an offset.
        freeze: do not train weight and offset.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight, bias: those of `Linear`.
        lora_a: shape (rank, in_features); at first from `init.kaiming_uniform_`.
        lora_b: shape (out_features, rank); at first 0, so that nothing changes yet.

    Input: shape (..., in_features). Result: shape (..., out_features).

    Raises:
        ArgumentError: the rank is 0.

    Source: E. Hu et al., "LoRA: low-rank adaptation of large language models", 2021.

    Example:
        >>> from plait import nn
        >>> trained = nn.Linear(64, 32)
        >>> adapted = nn.LoRALinear.from_linear(trained, rank=4)
        >>> [n for n, x in adapted.named_parameters() if x.requires_grad]
        ['lora_a', 'lora_b']
    """

    lora_a: Parameter
    lora_b: Parameter

    def __init__(
        self,
        in_features: Size,
        out_features: Size,
        rank: Size,
        alpha: float | None = None,
        bias: bool = True,
        freeze: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if rank == 0:
            raise ArgumentError("[LoRALinear] a rank of at least 1 is needed", got="0")
        super().__init__(in_features, out_features, bias, device, dtype)
        self.rank = rank
        self.alpha = float(rank if alpha is None else alpha)
        self.freeze = freeze
        own_parameter(self, "lora_a", (rank, in_features), device, dtype)
        own_parameter(self, "lora_b", (out_features, rank), device, dtype)
        self._reset_added()
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                parameter.requires_grad_(not freeze)

    @classmethod
    def from_linear(
        cls, linear: Linear, rank: int, alpha: float | None = None, freeze: bool = True
    ) -> LoRALinear:
        """Return a layer with the weight and offset of `linear`.

        Args:
            linear: a layer, whose values are copied.
            rank, alpha, freeze: those of the layer.
        """
        new = cls(
            linear.in_features, linear.out_features, rank, alpha,
            linear.bias is not None, freeze, linear.weight.device, linear.weight.dtype,
        )  # fmt: skip
        new.load_state_dict(linear.state_dict(), strict=False)
        return new

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        super().reset_parameters()
        if "lora_a" in vars(self):  # `Linear` calls this before they are there
            self._reset_added()

    def _reset_added(self) -> None:
        init.kaiming_uniform_(self.lora_a, math.sqrt(5))
        init.zeros_(self.lora_b)

    def merged(self) -> Linear:
        """Return a `Linear` layer that computes the same."""
        weight = self.weight.detach()
        new = Linear(
            self.in_features, self.out_features, self.bias is not None,
            weight.device, weight.dtype,
        )  # fmt: skip
        change = self.lora_b.detach() @ self.lora_a.detach()
        new.weight.data = weight + self.alpha / self.rank * change
        if new.bias is not None and self.bias is not None:
            new.bias.data = self.bias.detach()
        return new

    def forward(self, input: Tensor) -> Tensor:
        low = plait.linear(plait.linear(input, self.lora_a), self.lora_b)
        return super().forward(input) + self.alpha / self.rank * low

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}, alpha={self.alpha}"

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: LoRALinear, x: np.ndarray) -> Any:
            low = x @ layer.lora_a.numpy().T @ layer.lora_b.numpy().T
            return linear_map(layer, x) + layer.alpha / layer.rank * low

        trained = {"freeze": False}
        return [
            Sample((uniform(3, 4),), (4, 5, 2), trained, reference=reference),
            Sample(
                (uniform(2, 3, 4),), (4, 5, 1, 8.0, False), trained,
                reference=reference,
            ),
        ]  # fmt: skip
