"""Recurrence over any cell, and cells made of others.

A *cell* is a module that is called with the input of one step and a state, by default
0, and returns the next state: a tensor, or a tuple of tensors or of such tuples, as
`RNNCell`, `GRUCell`, `LSTMCell` and `ConvLSTMCell2d` do. What it hands on of a step is
its state, or the first tensor of it; a cell that hands on something else has a method
`output(state)`. A cell that draws random numbers in training has an attribute `draws`,
true, and takes a `key`.

Read first: `Recurrent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Probabilities
from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from .containers import ModuleList
from .module import Module
from .recurrent import GRUCell, LSTMCell, RNNCell
from .sample import Sample, uniform
from .steps import (
    State,
    first_of,
    loop,
    mapped,
    steps_that_count,
    without_fillers,
)


def zero_state(cell: Module, input: Tensor, key: Tensor | None = None) -> State:
    """Return the state at the start: 0, of the shapes of the state after a step.

    The step itself is only recorded, as nothing asks for its values.
    """
    with plait.no_grad():
        after = cell(input, None) if key is None else cell(input, None, key=key)
    return mapped(lambda x: plait.zeros(x.shape, dtype=input.dtype), after)


def handed_on(cell: Module, state: State) -> Tensor:
    """Return what a cell hands on of a step."""
    output = getattr(cell, "output", None)
    if output is not None:
        result: Tensor = output(state)
        return result
    return first_of(state)


def _plain_step(cell: Any, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return the next state of an `RNNCell`, for references."""
    inner = x @ cell.weight_ih.numpy().T + h @ cell.weight_hh.numpy().T
    result: np.ndarray = np.tanh(inner + cell.bias_ih.numpy() + cell.bias_hh.numpy())
    return result


class Recurrent(Module):
    """Goes through a sequence with any cell, one step after another.

    `RNN`, `LSTM` and `GRU` are faster for their cells, as they take the products with
    the input of all steps at once. (Keras calls this layer RNN.)

    Args:
        cell: a module that is called with the input of a step and a state, and returns
            the next state: a tensor, or a tuple of tensors or tuples, the first of
            which is handed on. With a method `output(state)`, what that gives is handed
            on.
        batch_first: input and result have the batch before the steps.
        reverse: go from the last step to the first.

    Attributes:
        cell: the cell.

    Input: shape (steps, batch, ...), with `batch_first` (batch, steps, ...). Result:
    what is handed on of all steps, with the same first two axes; and the state at the
    end.

    Raises:
        ArgumentTypeError: the cell is no module.

    Example:
        >>> import plait
        >>> from plait import nn
        >>> layer = nn.Recurrent(nn.ZoneoutCell(nn.GRUCell(4, 8), 0.1))
        >>> result, state = layer(plait.zeros(10, 2, 4))
        >>> result.shape, state.shape
        ((10, 2, 8), (2, 8))
    """

    _shown = ("batch_first", "reverse")

    def __init__(
        self, cell: Module, batch_first: bool = False, reverse: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(cell, Module):
            raise ArgumentTypeError(
                "[Recurrent] the cell must be a module", got=f"a {type(cell).__name__}"
            )
        self.cell = cell
        self.batch_first = batch_first
        self.reverse = reverse

    def forward(
        self,
        input: Tensor,
        hx: State = None,
        lengths: Tensor | Sequence[int] | None = None,
        mask: Tensor | None = None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Return what is handed on of all steps, and the state at the end.

        Args:
            input: see the class.
            hx: the state at the start. Default: 0.
            lengths: how many steps of each example count, in 1..steps.
            mask: which steps of each example count, in place of `lengths`: bool, with
                the first two axes of the input. Steps that do not count keep the state
                and give 0.
            key: for the random numbers of a cell that draws some. Default: the default
                generator's next; inside `jit` one must be given.

        Raises:
            ShapeError: there is no step, or a shape does not fit.
            ArgumentError: a length is out of range, or both of them are given.
        """
        if input.ndim < 2 or not input.shape[1 if self.batch_first else 0]:
            raise ShapeError(
                "[Recurrent] the input must have steps",
                got=f"shape {input.shape}",
            )
        x = plait.moveaxis(input, 0, 1) if self.batch_first else input
        counts = steps_that_count("Recurrent", x.shape, self.batch_first, lengths, mask)
        x = without_fillers(x, counts)
        cell, keys = self.cell, None
        if self.training and getattr(cell, "draws", False):
            key = plait.random.next_key() if key is None else key
            keys = plait.random.split(key, x.shape[0])

        def step(state: State, part: Any) -> State:
            if keys is None:
                return cell(part, state)
            return cell(part[0], state, key=part[1])

        def output(state: State) -> Tensor:
            return handed_on(cell, state)

        start = hx
        if start is None:
            start = zero_state(cell, x[0], None if keys is None else keys[0])
        xs: Any = x if keys is None else (x, keys)
        end, all_steps = loop(step, start, xs, counts, self.reverse, output)
        return plait.moveaxis(all_steps, 0, 1) if self.batch_first else all_steps, end

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Recurrent, x: np.ndarray, *hx: np.ndarray) -> Any:
            cell: Any = layer.cell
            order = x.swapaxes(0, 1) if layer.batch_first else x
            order = order[::-1] if layer.reverse else order
            h = hx[0] if hx else np.zeros((order.shape[1], cell.hidden_size))
            found = []
            for part in order:
                h = _plain_step(cell, part, h)
                found.append(h)
            found = found[::-1] if layer.reverse else found
            return np.stack(found, 1 if layer.batch_first else 0), h

        def one_by_one(layer: Recurrent, x: np.ndarray) -> Any:
            state, found = None, []
            for part in x.swapaxes(0, 1):
                state = layer.cell(plait.tensor(part), state)
                found.append(handed_on(layer.cell, state).numpy())
            return np.stack(found, 1), mapped(lambda x: x.numpy(), state)

        first = {"batch_first": True}
        return [
            Sample((uniform(3, 5, 2),), (RNNCell(2, 3),), first, reference=reference),
            Sample(
                (uniform(5, 3, 2), uniform(3, 4)), (RNNCell(2, 4),), {"reverse": True},
                wrt=(0, 1), separable=False, reference=reference,
            ),
            Sample((uniform(3, 4, 2),), (LSTMCell(2, 3),), first, reference=one_by_one),
            Sample(
                (uniform(3, 4, 2),),
                (StackedRNNCells(GRUCell(2, 3), LSTMCell(3, 2)),), first,
                reference=one_by_one,
            ),
            Sample(
                (uniform(3, 4, 2),), (ZoneoutCell(LSTMCell(2, 3), 0.3),), first,
                reference=one_by_one,
            ),
        ]  # fmt: skip


class StackedRNNCells(Module):
    """Cells one above the other, as one cell: each gets what the one before hands on.

    Args:
        cells: modules that a `Recurrent` takes.

    Attributes:
        cells: a `ModuleList` of the cells.

    Input: that of the first cell, such as shape (batch, features), and a tuple of the
    states of all, by default 0. Result: the tuple of the next states. What is handed on
    is that of the last cell.

    Raises:
        ArgumentError: there is no cell; (calling it) there are not as many states.
    """

    def __init__(self, *cells: Module) -> None:
        super().__init__()
        if not cells:
            raise ArgumentError("[StackedRNNCells] there is no cell", got="none")
        self.cells = ModuleList(cells)

    @property
    def draws(self) -> bool:
        """Whether a cell draws random numbers in training."""
        return any(getattr(cell, "draws", False) for cell in self.cells)

    def output(self, state: State) -> Tensor:
        """Return what is handed on: that of the last cell."""
        return handed_on(self.cells[-1], state[-1])

    def forward(
        self, input: Tensor, hx: State = None, key: Tensor | None = None
    ) -> State:
        """Return the next states.

        Args:
            input: that of the first cell.
            hx: a tuple of the states. Default: 0.
            key: for the random numbers of cells that draw some.
        """
        cells = list(self.cells)
        states = [None] * len(cells) if hx is None else list(hx)
        if len(states) != len(cells):
            raise ArgumentError(
                "[StackedRNNCells] each cell needs a state",
                got=f"{len(states)} for {len(cells)} cells",
            )
        keys: Any = [None] * len(cells)
        if key is not None:
            keys = plait.random.split(key, len(cells))
        found = []
        for i, (cell, state) in enumerate(zip(cells, states, strict=True)):
            draws = self.training and getattr(cell, "draws", False)
            new = cell(input, state, key=keys[i]) if draws else cell(input, state)
            found.append(new)
            input = handed_on(cell, new)
        return tuple(found)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: StackedRNNCells, x: np.ndarray, state: Any) -> Any:
            found = []
            for cell, h in zip(layer.cells, state, strict=True):
                x = _plain_step(cell, x, h)
                found.append(x)
            return tuple(found)

        return [
            Sample(
                (uniform(3, 2), (uniform(3, 4), uniform(3, 5))),
                (RNNCell(2, 4), RNNCell(4, 5)), wrt=(0, 1, 2), reference=reference,
            ),
            Sample(
                (uniform(3, 2),), (LSTMCell(2, 4), GRUCell(4, 3)), like_torch="never"
            ),
        ]  # fmt: skip


class ZoneoutCell(Module):
    """A cell some of whose states stay as they were, at random, in training.

    In evaluation mode each state is the mean of the two: p * before + (1 - p) * next.

    Args:
        cell: a module that a `Recurrent` takes, whose state is a tensor or a tuple of
            tensors.
        p: with which probability an element of the state stays; a number, or one for
            each tensor of the state, such as (0.1, 0.5) for h and c of an `LSTMCell`.

    Attributes:
        cell: the cell.

    Input: that of the cell, such as shape (batch, features), and its state, by default
    0. Result: its next state, of the same shape.

    Raises:
        ArgumentError: a probability is out of range.

    Source: D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden
    activations", 2017.
    """

    _shown = ("p",)

    def __init__(self, cell: Module, p: Probabilities = 0.1) -> None:
        super().__init__()
        self.cell = cell
        self.p = p
        self.draws = True

    def output(self, state: State) -> Tensor:
        """Return what is handed on: that of the cell."""
        return handed_on(self.cell, state)

    def forward(
        self, input: Tensor, hx: State = None, key: Tensor | None = None
    ) -> State:
        """Return the next state.

        Args:
            input: that of the cell.
            hx: the state. Default: 0.
            key: for the random numbers. Default: the default generator's next; inside
                `jit` one must be given.
        """
        before = zero_state(self.cell, input) if hx is None else hx
        after = self.cell(input, before)
        old, new = (x if isinstance(x, tuple) else (x,) for x in (before, after))
        p: Any = self.p if isinstance(self.p, tuple | list) else (self.p,) * len(new)
        if len(p) != len(new):
            raise ArgumentError(
                "[ZoneoutCell] one probability is needed for each tensor of the state",
                got=f"p={self.p} for {len(new)} tensors",
            )
        keys: Any = [None] * len(new)
        if self.training:
            key = plait.random.next_key() if key is None else key
            keys = plait.random.split(key, len(new))
        mixed = tuple(map(self._mixed, old, new, p, keys))
        return mixed if isinstance(after, tuple) else mixed[0]

    def _mixed(self, old: Tensor, new: Tensor, p: float, key: Any) -> Tensor:
        if not self.training:
            return p * old + (1 - p) * new
        draw = plait.random.uniform(shape=new.shape, key=key)
        return plait.where(draw < p, old, new)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: ZoneoutCell, x: np.ndarray, h: np.ndarray) -> np.ndarray:
            result: np.ndarray = 0.3 * h + 0.7 * _plain_step(layer.cell, x, h)
            return result

        return [
            Sample(
                (uniform(3, 2), uniform(3, 4)),
                (RNNCell(2, 4), 0.3),
                wrt=(0, 1),
                reference=reference,
            ),
            Sample((uniform(3, 2),), (LSTMCell(2, 4), (0.2, 0.6)), like_torch="never"),
        ]
