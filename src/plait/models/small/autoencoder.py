"""Autoencoders: nets that give back what they take, through a narrow place.

Read first: `Autoencoder`, `VariationalAutoencoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import plait
from plait import Tensor

from ... import nn
from ...errors import ArgumentError
from .perceptron import MultilayerPerceptron


class Autoencoder(nn.Module):
    """Two perceptrons: one makes few numbers of many, the other many of few.

    Args:
        sizes: how many numbers an example has, those between two maps, and last the few
            that it becomes; the way back has the same, in the other order.
        activation: makes the activations.
        final: makes one behind the last map. Default: there is none.

    Attributes:
        encoder, decoder: the two.

    Input: shape (n, sizes[0]). Result: the same.

    Example:
        >>> import plait
        >>> from plait import models
        >>> net = models.Autoencoder((8, 6, 2))
        >>> net.encoder(plait.zeros(3, 8)).shape, net(plait.zeros(3, 8)).shape
        ((3, 2), (3, 8))

    Source: G. Hinton, R. Salakhutdinov, "Reducing the dimensionality of data with
    neural networks", 2006.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[], nn.Module] = nn.Tanh,
        final: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = MultilayerPerceptron(sizes, activation)
        self.decoder = MultilayerPerceptron(tuple(sizes)[::-1], activation, final)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.decoder(self.encoder(x))
        return result


class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that gives back more than it is shown.

    In training some numbers are set to 0, and noise is added, before it sees an
    example; the loss should compare its result with the whole example.

    Args:
        sizes, activation, final: of `Autoencoder`.
        p: the probability that a number is set to 0.
        noise: the standard deviation of what is added.

    Input: shape (n, sizes[0]). Result: the same.

    Raises:
        ArgumentError: `p` is no probability below 1, or the noise is below 0.

    Example:
        >>> import plait
        >>> from plait import models
        >>> net = models.DenoisingAutoencoder((8, 2), p=0.5)
        >>> net(plait.ones(3, 8)).shape
        (3, 8)

    Source: P. Vincent et al., "Extracting and composing robust features with denoising
    autoencoders", 2008.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[], nn.Module] = nn.Tanh,
        final: Callable[[], nn.Module] | None = None,
        p: float = 0.3,
        noise: float = 0.0,
    ) -> None:
        super().__init__(sizes, activation, final)
        if not 0 <= p < 1 or noise < 0:
            raise ArgumentError(
                "[DenoisingAutoencoder] a setting is out of range",
                got=f"p={p}, noise={noise}",
                expected="0 <= p < 1 and noise >= 0",
            )
        self.p = p
        self.noise = noise

    def corrupted(self, x: Tensor) -> Tensor:
        """Return what the net sees of examples in training."""
        if self.p:
            left = plait.random.bernoulli(1 - self.p, shape=x.shape)
            x = plait.where(left, x, 0.0)
        if self.noise:
            x = x + plait.random.normal(0.0, self.noise, shape=x.shape)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.corrupted(x) if self.training else x)


class VAEOutput(NamedTuple):
    """What `VariationalAutoencoder` returns.

    Attributes:
        logits: of the numbers of the example, shape (n, sizes[0]).
        mean, log_variance: of the few numbers, shape (n, sizes[-1]).
    """

    logits: Tensor
    mean: Tensor
    log_variance: Tensor


class VariationalAutoencoder(nn.Module):
    """An autoencoder whose few numbers are drawn, so that new ones can be drawn too.

    For numbers from 0 to 1, such as of grey pictures.

    Args:
        sizes: how many numbers an example has, those between two maps, and last how
            many it becomes.
        activation: makes the activations.

    Attributes:
        encoder: gives means and logarithms of variances, 2 * sizes[-1] numbers.
        decoder: gives logits.

    Input: shape (n, sizes[0]). Result: a `VAEOutput`. In evaluation mode nothing is
    drawn: the mean is taken.

    Example:
        >>> import plait
        >>> from plait import models
        >>> net = models.VariationalAutoencoder((8, 6, 2))
        >>> x = plait.ones(3, 8)
        >>> net.loss(net(x), x).shape, net.sample(5).shape
        ((), (5, 8))

    Source: D. Kingma, M. Welling, "Auto-encoding variational Bayes", 2014.
    """

    def __init__(
        self, sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.latent = sizes[-1]
        twice = [*sizes[:-1], 2 * sizes[-1]]
        self.encoder = MultilayerPerceptron(twice, activation)
        self.decoder = MultilayerPerceptron(tuple(sizes)[::-1], activation)

    def forward(self, x: Tensor) -> VAEOutput:
        mean, log_variance = plait.chunk(self.encoder(x), 2, axis=-1)
        drawn = mean
        if self.training:
            noise = plait.random.normal(shape=mean.shape)
            drawn = mean + plait.exp(log_variance / 2) * noise
        return VAEOutput(self.decoder(drawn), mean, log_variance)

    @staticmethod
    def loss(output: VAEOutput, target: Tensor) -> Tensor:
        """Return the negative bound of the likelihood, the mean over examples.

        Formula: the sum of binary cross entropies, plus the divergence of the few
        numbers from N(0, 1), the sum of (mean ** 2 + v - 1 - log(v)) / 2.

        Args:
            output: of the net.
            target: the examples, from 0 to 1.
        """
        wrong = plait.binary_cross_entropy_with_logits(
            output.logits, target, reduction="sum"
        )
        v = plait.exp(output.log_variance)
        apart = (output.mean**2 + v - 1 - output.log_variance).sum() / 2
        return (wrong + apart) / target.shape[0]

    def sample(self, count: int) -> Tensor:
        """Return new examples from 0 to 1: shape (count, sizes[0])."""
        with plait.no_grad():
            drawn = plait.random.normal(shape=(count, self.latent))
            return plait.sigmoid(self.decoder(drawn))
