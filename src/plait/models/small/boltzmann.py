"""The restricted Boltzmann machine: two layers that explain each other.

Read first: `RestrictedBoltzmannMachine`.
"""

from __future__ import annotations

from typing import Any

import plait
from plait import Tensor

from ... import nn
from .rows import rows


class RestrictedBoltzmannMachine(nn.Module):
    """A layer that is seen and a hidden one, of 0 and 1, with ties between them only.

    Formula: the probability of (v, h) is in proportion to
    exp(v @ weight @ h + v @ visible_bias + h @ hidden_bias), so that each unit of one
    layer is 1 with the probability sigmoid(its ties to the other layer).

    Args:
        visible, hidden: how many units the layers have.

    Attributes:
        weight: shape (visible, hidden), at first N(0, 0.1 ** 2).
        visible_bias, hidden_bias: at first 0.

    Input: 0 to 1, shape (n, visible). Result: the probabilities of hidden units, shape
    (n, hidden).

    Example:
        >>> import plait
        >>> from plait import models
        >>> net = models.RestrictedBoltzmannMachine(6, 4)
        >>> net.fit(plait.ones(8, 6), epochs=20).shape
        (20,)

    Source: P. Smolensky, "Information processing in dynamical systems", 1986; G.
    Hinton, "Training products of experts by minimizing contrastive divergence", 2002.
    """

    def __init__(self, visible: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Buffer(plait.random.normal(0.0, 0.1, shape=(visible, hidden)))
        self.visible_bias = nn.Buffer(plait.zeros((visible,)))
        self.hidden_bias = nn.Buffer(plait.zeros((hidden,)))

    def forward(self, x: Tensor) -> Tensor:
        return plait.sigmoid(x @ self.weight + self.hidden_bias)

    def visible(self, hidden: Tensor) -> Tensor:
        """Return the probabilities of seen units for hidden ones."""
        return plait.sigmoid(hidden @ self.weight.mT + self.visible_bias)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return what the hidden layer makes of examples: shape (n, visible)."""
        return self.visible(self(x))

    def free_energy(self, x: Tensor) -> Tensor:
        """Return -log of the probability of examples but for a constant: shape (n,)."""
        ties = plait.softplus(x @ self.weight + self.hidden_bias).sum(-1)
        return -(x @ self.visible_bias) - ties

    def fit(
        self, x: Any, epochs: int = 100, rate: float = 0.1, steps: int = 1
    ) -> Tensor:
        """Learn from all examples at once by contrastive divergence.

        Args:
            x: 0 to 1, shape (n, visible).
            epochs: how often.
            rate: by how much of the difference the weights change.
            steps: how often the layers are drawn from each other.

        Returns:
            The mean squared errors of what the hidden layer made of the examples, shape
            (epochs,).

        Raises:
            ShapeError: the examples do not fit.
        """
        x = rows(self, x, self.weight, self.weight.shape[0])
        n = x.shape[0]
        State = tuple[Tensor, Tensor, Tensor]

        def epoch(state: State, key: Tensor) -> tuple[State, Tensor]:
            weight, below, above = state
            keys = plait.random.split(key, 2 * steps)
            first = plait.sigmoid(x @ weight + above)
            hidden, seen = first, x
            for i in range(steps):
                drawn = plait.random.uniform(shape=hidden.shape, key=keys[2 * i])
                units = plait.where(drawn < hidden, 1.0, 0.0)
                seen = plait.sigmoid(units @ weight.mT + below)
                if i + 1 < steps:
                    drawn = plait.random.uniform(shape=seen.shape, key=keys[2 * i + 1])
                    seen = plait.where(drawn < seen, 1.0, 0.0)
                hidden = plait.sigmoid(seen @ weight + above)
            new = (
                weight + rate * (x.mT @ first - seen.mT @ hidden) / n,
                below + rate * (x - seen).mean(0),
                above + rate * (first - hidden).mean(0),
            )
            return new, ((x - seen) ** 2).mean()

        with plait.no_grad():
            start = (
                self.weight.detach(), self.visible_bias.detach(),
                self.hidden_bias.detach(),
            )  # fmt: skip
            keys = plait.random.split(plait.random.next_key(), epochs)
            state, errors = plait.scan(epoch, start, keys)
            self.weight.data, self.visible_bias.data, self.hidden_bias.data = state
        found: Tensor = errors
        return found
