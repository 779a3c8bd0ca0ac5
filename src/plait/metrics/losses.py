"""Means of losses, and of other functions of output and target.

Read first: `MeanOf`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ShapeError
from .accuracy import weights_of
from .metric import Mean, Metric, as_tensor
from .sample import Sample, bits, classes, scores


class MeanOf(Metric):
    """The mean over examples of a function of output and target, such as a loss.

    Value: the mean, NaN if nothing was added.

    Args:
        function: takes output and target, tensors, and returns a tensor whose first
            axis is that of the examples, or one number for the batch. A loss of plait's
            is called with reduction="none".
        options: further arguments of the function, by name.
    """

    def __init__(self, function: Callable[..., Tensor], **options: Any) -> None:
        self.function = function
        self.options = options
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._mean = Mean()

    def add(self, output: Any, target: Any, weight: Any = None) -> None:
        """Add a batch.

        Args:
            output, target: what the function takes; the first axes are examples.
            weight: of each example, shape (n,). Default: 1.

        Raises:
            ShapeError: the function does not return a number for each example, and
                there are weights.
        """
        output, target = as_tensor(output), as_tensor(target)
        found = self.function(output, target, **self.options).detach()
        if weight is None:
            n = found.size if found.ndim else output.shape[0] if output.ndim else 1
            self._mean.add(plait.mean(found.double()), n)
            return
        if not found.ndim:
            raise ShapeError(
                f"[{type(self).__name__}] one number for a batch has no weights",
                got="a function whose result is a scalar",
                expected="a number for each example",
            )
        factor = weights_of(type(self).__name__, weight, found.shape)
        factor = plait.broadcast_to(factor, found.shape)
        total = plait.sum(factor)
        self._mean.add(plait.sum(found.double() * factor) / total, total)

    def value(self) -> float:
        """Return the mean."""
        return self._mean.value()

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample(
                (scores(7), scores(7)[::-1].copy()),
                lambda x, y: np.maximum(x, y).mean(), (plait.maximum,), weighted=True,
            )
        ]  # fmt: skip


class _MeanLoss(MeanOf):
    """The mean of a loss of plait's."""

    def __init__(self, function: Callable[..., Tensor], **options: Any) -> None:
        super().__init__(function, reduction="none", **options)

    def __repr__(self) -> str:
        named = {k: v for k, v in self.options.items() if k != "reduction"}
        shown = ", ".join(f"{k}={v!r}" for k, v in named.items())
        return f"{type(self).__name__}({shown})"


def _pair() -> tuple[np.ndarray, np.ndarray]:
    return scores(7, 3), scores(7, 3)[::-1].copy()


def _signed() -> tuple[np.ndarray, np.ndarray]:
    return scores(7, 3), bits(7, 3) * 2.0 - 1


def _labelled() -> tuple[np.ndarray, np.ndarray]:
    return scores(7, 3), classes(7, 3)


def _sample(data: tuple[Any, ...], reference: Any, **named: Any) -> list[Sample]:
    return [Sample(data, reference, (), named, weighted=True)]


def _softmax(x: np.ndarray) -> np.ndarray:
    e: np.ndarray = np.exp(x)
    shares: np.ndarray = e / e.sum(1, keepdims=True)
    return shares


class MeanAbsoluteError(_MeanLoss):
    """The mean of abs(output - target). See `plait.l1_loss`.

    Value: the mean over all numbers, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.l1_loss)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_pair(), lambda x, y: abs(x - y).mean())


class MeanSquaredError(_MeanLoss):
    """The mean of (output - target) ** 2. See `plait.mse_loss`.

    Value: the mean over all numbers, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.mse_loss)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_pair(), lambda x, y: ((x - y) ** 2).mean())


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of (output - target) ** 2.

    Value: the root, NaN if nothing was added.
    """

    def value(self) -> float:
        """Return the root of the mean."""
        return math.sqrt(super().value())

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_pair(), lambda x, y: np.sqrt(((x - y) ** 2).mean()))


class MeanAbsolutePercentageError(_MeanLoss):
    """The mean of the absolute error in percent of the target. See `plait.mape_loss`.

    Value: the mean over all numbers, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.mape_loss)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_pair(), lambda x, y: 100 * abs((x - y) / y).mean())


class MeanSquaredLogarithmicError(_MeanLoss):
    """The mean of the squared error of logarithms. See `plait.msle_loss`.

    Value: the mean over all numbers, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.msle_loss)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_pair(), lambda x, y: ((np.log1p(x) - np.log1p(y)) ** 2).mean())


class LogCoshError(_MeanLoss):
    """The mean of log(cosh(output - target)). See `plait.log_cosh_loss`.

    Value: the mean over all numbers, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.log_cosh_loss)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_pair(), lambda x, y: np.log(np.cosh(x - y)).mean())


class Hinge(_MeanLoss):
    """The mean of max(0, 1 - target * output), for targets of 1 and -1.

    See `plait.hinge_loss`.

    Value: the mean over all numbers, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.hinge_loss)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_signed(), lambda x, y: np.maximum(0, 1 - x * y).mean())


class SquaredHinge(_MeanLoss):
    """The mean of max(0, 1 - target * output) ** 2, for targets of 1 and -1.

    See `plait.squared_hinge_loss`.

    Value: the mean over all numbers, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.squared_hinge_loss)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_signed(), lambda x, y: (np.maximum(0, 1 - x * y) ** 2).mean())


class CategoricalHinge(_MeanLoss):
    """The mean of max(0, 1 + wrong - right) of scores of classes.

    See `plait.categorical_hinge_loss`.

    Value: the mean over examples, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.categorical_hinge_loss)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(
            _labelled(),
            lambda x, y: np.maximum(
                0, 1 + (x * (1 - np.eye(3)[y])).max(1) - (x * np.eye(3)[y]).sum(1)
            ).mean(),
        )


class BinaryCrossentropy(_MeanLoss):
    """The mean of the cross entropy of probabilities of yes.

    See `plait.binary_cross_entropy`.

    Value: the mean over all numbers, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.binary_cross_entropy)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(
            (scores(7, 3), bits(7, 3) * 1.0),
            lambda x, y: -np.log(np.where(y == 1, x, 1 - x)).mean(),
        )


class CrossEntropy(_MeanLoss):
    """The mean of the cross entropy of scores, before softmax, with class numbers or
    probabilities. See `plait.cross_entropy`.

    Value: the mean over examples, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.cross_entropy)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(
            _labelled(), lambda x, y: -np.log(_softmax(x)[np.arange(len(y)), y]).mean()
        )


class Perplexity(CrossEntropy):
    """exp of the mean cross entropy: among how many classes, all alike, one would be as
    much in doubt.

    Value: the perplexity, NaN if nothing was added.
    """

    def value(self) -> float:
        """Return exp of the mean."""
        with np.errstate(over="ignore"):  # it is inf then
            return float(np.exp(super().value()))

    @staticmethod
    def samples() -> list[Sample]:
        (entropy,) = CrossEntropy.samples()
        return _sample(_labelled(), lambda x, y: np.exp(entropy.reference(x, y)))


class Poisson(_MeanLoss):
    """The mean of output - target * log(output), for rates as outputs.

    See `plait.poisson_nll_loss`.

    Value: the mean over all numbers, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.poisson_nll_loss, log_input=False, eps=1e-7)

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_pair(), lambda x, y: (x - y * np.log(x + 1e-7)).mean())


class KLDivergence(MeanOf):
    """The mean of the divergence of outputs from targets, both probabilities:
    sum(target * log(target / output)) along the last axis.

    Value: the mean over examples, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(_divergence)

    def __repr__(self) -> str:
        return "KLDivergence()"

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(
            tuple(_softmax(x) for x in _pair()),
            lambda x, y: (y * np.log(y / x)).sum(1).mean(),
        )


def _divergence(output: Tensor, target: Tensor) -> Tensor:
    return plait.sum(plait.xlogy(target, target) - plait.xlogy(target, output), axis=-1)


class CosineSimilarity(MeanOf):
    """The mean of the cosine of output and target along the last axis.

    Value: the mean over examples, NaN if nothing was added.
    """

    def __init__(self) -> None:
        super().__init__(plait.cosine_similarity, dim=-1)

    def __repr__(self) -> str:
        return "CosineSimilarity()"

    @staticmethod
    def samples() -> list[Sample]:
        def reference(x: np.ndarray, y: np.ndarray) -> float:
            lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
            return float(((x * y).sum(1) / lengths).mean())

        return _sample(_pair(), reference)


class PairwiseDistance(MeanOf):
    """The mean of the distance of output and target along the last axis.

    Value: the mean over examples, NaN if nothing was added.

    Args:
        p: the order of the norm.
    """

    def __init__(self, p: float = 2.0) -> None:
        super().__init__(plait.pairwise_distance, p=p, eps=0.0)

    def __repr__(self) -> str:
        return f"PairwiseDistance(p={self.options['p']!r})"

    @staticmethod
    def samples() -> list[Sample]:
        return _sample(_pair(), lambda x, y: abs(x - y).sum(1).mean(), p=1.0)
