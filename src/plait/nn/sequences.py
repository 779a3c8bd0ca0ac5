"""Layers for sequences: in both directions, step by step, and which steps count.

Read first: `Bidirectional`, `TimeDistributed`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .cells import Recurrent
from .convolution import Conv2d
from .linear import Linear
from .module import Module
from .packed import checked_lengths
from .recurrent import GRU, GRUCell, LSTMCell, RNNCell
from .sample import Sample, uniform
from .steps import mapped

_MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda x, y: plait.concat([x, y], axis=-1),
    "sum": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "ave": lambda x, y: (x + y) / 2,
}


class Bidirectional(Module):
    """Two layers over a sequence, one from its start and one from its end.

    `RNN`, `LSTM` and `GRU` do the same with `bidirectional=True`, in PyTorch's
    parameters.

    Args:
        layer: a module from a sequence to a sequence and a state, such as a `Recurrent`
            or a `ConvLSTM2d`. It goes forward.
        backward_layer: the one that goes backward; it gets the sequence turned around.
            Default: a copy of `layer`, with initial values of its own.
        merge: what becomes of the two results: "concat", one beside the other along the
            last axis; "sum"; "mul", their product; "ave", their mean; or None, a pair.

    Attributes:
        forward_layer, backward_layer: the layers.

    Input: that of the layers, shape (steps, batch, ...), or (batch, steps, ...) if they
    have `batch_first`. Result: the merged sequence; and a pair of the states at the
    end, forward and backward.

    Raises:
        ArgumentError: there is no such `merge`.

    Source: M. Schuster, K. Paliwal, "Bidirectional recurrent neural networks", 1997.
    """

    _shown = ("merge",)

    def __init__(
        self,
        layer: Module,
        backward_layer: Module | None = None,
        merge: str | None = "concat",
    ) -> None:
        super().__init__()
        if merge is not None and merge not in _MERGES:
            raise ArgumentError(
                "[Bidirectional] there is no such merge",
                got=repr(merge),
                expected=", ".join(map(repr, (*_MERGES, None))),
            )
        self.forward_layer = layer
        if backward_layer is None:
            backward_layer = copy.deepcopy(layer)
            backward_layer.apply(_renew)
        self.backward_layer = backward_layer
        self.merge = merge

    def forward(
        self,
        input: Tensor,
        hx: Any = None,
        lengths: Tensor | Sequence[int] | None = None,
        **named: Any,
    ) -> tuple[Any, Any]:
        """Return the merged sequence, and the two states at the end.

        Args:
            input: see the class.
            hx: a pair of the states at the start. Default: those of the layers.
            lengths: how many steps of each example count; backward goes from the last
                of them.
            named: what else is handed to both layers, such as a `mask` for a
                `Recurrent`, which is turned around for the second.

        Raises:
            ShapeError: the input has less than two axes.
        """
        if input.ndim < 2:
            raise ShapeError(
                "[Bidirectional] the input must have steps", got=f"shape {input.shape}"
            )
        axis = 1 if getattr(self.forward_layer, "batch_first", False) else 0
        batch_axis = 1 - axis
        if lengths is not None:
            steps, batch = input.shape[axis], input.shape[batch_axis]
            lengths = checked_lengths("Bidirectional", lengths, steps, batch)
            named = {**named, "lengths": lengths}
        ahead_named, back_named = dict(named), dict(named)
        if isinstance(named.get("mask"), Tensor):
            back_named["mask"] = plait.flip(named["mask"], axis=axis)
        ahead_state, back_state = (None, None) if hx is None else hx
        ahead, ahead_end = self.forward_layer(input, ahead_state, **ahead_named)
        turned = _turned(input, axis, lengths)
        back, back_end = self.backward_layer(turned, back_state, **back_named)
        back = _turned(back, axis, lengths)
        merged = (ahead, back) if self.merge is None else self._merged(ahead, back)
        return merged, (ahead_end, back_end)

    def _merged(self, ahead: Tensor, back: Tensor) -> Tensor:
        assert self.merge is not None
        return _MERGES[self.merge](ahead, back)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Bidirectional, x: np.ndarray) -> Any:
            axis = 1 if getattr(layer.forward_layer, "batch_first", False) else 0
            turned = plait.tensor(np.flip(x, axis).copy())
            ahead, ahead_end = layer.forward_layer(plait.tensor(x))
            back, back_end = layer.backward_layer(turned)
            one, other = ahead.numpy(), np.flip(back.numpy(), axis)
            merged: Any = (one, other)
            if layer.merge is not None:
                merged = one + other if layer.merge == "sum" else np.dstack(merged)
            ends = mapped(lambda x: x.numpy(), (ahead_end, back_end))
            return merged, ends

        cells = (Recurrent(RNNCell(2, 3), True), Recurrent(GRUCell(2, 3), True))
        return [
            Sample(
                (uniform(3, 4, 2),), (Recurrent(LSTMCell(2, 3), batch_first=True),),
                reference=reference,
            ),
            Sample(
                (uniform(4, 3, 2),), (GRU(2, 3),), {"merge": "sum"}, separable=False,
                reference=reference,
            ),
            Sample(
                (uniform(3, 4, 2),), cells, {"merge": None}, reference=reference,
            ),
        ]  # fmt: skip


def _renew(module: Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if reset is not None:
        reset()


def _turned(x: Tensor, axis: int, lengths: Tensor | None) -> Tensor:
    """Return a sequence from its end to its start; fillers stay where they are."""
    if lengths is None:
        return plait.flip(x, axis=axis)
    steps = x.shape[axis]
    places = plait.arange(steps).unsqueeze(1)
    places = plait.where(places < lengths, lengths - 1 - places, places)
    places = places if axis == 0 else places.mT
    shape = places.shape + (1,) * (x.ndim - 2)
    return plait.take_along_axis(x, places.reshape(shape), axis=axis)


class TimeDistributed(Module):
    """A layer for each step of a sequence by itself, all of them at once.

    The first two axes become one before the layer, and two again after it. So it does
    not matter which of them is the batch; and what a layer such as `BatchNorm2d`
    averages over in training is the whole sequence.

    Args:
        layer: a module from a batch to a tensor.

    Attributes:
        layer: the layer.

    Input: shape (batch, steps, ...) or (steps, batch, ...). Result: the same first two
    axes, and behind them what the layer gives of one example.

    Raises:
        ShapeError: (calling it) the input has less than two axes.
    """

    def __init__(self, layer: Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2:
            raise ShapeError(
                "[TimeDistributed] the input must have axes for batch and steps",
                got=f"shape {input.shape}",
            )
        first, second, *rest = input.shape
        result: Tensor = self.layer(input.reshape((first * second, *rest)))
        return result.reshape((first, second, *result.shape[1:]))

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: TimeDistributed, x: np.ndarray) -> np.ndarray:
            steps = plait.tensor(x.swapaxes(0, 1).copy())
            return np.stack([layer.layer(step).numpy() for step in steps], 1)

        return [
            Sample((uniform(3, 5, 4),), (Linear(4, 2),), reference=reference),
            Sample((uniform(2, 3, 2, 4, 4),), (Conv2d(2, 3, 3),), reference=reference),
        ]


class Masking(Module):
    """Finds the steps of a sequence that only fill it up.

    Nothing here hides a mask in a tensor: the result is a pair, and what comes next is
    given the mask. `Recurrent`, `Bidirectional` and `ConvLSTM2d` take it as `mask`. For
    `LSTM` and its kind, where fillers stand last, `lengths` is `mask.sum(-1)`. For
    attention, `key_padding_mask` is `~mask`.

    Args:
        mask_value: a step counts unless all its features have this value.

    Input: shape (batch, steps, features), or (steps, batch, features). Result: the
    input with 0 in the steps that do not count; and which steps count, bool, shape
    (batch, steps) or (steps, batch).

    Raises:
        ShapeError: (calling it) the input has less than two axes.
    """

    _shown = ("mask_value",)

    def __init__(self, mask_value: float = 0.0) -> None:
        super().__init__()
        self.mask_value = mask_value

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        if input.ndim < 2:
            raise ShapeError(
                "[Masking] the input must have axes for steps and features",
                got=f"shape {input.shape}",
            )
        counts = (input != self.mask_value).any(-1)
        return plait.where(counts.unsqueeze(-1), input, 0.0), counts

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Masking, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            counts = (x != layer.mask_value).any(-1)
            return np.where(counts[..., None], x, 0), counts

        x = uniform(2, 4, 3)
        some = x.copy()
        some[0, 2:] = 1.5
        return [
            Sample((x,), reference=reference),
            Sample((some,), (1.5,), smooth=False, reference=reference),
        ]
