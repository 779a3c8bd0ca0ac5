"""What is added to a loss to keep weights or activations small, or orthogonal.

    loss_function = nn.RegularizedLoss(nn.CrossEntropyLoss(), model, nn.L2(1e-4))

Read first: `L1L2`, `RegularizedLoss`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Checked, NotNegative
from ..errors import ArgumentError, ShapeError
from .module import Module
from .sample import Sample, uniform


class L1L2(Module):
    """The penalty l1 * sum(abs(x)) + l2 * sum(x ** 2) of a tensor x.

    Args:
        l1: the factor of absolute values, not negative.
        l2: the factor of squares, not negative.

    Input: a tensor of any shape. Result: a scalar.
    """

    _shown = ("l1", "l2")

    def __init__(self, l1: NotNegative = 0.0, l2: NotNegative = 0.0) -> None:
        super().__init__()
        self.l1 = l1
        self.l2 = l2

    def forward(self, x: Tensor) -> Tensor:
        # Without the terms whose factors are 0.
        terms = [self.l1 * plait.sum(plait.abs(x))] if self.l1 else []
        if self.l2 or not terms:
            terms.append(self.l2 * plait.sum(x * x))
        total: Tensor = terms[0] if len(terms) == 1 else terms[0] + terms[1]
        return total

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: L1L2, x: np.ndarray) -> Any:
            return layer.l1 * abs(x).sum() + layer.l2 * (x**2).sum()

        shared: Any = {"like_torch": "never", "separable": False}
        return [
            Sample((uniform(3, 4),), args, reference=reference, **shared)
            for args in ((0.1, 0.2), (0.3,), ())
        ]


class L1(L1L2):
    """The penalty l1 * sum(abs(x)) of a tensor x.

    Args:
        l1: the factor, not negative.

    Input: a tensor of any shape. Result: a scalar.
    """

    def __init__(self, l1: NotNegative = 0.01) -> None:
        super().__init__(l1=l1)

    @staticmethod
    def samples() -> list[Sample]:
        return [x._replace(args=x.args[:1]) for x in L1L2.samples()]


class L2(L1L2):
    """The penalty l2 * sum(x ** 2) of a tensor x.

    Args:
        l2: the factor, not negative.

    Input: a tensor of any shape. Result: a scalar.
    """

    def __init__(self, l2: NotNegative = 0.01) -> None:
        super().__init__(l2=l2)

    @staticmethod
    def samples() -> list[Sample]:
        return [x._replace(args=x.args[:1]) for x in L1L2.samples()]


@plait.custom_vjp
def _penalised(x: Tensor, l1: Tensor, l2: Tensor) -> Tensor:
    return x


def _penalised_forward(x: Tensor, l1: Tensor, l2: Tensor) -> Any:
    return x, (x, l1, l2)


def _penalised_backward(kept: Any, ct: Tensor) -> Any:
    x, l1, l2 = kept
    return ct + l1 * plait.sign(x) + 2 * l2 * x, None, None


_penalised.defvjp(_penalised_forward, _penalised_backward)


class ActivityRegularization(L1L2):
    """Hands on its input, and makes training keep it small.

    In training the gradient of a penalty, l1 * sum(abs(x)) + l2 * sum(x ** 2), is added
    to the gradient of the input, as if the penalty were part of the loss. So it works
    anywhere in a model and keeps nothing between calls. What a loss reports does not
    contain it: `penalty` gives it. It is not scaled with the loss, so it does not go
    with `optim.GradScaler`.

    Args:
        l1: the factor of the sum of absolute values.
        l2: the factor of the sum of squares.

    Input: any shape. Result: the same.

    Raises:
        ArgumentError: a factor is negative.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.l1 == self.l2 == 0:
            return input
        factors = (plait.asarray(x, dtype=input.dtype) for x in (self.l1, self.l2))
        result: Tensor = _penalised(input, *factors)
        return result

    def penalty(self, input: Tensor) -> Tensor:
        """Return what is added to the loss, in effect: shape ()."""
        return super().forward(input)

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(3, 4)
        return [
            Sample((x,), (0.1, 0.2), smooth=False, reference=lambda _, x: x),
            Sample((x,), reference=lambda _, x: x),
        ]


class OrthogonalRegularizer(Module):
    """The penalty of rows, or columns, that are not at right angles to one another.

    Formula: factor * the mean over all pairs of rows of the absolute value of their
    cosine.

    Args:
        factor: of the penalty.
        mode: "rows" or "columns".

    Input: a matrix. Result: a scalar.
    """

    _shown = ("factor", "mode")

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        super().__init__()
        if mode not in ("rows", "columns"):
            raise ArgumentError(
                "[OrthogonalRegularizer] there is no such mode",
                got=repr(mode),
                expected="'rows' or 'columns'",
            )
        self.factor = factor
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2:
            raise ShapeError(
                "[OrthogonalRegularizer] the input is no matrix", got=f"shape {x.shape}"
            )
        rows = plait.normalize(x if self.mode == "rows" else x.T, axis=1)
        cosines = plait.abs(plait.matmul(rows, rows.T))
        n = rows.shape[0]
        between = cosines * (1 - plait.eye(n, dtype=x.dtype))
        return self.factor * plait.sum(between) / max(n * (n - 1), 1)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: OrthogonalRegularizer, x: np.ndarray) -> Any:
            x = x if layer.mode == "rows" else x.T
            x = x / np.linalg.norm(x, axis=1, keepdims=True)
            pairs = [abs(a @ b) for i, a in enumerate(x) for b in x[:i]]
            return layer.factor * np.mean(pairs)

        shared: Any = {"like_torch": "never", "separable": False}
        return [
            Sample((uniform(3, 4),), (0.5, mode), reference=reference, **shared)
            for mode in ("rows", "columns")
        ]


def named_like(
    owner: str, model: Module, functions: Mapping[str, Any]
) -> list[tuple[Tensor, Any]]:
    """Return the parameters whose names fit a pattern, each with what belongs to it.

    Args:
        owner: of whom errors speak.
        functions: by pattern, as in {"encoder.*.weight": L1(1e-5)}.

    Raises:
        ArgumentError: a pattern fits no parameter.
    """
    named = list(model.named_parameters())
    found: list[tuple[Tensor, Any]] = []
    for pattern, function in functions.items():
        fitting = [x for name, x in named if fnmatch.fnmatchcase(name, pattern)]
        if not fitting:
            raise ArgumentError(
                f"[{owner}] no parameter is named so",
                got=repr(pattern),
                expected="one of " + ", ".join(name for name, _ in named[:8]),
            )
        found += [(x, function) for x in fitting]
    return found


class RegularizedLoss(Checked):
    """A loss with penalties of a model's parameters.

    Formula: loss(output, target) + the sum of the penalties.

    Args:
        loss_function: of output and target.
        model: whose parameters they are.
        penalty: a function of a tensor, such as `L2(1e-4)`, of every parameter whose
            name ends in "weight"; or one by pattern of names, as in
            {"encoder.*.weight": L1(1e-5)}.

    Raises:
        ArgumentError: a pattern fits no parameter.

    It is called as the loss is.
    """

    def __init__(
        self,
        loss_function: Any,
        model: Module,
        penalty: Any,
    ) -> None:
        self.loss_function = loss_function
        self.model = model
        self.penalties = (
            dict(penalty) if isinstance(penalty, Mapping) else {"*weight": penalty}
        )
        named_like("RegularizedLoss", model, self.penalties)

    def __call__(self, *args: Any) -> Tensor:
        total: Tensor = self.loss_function(*args)
        found = named_like("RegularizedLoss", self.model, self.penalties)
        for parameter, penalty in found:
            total = total + penalty(parameter)
        return total
