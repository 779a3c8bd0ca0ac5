"""Reservoirs: recurrent nets that stay as they were drawn; a linear map learns.

Read first: `EchoStateNetwork`, `LiquidStateMachine`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import plait
from plait import Tensor

from ... import nn
from ...errors import ArgumentError, ShapeError
from .rows import rows


class Reservoir(nn.Module):
    """What reservoirs have in common: how the linear map is learned.

    Args:
        inputs, units, outputs: how many numbers go in, are kept, and come out.
        weight_in, weight: from inputs to units, and from units to units; shapes
            (inputs, units) and (units, units).

    Attributes:
        readout: shape (1 + inputs + units, outputs), at first 0: what multiplies 1, the
            input and the states.

    Input: shape (length, inputs). Result: shape (length, outputs).
    """

    def __init__(
        self, inputs: int, units: int, outputs: int, weight_in: NDArray[Any],
        weight: NDArray[Any],
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight_in = nn.Buffer(weight_in.astype(np.float32))
        self.weight = nn.Buffer(weight.astype(np.float32))
        self.readout = nn.Buffer(plait.zeros((1 + inputs + units, outputs)))

    def states(self, x: Tensor) -> Tensor:
        """Return what the units hold behind each input: shape (length, units)."""
        raise NotImplementedError(f"{type(self).__name__}.states is not written")

    def forward(self, x: Tensor) -> Tensor:
        return self._seen(self._rows(x)) @ self.readout

    def fit(self, x: Any, y: Any, washout: int = 0, ridge: float = 1e-6) -> Tensor:
        """Find the linear map with the least squares, and return their mean.

        Args:
            x, y: one sequence, shapes (length, inputs) and (length, outputs).
            washout: so many first steps do not count.
            ridge: what each squared weight costs, for one step.

        Returns:
            A scalar.

        Raises:
            ShapeError: the shapes do not fit.
        """
        x, y = (
            self._rows(x),
            rows(self, y, self.readout, self.readout.shape[1], "sequences"),
        )
        if len(x) != len(y) or not 0 <= washout < len(x):
            raise ShapeError(
                f"[{type(self).__name__}] the sequences have other lengths",
                got=f"{len(x)} and {len(y)}, washout={washout}",
                expected="equal lengths, and more steps than those that do not count",
            )
        with plait.no_grad():
            seen, wanted = self._seen(x)[washout:], y[washout:]
            # Sums of many products need more digits.
            a, b = seen.to(plait.float64), wanted.to(plait.float64)
            eye = plait.eye(a.shape[1], dtype=plait.float64)
            squares = a.mT @ a + ridge * a.shape[0] * eye
            found = plait.linalg.solve(squares, a.mT @ b)
            self.readout.data = found.to(self.readout.dtype)
            return plait.mse_loss(seen @ self.readout, wanted)

    def _rows(self, x: Any) -> Tensor:
        return rows(self, x, self.weight_in, self.weight_in.shape[0], "sequences")

    def _seen(self, x: Tensor) -> Tensor:
        ones = plait.ones((x.shape[0], 1), dtype=x.dtype)
        return plait.concat([ones, x, self.states(x)], axis=1)


class EchoStateNetwork(Reservoir):
    """A recurrent net, drawn so that what it has seen fades away like an echo.

    Formula: h[t] = (1 - leak) * h[t - 1] + leak * tanh(x[t] @ W + h[t - 1] @ U),
    y[t] = (1, x[t], h[t]) @ readout.

    Args:
        inputs, units, outputs: how many numbers go in, are kept, and come out.
        spectral_radius: the greatest absolute value of an eigenvalue of U: below 1,
            echoes fade.
        leak: how fast the units follow, above 0 and at most 1.
        density: the share of pairs of units that are connected.
        input_scale: W is drawn between minus this and this.
        seed: what is drawn depends on it alone.

    Attributes:
        weight_in, weight: W and U, which are not trained.
        readout: shape (1 + inputs + units, outputs), at first 0.

    Input: shape (length, inputs). Result: shape (length, outputs).

    Raises:
        ArgumentError: a setting is out of range.

    Example:
        >>> import plait
        >>> from plait import models
        >>> wave = plait.sin(plait.arange(201) * 0.3).reshape((201, 1))
        >>> net = models.EchoStateNetwork(1, 30, 1)
        >>> error = net.fit(wave[:-1], wave[1:], washout=20)
        >>> error.item() < 1e-4, net.go_on(wave, 5).shape
        (True, (5, 1))

    Source: H. Jaeger, "The echo state approach to analysing and training recurrent
    neural networks", 2001.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        outputs: int,
        spectral_radius: float = 0.9,
        leak: float = 1.0,
        density: float = 0.2,
        input_scale: float = 0.5,
        seed: int = 0,
    ) -> None:
        if not 0 < leak <= 1 or not 0 < density <= 1 or spectral_radius < 0:
            raise ArgumentError(
                "[EchoStateNetwork] a setting is out of range",
                got=f"leak={leak}, density={density}, "
                f"spectral_radius={spectral_radius}",
                expected="above 0 and at most 1, the same, and at least 0",
            )
        random = np.random.default_rng(seed)
        weight_in = random.uniform(-input_scale, input_scale, (inputs, units))
        weight = random.uniform(-1, 1, (units, units))
        weight *= random.random((units, units)) < density
        greatest = abs(np.linalg.eigvals(weight)).max()
        weight *= spectral_radius / max(greatest, 1e-12)
        super().__init__(inputs, units, outputs, weight_in, weight)
        self.leak = leak

    def _step(self, state: Tensor, part: Tensor) -> Tensor:
        new = plait.tanh(part @ self.weight_in + state @ self.weight)
        return state + self.leak * (new - state)

    def states(self, x: Tensor) -> Tensor:
        def step(state: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
            new = self._step(state, part)
            return new, new

        _, found = plait.scan(step, plait.zeros((self.weight.shape[0],)), x)
        states: Tensor = found
        return states

    def go_on(self, x: Tensor, length: int) -> Tensor:
        """Return what the net says behind a sequence, hearing only itself from there.

        Args:
            x: the sequence, shape (past, inputs); there must be as many outputs.
            length: how many steps follow.

        Returns:
            Shape (length, outputs).
        """
        if self.weight_in.shape[0] != self.readout.shape[1]:
            raise ShapeError(
                "[EchoStateNetwork] the outputs cannot be inputs",
                got=f"{self.readout.shape[1]} outputs",
                expected=f"{self.weight_in.shape[0]}",
            )

        def step(
            state: tuple[Tensor, Tensor], _: None
        ) -> tuple[tuple[Tensor, Tensor], Tensor]:
            kept, said = state
            kept = self._step(kept, said)
            seen = plait.concat([plait.ones((1,)), said, kept])
            new = seen @ self.readout
            return (kept, new), new

        x = self._rows(x)
        with plait.no_grad():
            first = self(x)[-1]
            start = (self.states(x)[-1], first)
            _, more = plait.scan(step, start, length=length - 1)
            return plait.concat([first.expand_dims(0), more])


class LiquidStateMachine(Reservoir):
    """Neurons that send pulses to one another; a linear map reads what they sent.

    Formula: v[t] = decay * v[t - 1] + x[t] @ W + s[t - 1] @ U; where v reaches 1 a
    neuron sends a pulse, s[t] = 1, and v becomes 0. What is read is a mean of late
    pulses, r[t] = trace * r[t - 1] + (1 - trace) * s[t].

    Args:
        inputs, units, outputs: how many numbers go in, how many neurons there are, and
            how many numbers come out.
        decay: what is left of a neuron's tension after a step.
        trace: what is left of the mean of pulses after a step.
        density: the share of pairs of neurons that are connected.
        inhibitory: the share of neurons whose pulses lower the tension of others.
        seed: what is drawn depends on it alone.

    Attributes:
        weight_in, weight: W and U, which are not trained.
        readout: shape (1 + inputs + units, outputs), at first 0.

    Input: shape (length, inputs). Result: shape (length, outputs).

    Raises:
        ArgumentError: a setting does not lie in 0..1.

    Example:
        >>> import plait
        >>> from plait import models
        >>> net = models.LiquidStateMachine(1, 40, 1)
        >>> net.states(plait.ones(50, 1)).shape
        (50, 40)

    Source: W. Maass et al., "Real-time computing without stable states", 2002.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        outputs: int,
        decay: float = 0.9,
        trace: float = 0.8,
        density: float = 0.05,
        inhibitory: float = 0.2,
        seed: int = 0,
    ) -> None:
        settings = {
            "decay": decay, "trace": trace, "density": density,
            "inhibitory": inhibitory,
        }  # fmt: skip
        for name, value in settings.items():
            if not 0 <= value <= 1:
                raise ArgumentError(
                    f"[LiquidStateMachine] {name} lies in 0..1", got=f"{name}={value}"
                )
        random = np.random.default_rng(seed)
        weight_in = random.uniform(-0.2, 0.6, (inputs, units))
        weight = random.exponential(0.3, (units, units))
        weight *= random.random((units, units)) < density
        weight[random.random(units) < inhibitory] *= -2
        np.fill_diagonal(weight, 0)
        super().__init__(inputs, units, outputs, weight_in, weight)
        self.decay = decay
        self.trace = trace

    def pulses(self, x: Tensor) -> Tensor:
        """Return who sends a pulse behind each input: 0 or 1, shape (length, units)."""

        def step(
            state: tuple[Tensor, Tensor], part: Tensor
        ) -> tuple[tuple[Tensor, Tensor], Tensor]:
            tension, sent = state
            tension = self.decay * tension
            tension = tension + part @ self.weight_in + sent @ self.weight
            sent = plait.where(tension >= 1, 1.0, 0.0)
            return (tension * (1 - sent), sent), sent

        nothing = plait.zeros((self.weight.shape[0],))
        _, found = plait.scan(step, (nothing, nothing), x)
        sent: Tensor = found
        return sent

    def states(self, x: Tensor) -> Tensor:
        def step(mean: Tensor, sent: Tensor) -> tuple[Tensor, Tensor]:
            new = self.trace * mean + (1 - self.trace) * sent
            return new, new

        nothing = plait.zeros((self.weight.shape[0],))
        _, found = plait.scan(step, nothing, self.pulses(x))
        means: Tensor = found
        return means
