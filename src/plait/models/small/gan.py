"""Two nets that learn from each other: one makes examples, the other tells them apart.

Read first: `GAN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import plait
from plait import Tensor

from ... import nn, optim
from .perceptron import MultilayerPerceptron


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


class GAN(nn.Module):
    """A generator of examples and a discriminator, which learn against each other.

    Args:
        noise: how many numbers the generator makes an example of.
        features: how many numbers an example has.
        hidden: those between two maps, of both nets.
        lr: of both nets' `optim.Adam`, with betas 0.5 and 0.999.
        activation: makes the activations.

    Attributes:
        generator: a net from noise to examples.
        discriminator: a net from examples to one score, above 0 for real ones. Both may
            be replaced before the first step.

    Input: noise, shape (n, noise). Result: examples, shape (n, features).

    Example:
        >>> import plait
        >>> from plait import models
        >>> net = models.GAN(4, 2)
        >>> losses = net.step(plait.zeros(16, 2))
        >>> net.sample(3).shape
        (3, 2)

    Source: I. Goodfellow et al., "Generative adversarial nets", 2014.
    """

    def __init__(
        self,
        noise: int,
        features: int,
        hidden: Sequence[int] = (32, 32),
        lr: float = 1e-3,
        activation: Callable[[], nn.Module] = _leaky,
    ) -> None:
        super().__init__()
        self.noise = noise
        self.lr = lr
        self.generator: nn.Module = MultilayerPerceptron(
            (noise, *hidden, features), activation
        )
        self.discriminator: nn.Module = MultilayerPerceptron(
            (features, *hidden, 1), activation
        )
        self._optimizers: tuple[optim.Adam, optim.Adam] | None = None

    def forward(self, noise: Tensor) -> Tensor:
        result: Tensor = self.generator(noise)
        return result

    def sample(self, count: int) -> Tensor:
        """Return new examples: shape (count, features)."""
        with plait.no_grad():
            result: Tensor = self(plait.random.normal(shape=(count, self.noise)))
            return result

    def step(self, real: Tensor) -> tuple[Tensor, Tensor]:
        """Let both nets learn from a batch, and return their losses.

        Args:
            real: true examples, shape (n, features).

        Returns:
            Of the discriminator and of the generator, scalars.
        """
        if self._optimizers is None:
            first, second = (
                optim.Adam(net.parameters(), lr=self.lr, betas=(0.5, 0.999))
                for net in (self.discriminator, self.generator)
            )
            self._optimizers = (first, second)
        told, made = self._optimizers
        false = self.sample(real.shape[0])
        # softplus(-s) and softplus(s) are cross entropies for "real" and "made".
        wrong = plait.softplus(-self.discriminator(real)).mean()
        wrong = wrong + plait.softplus(self.discriminator(false)).mean()
        told.zero_grad()
        wrong.backward()
        told.step()
        noise = plait.random.normal(shape=(real.shape[0], self.noise))
        seen = plait.softplus(-self.discriminator(self(noise))).mean()
        made.zero_grad()
        seen.backward()
        made.step()
        return wrong.detach(), seen.detach()
