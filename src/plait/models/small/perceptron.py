"""Perceptrons: the one of 1958 with its own rule, and the one of several layers.

Read first: `Perceptron`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import plait
from plait import Tensor

from ... import nn
from ...errors import ArgumentError, ShapeError
from .rows import rows


class Perceptron(nn.Module):
    """Rosenblatt's perceptron: says on which side of a plane a point lies.

    Formula: 1 if x @ weight + bias > 0, else 0. Learning adds rate * (y - result) * x
    to the weight, and rate * (y - result) to the bias, for one example after another.
    If a plane parts the classes, that ends with no mistakes.

    Args:
        inputs: how many numbers an example has.

    Attributes:
        weight, bias: shapes (inputs,) and (); at first 0.

    Input: shape (n, inputs). Result: int64, shape (n,).

    Example:
        >>> import plait
        >>> from plait import models
        >>> x = plait.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> net = models.Perceptron(2)
        >>> mistakes = net.fit(x, plait.asarray([0, 0, 0, 1]), epochs=10)
        >>> net(x).tolist(), mistakes[-1].item()
        ([0, 0, 0, 1], 0)

    Source: F. Rosenblatt, "The perceptron", 1958.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Buffer(plait.zeros((inputs,)))
        self.bias = nn.Buffer(plait.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        x = rows(self, x, self.weight, self.weight.shape[0])
        return ((x @ self.weight + self.bias) > 0).to(plait.int64)

    def fit(self, x: Any, y: Any, epochs: int = 100, rate: float = 1.0) -> Tensor:
        """Learn from examples, in their order, and return the mistakes of each epoch.

        Args:
            x: shape (n, inputs).
            y: 0 or 1 (or bool), shape (n,).
            epochs: how often all examples are seen.
            rate: see the formula.

        Returns:
            int64, shape (epochs,).

        Raises:
            ShapeError: the shapes do not fit.
        """
        x = rows(self, x, self.weight, self.weight.shape[0])
        wanted = plait.asarray(y).to(self.weight.dtype)
        if wanted.shape != x.shape[:1]:
            raise ShapeError(
                "[Perceptron] there is not one class for each example",
                got=str(wanted.shape),
                expected=str(x.shape[:1]),
            )

        def example(
            state: tuple[Tensor, Tensor], pair: tuple[Tensor, Tensor]
        ) -> tuple[tuple[Tensor, Tensor], Tensor]:
            weight, bias = state
            one, target = pair
            error = target - plait.where((one @ weight + bias) > 0, 1.0, 0.0)
            new = (weight + rate * error * one, bias + rate * error)
            return new, (error != 0).to(plait.int64)

        def epoch(
            state: tuple[Tensor, Tensor], _: None
        ) -> tuple[tuple[Tensor, Tensor], Tensor]:
            state, wrong = plait.scan(example, state, (x, wanted))
            return state, wrong.sum()

        with plait.no_grad():
            start = (self.weight.detach(), self.bias.detach())
            (weight, bias), mistakes = plait.scan(epoch, start, length=epochs)
            self.weight.data, self.bias.data = weight, bias
        found: Tensor = mistakes
        return found


class MultilayerPerceptron(nn.Sequential):
    """Linear maps with an activation between any two.

    Args:
        sizes: how many numbers go in, how many are between two maps, and how many come
            out.
        activation: makes the activations.
        final: makes one more activation behind the last map. Default: there is none.

    Input: shape (..., sizes[0]). Result: shape (..., sizes[-1]).

    Raises:
        ArgumentError: there are fewer than two sizes.

    Example:
        >>> import plait
        >>> from plait import models
        >>> models.MultilayerPerceptron((2, 8, 1))(plait.zeros(5, 2)).shape
        (5, 1)

    Source: D. Rumelhart et al., "Learning representations by back-propagating errors",
    1986.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[], nn.Module] = nn.Tanh,
        final: Callable[[], nn.Module] | None = None,
    ) -> None:
        if len(sizes) < 2:
            raise ArgumentError(
                "[MultilayerPerceptron] there is nothing between one size and itself",
                got=str(tuple(sizes)),
                expected="at least two sizes",
            )
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), activation()]
        layers.pop()
        if final is not None:
            layers.append(final())
        super().__init__(*layers)
