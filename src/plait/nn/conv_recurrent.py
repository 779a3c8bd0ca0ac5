"""Recurrences of images and signals: the products of an LSTM are convolutions.

What a step takes from its input is one convolution for all steps, before the loop.

Read first: `ConvLSTMCell1d`, `ConvLSTM1d`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Count, Size, Sizes
from ..errors import ShapeError
from .parameter import Parameter, own_parameter, spread
from .recurrent import lstm_gates
from .sample import Sample, uniform, windows
from .spatial import Spatial
from .steps import given_state, loop, steps_that_count, without_fillers

State = tuple[Tensor, Tensor]


class _ConvLSTM(Spatial):
    """The parameters, and one step."""

    weight_ih: Parameter
    weight_hh: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: Size,
        out_channels: Count,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes | str,
        dilation: Sizes,
        bias: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._each("kernel_size", kernel_size, 1)
        self.stride = self._each("stride", stride, 1)
        self.dilation = self._each("dilation", dilation, 1)
        self.padding = self._conv_padding(padding, self.stride)
        rows = 4 * out_channels
        shape = (rows, in_channels, *self.kernel_size)
        own_parameter(self, "weight_ih", shape, device, dtype)
        shape = (rows, out_channels, *self.kernel_size)
        own_parameter(self, "weight_hh", shape, device, dtype)
        own_parameter(self, "bias", rows if bias else None, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        fan_in = self.out_channels * math.prod(self.kernel_size)
        spread(self.parameters(), fan_in)

    def _part(self, input: Tensor) -> Tensor:
        """Return what a step takes from its input, for a batch of inputs."""
        return plait.convolution(
            input, self.weight_ih, self.bias, stride=self.stride,
            padding=self.padding, dilation=self.dilation,
        )  # fmt: skip

    def _step(self, part: Tensor, state: State) -> State:
        h, c = state
        own = plait.convolution(h, self.weight_hh, padding="same")
        return lstm_gates(part + own, c, -self.rank - 1)

    def _start(self, shape: tuple[int, ...], hx: Any, like: Tensor) -> State:
        """Return the state at the start.

        Args:
            shape: that of what a step takes from its input.
        """
        wanted = (*shape[: -self.rank - 1], self.out_channels, *shape[-self.rank :])
        if hx is None:
            zero = plait.zeros(wanted, dtype=like.dtype)
            return zero, zero
        h, c = given_state(type(self).__name__, hx, [wanted, wanted])
        return h, c

    def extra_repr(self) -> str:
        zeros, ones = (0,) * self.rank, (1,) * self.rank
        text = f"{self.in_channels}, {self.out_channels}, "
        text += f"kernel_size={self.kernel_size}"
        text += self._unusual(stride=ones, padding=zeros, dilation=ones)
        return text if self.bias is not None else f"{text}, bias=False"


class _Cell(_ConvLSTM):
    def __init__(
        self,
        in_channels: Size,
        out_channels: Count,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, bias,
            device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, hx: Any = None) -> State:
        """Return the next state.

        Args:
            input: see the class.
            hx: the pair (h, c). Default: 0.

        Raises:
            ShapeError: the input or the state does not fit.
        """
        self._check(input, self.in_channels)
        part = self._part(input)
        return self._step(part, self._start(part.shape, hx, input))

    @classmethod
    def samples(cls) -> list[Sample]:
        def reference(layer: Any, x: np.ndarray, state: Any = None) -> Any:
            return _by_hand(layer, x[None], state)[1]

        shape = (2, 2, 5, 4, 3)[: 2 + cls.rank]
        h = uniform(2, 3, *shape[2:])
        found = [
            Sample(
                (uniform(*shape), (h, h * 0.5)), (2, 3, 3), {"padding": 1},
                wrt=(0, 1, 2), reference=reference,
            ),
            Sample((uniform(*shape),), (2, 3, 3, 2, 2, 1, False), reference=reference),
        ]  # fmt: skip
        return found[:1] if cls.rank == 3 else found  # volumes take long


class ConvLSTMCell1d(_Cell):
    """One step of a `ConvLSTM1d`.

    Args:
        in_channels, out_channels: the channels of input and state.
        kernel_size: the size of both windows.
        stride, padding, dilation: those of `Conv1d`, for the input.
        bias: whether there is an offset.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih, weight_hh, bias: as those of a `ConvLSTM1d`.

    Input: shape (batch, in_channels, length), and a pair (h, c) of shapes
    (batch, out_channels, m), by default 0, with the m of `Conv1d`; or all without the
    batch. Result: the next pair.
    """

    rank = 1


class ConvLSTMCell2d(_Cell):
    """One step of a `ConvLSTM2d`.

    Args:
        in_channels, out_channels: the channels of input and state.
        kernel_size: the size of both windows.
        stride, padding, dilation: those of `Conv2d`, for the input.
        bias: whether there is an offset.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih, weight_hh, bias: as those of a `ConvLSTM2d`.

    Input: shape (batch, in_channels, height, width), and a pair (h, c) of shapes
    (batch, out_channels, *sizes), by default 0, with the sizes of `Conv2d`; or all
    without the batch. Result: the next pair.
    """

    rank = 2


class ConvLSTMCell3d(_Cell):
    """One step of a `ConvLSTM3d`.

    Args:
        in_channels, out_channels: the channels of input and state.
        kernel_size: the size of both windows.
        stride, padding, dilation: those of `Conv3d`, for the input.
        bias: whether there is an offset.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih, weight_hh, bias: as those of a `ConvLSTM3d`.

    Input: shape (batch, in_channels, depth, height, width), and a pair (h, c) of shapes
    (batch, out_channels, *sizes), by default 0, with the sizes of `Conv3d`; or all
    without the batch. Result: the next pair.
    """

    rank = 3


class _Layer(_ConvLSTM):
    def __init__(
        self,
        in_channels: Size,
        out_channels: Count,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        bias: bool = True,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, bias,
            device, dtype,
        )  # fmt: skip
        self.batch_first = batch_first

    def forward(
        self,
        input: Tensor,
        hx: Any = None,
        lengths: Tensor | Sequence[int] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Return h of all steps, and the pair (h, c) at the end.

        Args:
            input: see the class.
            hx: the pair (h, c) at the start. Default: 0.
            lengths: how many steps of each example count, in 1..steps.
            mask: which steps of each example count, in place of `lengths`: bool, with
                the first two axes of the input. Steps that do not count keep the state
                and give 0.

        Raises:
            ShapeError: the input, the state or the mask does not fit.
            ArgumentError: a length is out of range, or both of them are given.
        """
        name = type(self).__name__
        if input.ndim != self.rank + 3 or input.shape[2] != self.in_channels:
            first = "batch, steps" if self.batch_first else "steps, batch"
            raise ShapeError(
                f"[{name}] the input does not fit",
                got=f"shape {input.shape}",
                expected=f"({first}, {self.in_channels}) and {self.rank} spatial axes",
            )
        x = plait.moveaxis(input, 0, 1) if self.batch_first else input
        steps, batch = x.shape[:2]
        if not steps:
            raise ShapeError(
                f"[{name}] the sequence has no step", got=f"shape {input.shape}"
            )
        counts = steps_that_count(name, x.shape, self.batch_first, lengths, mask)
        x = without_fillers(x, counts)
        parts = self._part(x.reshape((steps * batch, *x.shape[2:])))
        parts = parts.reshape((steps, batch, *parts.shape[1:]))

        def step(state: State, part: Tensor) -> State:
            return self._step(part, state)

        start = self._start(parts.shape[1:], hx, input)
        end, output = loop(step, start, parts, counts, False)
        return plait.moveaxis(output, 0, 1) if self.batch_first else output, end

    def extra_repr(self) -> str:
        return super().extra_repr() + self._unusual(batch_first=False)

    @classmethod
    def samples(cls) -> list[Sample]:
        def reference(layer: Any, x: np.ndarray, state: Any = None) -> Any:
            order = x.swapaxes(0, 1) if layer.batch_first else x
            result, end = _by_hand(layer, order, state)
            return (result.swapaxes(0, 1) if layer.batch_first else result), end

        shape = (2, 3, 2, 5, 4, 3)[: 3 + cls.rank]
        h = uniform(3, 2, *shape[3:])
        found = [
            Sample(
                (uniform(*shape),), (2, 3, 3, 2, 1), {"batch_first": True},
                reference=reference,
            ),
            Sample(
                (uniform(*shape), (h, h * 0.5)), (2, 2, 3, 1, 1),
                {"bias": False}, separable=False,
                reference=reference,
            ),
        ]  # fmt: skip
        return found[:1] if cls.rank == 3 else found  # volumes take long


class ConvLSTM1d(_Layer):
    """An LSTM whose products with input and state are convolutions.

    Formulas: with sums a = conv(x, weight_ih) + bias + conv(h, weight_hh) in four parts
    of channels ai, af, ag, ao:
    c = sigmoid(af) * c + sigmoid(ai) * tanh(ag), h = sigmoid(ao) * tanh(c).
    The convolution of h keeps its sizes.

    Args:
        in_channels, out_channels: the channels of input and state.
        kernel_size: the size of both windows.
        stride, padding, dilation: those of `Conv1d`, for the input.
        bias: whether there is an offset.
        batch_first: input and result have the batch before the steps.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih: shape (4 * out_channels, in_channels, kernel_size); at first
            U(-b, b) with b = 1 / sqrt(out_channels * elements of the window).
        weight_hh: shape (4 * out_channels, out_channels, kernel_size); at first as
            weight_ih.
        bias: shape (4 * out_channels,), or None; at first as weight_ih.

    Input: shape (steps, batch, in_channels, length). Result: h of all steps, shape
    (steps, batch, out_channels, m), with the m of `Conv1d`; and the pair (h, c) after
    the last step, shapes (batch, out_channels, m).

    Source: X. Shi et al., "Convolutional LSTM network: a machine learning approach for
    precipitation nowcasting", 2015, without its products of gates and c.
    """

    rank = 1


class ConvLSTM2d(_Layer):
    """As `ConvLSTM1d`, over height and width.

    Args:
        in_channels, out_channels: the channels of input and state.
        kernel_size: the size of both windows.
        stride, padding, dilation: those of `Conv2d`, for the input.
        bias: whether there is an offset.
        batch_first: input and result have the batch before the steps.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih: shape (4 * out_channels, in_channels, *kernel_size).
        weight_hh: shape (4 * out_channels, out_channels, *kernel_size).
        bias: shape (4 * out_channels,), or None; at first all as in `ConvLSTM1d`.

    Input: shape (steps, batch, in_channels, height, width). Result: h of all steps,
    shape (steps, batch, out_channels, *sizes), with the sizes of `Conv2d`; and the pair
    (h, c) after the last step, without steps.
    """

    rank = 2


class ConvLSTM3d(_Layer):
    """As `ConvLSTM1d`, over depth, height and width.

    Args:
        in_channels, out_channels: the channels of input and state.
        kernel_size: the size of both windows.
        stride, padding, dilation: those of `Conv3d`, for the input.
        bias: whether there is an offset.
        batch_first: input and result have the batch before the steps.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih: shape (4 * out_channels, in_channels, *kernel_size).
        weight_hh: shape (4 * out_channels, out_channels, *kernel_size).
        bias: shape (4 * out_channels,), or None; at first all as in `ConvLSTM1d`.

    Input: shape (steps, batch, in_channels, depth, height, width). Result: h of all
    steps, shape (steps, batch, out_channels, *sizes), with the sizes of `Conv3d`; and
    the pair (h, c) after the last step, without steps.
    """

    rank = 3


def _by_hand(layer: Any, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """Return h of all steps and the state at the end, for references."""
    rank, rows = layer.rank, 4 * layer.out_channels
    weight_ih, weight_hh = layer.weight_ih.numpy(), layer.weight_hh.numpy()
    bias = np.zeros(rows) if layer.bias is None else layer.bias.numpy()
    same = [(n // 2, n - n // 2) for n in (k - 1 for k in layer.kernel_size)]
    found = []
    for one in x:
        pads = [(p, p) for p in layer.padding]
        part = _convolved(one, weight_ih, pads, layer.stride)
        part = part + bias.reshape((rows, *(1,) * rank))
        if state is None:
            zero = np.zeros((len(one), layer.out_channels, *part.shape[2:]))
            state = (zero, zero)
        h, c = state
        sums = part + _convolved(h, weight_hh, same, (1,) * rank)
        enter, keep, new, leave = np.split(sums, 4, axis=1)
        enter, keep, leave = (1 / (1 + np.exp(-g)) for g in (enter, keep, leave))
        c = keep * c + enter * np.tanh(new)
        h = leave * np.tanh(c)
        state = (h, c)
        found.append(h)
    return np.stack(found), state


def _convolved(
    x: np.ndarray,
    weight: np.ndarray,
    pads: Sequence[tuple[int, int]],
    stride: Sequence[int],
) -> np.ndarray:
    views = windows(x, weight.shape[2:], stride, pads)
    out, kernel = "uvw"[: len(pads)], "xyz"[: len(pads)]
    result: np.ndarray = np.einsum(
        f"nc{out}{kernel},oc{kernel}->no{out}", views, weight
    )
    return result
