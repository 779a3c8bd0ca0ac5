"""Adafactor: the mean squares of a matrix kept as one row and one column.

Read first: `Adafactor`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import plait
from plait import Tensor

from .optimizer import Optimizer
from .terms import filled, least, length, mixed, shrinking, wide, zeros


class Adafactor(Optimizer):
    """Adaptive steps with little memory: means of squares by rows and columns.

    1. g = gradient; negated if `maximize`.
    2. p = p - lr * weight_decay * p
    3. b = t ** beta2_decay
    4. r = (1 - b) * r + b * (mean of g ** 2 along the last axis), c likewise along the
       last but one, and v = r * c / max(mean of r, eps1); for a vector or scalar,
       v = (1 - b) * v + b * g ** 2
    5. u = g / sqrt(max(v, eps1 ** 2))
    6. p = p - max(eps2, rms(p)) * min(lr, 1 / sqrt(t)) * u / max(1, rms(u) / d)

    t is the number of the step, from 1; rms is the root of the mean of squares; r, c
    and v begin at 0.

    Args:
        params: tensors or groups; see `Optimizer`.
        lr: learning rate, relative to the size of the parameters.
        beta2_decay: power of the decrease of b.
        eps: eps1, which keeps the divisor from 0 (None for the machine epsilon of the
            parameter's type, or of float32 for one of 16 bits), and eps2, the least
            size that counts for a parameter.
        d: how large the rms of a step may be.
        weight_decay: factor of the decay.
        maximize: go up instead of down.

    Source: N. Shazeer, M. Stern, "Adafactor: adaptive learning rates with sublinear
    memory cost", 2018. The order of the terms is PyTorch's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d,
            "weight_decay": weight_decay, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(
        self,
        *,
        beta2_decay: float,
        eps: tuple[float | None, float],
        d: float,
        **others: Any,
    ) -> None:
        super().check(**others)
        self.refuse(not beta2_decay <= 0, "beta2_decay is above 0", beta2_decay)
        self.refuse(
            not all(x is None or x >= 0 for x in eps), "eps has a negative part", eps
        )
        self.refuse(not d >= 1, "d is below 1", d)

    @staticmethod
    def init(parameter: Tensor, **_: Any) -> dict[str, Tensor]:
        if parameter.ndim < 2:
            return zeros(parameter, "variance")
        *front, rows, columns = parameter.shape
        shapes = {"row_var": (*front, rows, 1), "col_var": (*front, 1, columns)}
        return {name: filled(s, 0.0, parameter) for name, s in shapes.items()}

    @staticmethod
    def coefficients(
        step: int,
        *,
        lr: float,
        beta2_decay: float,
        eps: tuple[float | None, float],
        d: float,
        weight_decay: float,
        maximize: bool,
    ) -> dict[str, Any]:
        return {
            "rate": least(lr, 1 / step**0.5),
            "new": step**beta2_decay,
            "eps1": eps[0],
            "eps1_square": None if eps[0] is None else eps[0] * eps[0],
            "eps2": eps[1],
            "most": d,
            "shrink": shrinking(lr, weight_decay),
            "maximize": maximize,
        }

    @staticmethod
    def update(
        parameter: Tensor,
        gradient: Tensor,
        state: dict[str, Tensor],
        *,
        rate: float,
        new: float,
        eps1: float | None,
        eps1_square: float | None,
        eps2: float,
        most: float,
        shrink: float | None,
        maximize: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if not parameter.size:
            return parameter, state
        if maximize:
            gradient = -gradient
        if eps1 is None or eps1_square is None:
            eps1 = float(plait.finfo(parameter.dtype).eps)
            eps1_square = eps1 * eps1
        count = math.sqrt(parameter.size)
        rate_of_size = plait.maximum(length(parameter) / count, eps2) * rate
        if shrink is not None:
            parameter = parameter * shrink
        given = wide(gradient)
        square = given * given
        if parameter.ndim < 2:
            found = mixed(state["variance"], square, new)
            kept = {"variance": found}
        else:
            row = plait.mean(square, axis=-1, keepdims=True)
            column = plait.mean(square, axis=-2, keepdims=True)
            row = mixed(state["row_var"], row, new)
            column = mixed(state["col_var"], column, new)
            kept = {"row_var": row, "col_var": column}
            middle = plait.mean(row, axis=-2, keepdims=True)
            found = row * (column / plait.maximum(middle, eps1))
        step = given / plait.sqrt(plait.maximum(found, eps1_square))
        limit = plait.maximum(length(step) / count / most, 1.0)
        return parameter - step * (rate_of_size / limit), kept

    @staticmethod
    def samples() -> list[dict[str, Any]]:
        return [
            {"lr": 0.03, "beta2_decay": -0.5},
            {"lr": 0.3, "eps": (1e-4, 1e-2), "weight_decay": 0.1},
            {"lr": 0.1, "d": 1.5, "eps": (0.1, 2.0), "maximize": True},
        ]
