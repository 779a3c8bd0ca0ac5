"""Nets with a memory, from the one of a single layer to the LSTM.

Read first: `ElmanNet`, `JordanNet`.
"""

from __future__ import annotations

import plait
from plait import Tensor

from ... import nn


class ElmanNet(nn.Module):
    """A net whose hidden layer also sees what it was one step before.

    Formula: h[t] = tanh(W x[t] + U h[t - 1] + b), y[t] = V h[t] + c.

    Args:
        inputs, hidden, outputs: how many numbers go in, are kept, and come out.

    Attributes:
        recurrent: a `nn.RNN`.
        readout: a `nn.Linear`.

    Input: shape (n, length, inputs). Result: shape (n, length, outputs).

    Example:
        >>> import plait
        >>> from plait import models
        >>> models.ElmanNet(1, 8, 2)(plait.zeros(5, 7, 1)).shape
        (5, 7, 2)

    Source: J. Elman, "Finding structure in time", 1990.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.recurrent: nn.Module = nn.RNN(inputs, hidden, batch_first=True)
        self.readout = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrent(x)
        result: Tensor = self.readout(states)
        return result


class LSTMNet(ElmanNet):
    """A net with long and short memory and a linear map of what it keeps.

    Args:
        inputs, hidden, outputs: how many numbers go in, are kept, and come out.

    Attributes:
        recurrent: a `nn.LSTM`.
        readout: a `nn.Linear`.

    Input: shape (n, length, inputs). Result: shape (n, length, outputs).

    Example:
        >>> import plait
        >>> from plait import models
        >>> models.LSTMNet(1, 8, 2)(plait.zeros(5, 7, 1)).shape
        (5, 7, 2)

    Source: S. Hochreiter, J. Schmidhuber, "Long short-term memory", 1997.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(inputs, hidden, outputs)
        self.recurrent = nn.LSTM(inputs, hidden, batch_first=True)


class JordanNet(nn.Module):
    """A net whose hidden layer also sees what the net said one step before.

    Formula: h[t] = tanh(W x[t] + U y[t - 1] + b), y[t] = V h[t] + c, with y = 0 before
    the first step.

    Args:
        inputs, hidden, outputs: how many numbers go in, are in the hidden layer, and
            come out.

    Attributes:
        input: a `nn.Linear`, W and b.
        context: a `nn.Linear` without offset, U.
        readout: a `nn.Linear`, V and c.

    Input: shape (n, length, inputs). Result: shape (n, length, outputs).

    Example:
        >>> import plait
        >>> from plait import models
        >>> models.JordanNet(1, 8, 2)(plait.zeros(5, 7, 1)).shape
        (5, 7, 2)

    Source: M. Jordan, "Serial order: a parallel distributed processing approach", 1986.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, hidden)
        self.context = nn.Linear(outputs, hidden, bias=False)
        self.readout = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        seen = plait.moveaxis(self.input(x), 1, 0)

        def step(said: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
            new = self.readout(plait.tanh(part + self.context(said)))
            return new, new

        before = plait.zeros((x.shape[0], self.readout.out_features), dtype=seen.dtype)
        _, said = plait.scan(step, before, seen)
        return plait.moveaxis(said, 0, 1)
