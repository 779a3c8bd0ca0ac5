"""Layers that go through a sequence step by step, keeping a state.

What a step takes from its input is one product for all steps, before the loop; what it
takes from its state is in the loop, which `plait.scan` records once however long the
sequence is. Cells are the same steps, taken one at a time.

Read first: `_Kind`, `_Recurrent.forward`, `LSTM`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import plait
from plait import Tensor

from ..arguments import Count, Depth, Probability, Size
from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from .module import Module
from .packed import PackedSequence, checked_lengths, valid_steps
from .parameter import Parameter, own_parameter, spread
from .sample import Sample, uniform
from .steps import given_state, loop, without_fillers

State = tuple[Tensor, ...]


class _Weights(NamedTuple):
    """The parameters of one layer in one direction.

    Attributes:
        input, hidden: products with the input and with the state.
        input_bias, hidden_bias: their offsets, or None.
        projection: makes the state smaller; or None.
    """

    input: Tensor
    hidden: Tensor
    input_bias: Tensor | None
    hidden_bias: Tensor | None
    projection: Tensor | None


class _Kind(NamedTuple):
    """One kind of recurrence.

    Attributes:
        gates: rows of its matrices, in sizes of the state.
        states: how many tensors its state has.
        prepare: from input and weights to what steps take from the input.
        step: from that, the state and weights to the next state.
    """

    gates: int
    states: int
    prepare: Callable[[Tensor, _Weights], Tensor]
    step: Callable[[Tensor, State, _Weights], State]


def _all_offsets(x: Tensor, weights: _Weights) -> Tensor:
    """Return the product with the input, and both offsets."""
    bias = weights.input_bias
    if bias is not None and weights.hidden_bias is not None:
        bias = bias + weights.hidden_bias
    return plait.linear(x, weights.input, bias)


def _own_offset(x: Tensor, weights: _Weights) -> Tensor:
    """Return the product with the input and its own offset."""
    return plait.linear(x, weights.input, weights.input_bias)


def _tanh_step(part: Tensor, state: State, weights: _Weights) -> State:
    return (plait.tanh(part + plait.linear(state[0], weights.hidden)),)


def _relu_step(part: Tensor, state: State, weights: _Weights) -> State:
    return (plait.relu(part + plait.linear(state[0], weights.hidden)),)


def lstm_gates(gates: Tensor, c: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the next h and c, from the sums of four gates along an axis."""
    enter, keep, new, leave = plait.chunk(gates, 4, axis=axis)
    c = plait.sigmoid(keep) * c + plait.sigmoid(enter) * plait.tanh(new)
    return plait.sigmoid(leave) * plait.tanh(c), c


def _lstm_step(part: Tensor, state: State, weights: _Weights) -> State:
    h, c = state
    h, c = lstm_gates(part + plait.linear(h, weights.hidden), c, -1)
    if weights.projection is not None:
        h = plait.linear(h, weights.projection)
    return h, c


def _gru_step(part: Tensor, state: State, weights: _Weights) -> State:
    (h,) = state
    hidden = plait.linear(h, weights.hidden, weights.hidden_bias)
    reset, update, new = plait.chunk(part, 3, axis=-1)
    own_reset, own_update, own_new = plait.chunk(hidden, 3, axis=-1)
    update = plait.sigmoid(update + own_update)
    new = plait.tanh(new + plait.sigmoid(reset + own_reset) * own_new)
    return (new + update * (h - new),)


_KINDS = {
    "RNN_TANH": _Kind(1, 1, _all_offsets, _tanh_step),
    "RNN_RELU": _Kind(1, 1, _all_offsets, _relu_step),
    "LSTM": _Kind(4, 2, _all_offsets, _lstm_step),
    "GRU": _Kind(3, 1, _own_offset, _gru_step),
}


def _mode(layer: str, nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ArgumentError(
            f"[{layer}] no such nonlinearity", got=repr(nonlinearity),
            expected="'tanh' or 'relu'",
        )  # fmt: skip
    return f"RNN_{nonlinearity.upper()}"


def _check_features(layer: str, input: Tensor, ndims: Sequence[int], size: int) -> None:
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(
            f"[{layer}] the input must be a tensor", got=type(input).__name__
        )
    if input.ndim not in ndims or input.shape[-1] != size:
        axes = " or ".join(map(str, ndims))
        raise ShapeError(
            f"[{layer}] the input does not fit",
            got=f"shape {input.shape}",
            expected=f"{axes} axes, the last of size {size}",
        )


class _Owner(Module):
    """A module with parameters of recurrences."""

    mode: str
    bias: bool
    hidden_size: int

    @property
    def _recurrence(self) -> _Kind:
        return _KINDS[self.mode]

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _own(
        self, names: Sequence[str], inputs: int, projection: int, like: dict[str, Any]
    ) -> None:
        """Make the parameters of one direction, under names for each of them."""
        rows, size = self._recurrence.gates * self.hidden_size, self.hidden_size
        shapes: tuple[tuple[int, ...] | None, ...] = (
            (rows, inputs),
            (rows, projection or size),
            (rows,) if self.bias else None,
            (rows,) if self.bias else None,
            (projection, size) if projection else None,
        )
        for name, shape in zip(names, shapes, strict=True):
            own_parameter(self, name, shape, **like)

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        spread(self.parameters(), self.hidden_size)


class _Recurrent(_Owner):
    """Layers of recurrences over whole sequences."""

    def __init__(
        self,
        mode: str,
        input_size: Size,
        hidden_size: Count,
        num_layers: Depth,
        bias: bool,
        batch_first: bool,
        dropout: Probability,
        bidirectional: bool,
        device: Any,
        dtype: Any,
        proj_size: Size = 0,
    ) -> None:
        super().__init__()
        if proj_size and proj_size >= hidden_size:
            raise ArgumentError(
                f"[{self._name}] a projection must make the state smaller",
                got=f"proj_size={proj_size} of hidden_size={hidden_size}",
            )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._directions = ("", "_reverse") if bidirectional else ("",)
        like = {"device": device, "dtype": dtype}
        for layer in range(num_layers):
            wide = len(self._directions) * (proj_size or hidden_size)
            inputs = wide if layer else input_size
            for direction in self._directions:
                self._own(self._names(layer, direction), inputs, proj_size, like)
        self.reset_parameters()

    @staticmethod
    def _names(layer: int, direction: str) -> list[str]:
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return [f"{kind}_l{layer}{direction}" for kind in kinds]

    def _weights(self, layer: int, direction: str) -> _Weights:
        names = self._names(layer, direction)
        return _Weights(*(getattr(self, name) for name in names))

    def forward(
        self,
        input: Any,
        hx: Any = None,
        lengths: Tensor | Sequence[int] | None = None,
        key: Tensor | None = None,
    ) -> tuple[Any, Any]:
        """Return the states of the last layer at all steps, and those at the end.

        Args:
            input: see the class.
            hx: the state at the start. Default: 0.
            lengths: how many steps of each example count, in 1..steps. The result is 0
                at other steps, whose input does not matter, and the state at the end
                is that of the last step that counts; backward goes from there.
            key: for the random numbers of dropout. Default: the default generator's
                next; inside `jit` one must be given.

        Raises:
            ShapeError: the input or the state does not fit.
            ArgumentError: a length is out of range.
        """
        packed = isinstance(input, PackedSequence)
        x: Tensor
        if packed:
            if lengths is not None:
                raise ArgumentError(
                    f"[{self._name}] a packed sequence has lengths of its own",
                    fix="do not give lengths",
                )
            x, lengths = input
            _check_features(self._name, x, (3,), self.input_size)
        else:
            x = input
            _check_features(self._name, x, (2, 3), self.input_size)
        single = x.ndim == 2
        if single:
            x = x.unsqueeze(1)
        elif self.batch_first and not packed:
            x = plait.moveaxis(x, 0, 1)
        steps, batch = x.shape[:2]
        if not steps:
            raise ShapeError(
                f"[{self._name}] the sequence has no step", got=f"shape {input.shape}"
            )
        counts = None
        if lengths is not None:
            if single:
                raise ArgumentError(
                    f"[{self._name}] lengths are for batches",
                    got=f"an input of shape {input.shape}",
                )
            if not packed:
                lengths = checked_lengths(self._name, lengths, steps, batch)
            counts = valid_steps(lengths, steps)  # type: ignore[arg-type]
            x = without_fillers(x, counts)
        start = self._start(x, hx, single)
        x, end = self._run(x, start, counts, key)
        if single:
            x, end = x.squeeze(1), tuple(one.squeeze(1) for one in end)
        elif packed:
            return PackedSequence(x, input.lengths), end if len(end) > 1 else end[0]
        elif self.batch_first:
            x = plait.moveaxis(x, 0, 1)
        return x, end if len(end) > 1 else end[0]

    def _start(self, x: Tensor, hx: Any, single: bool) -> list[State]:
        """Return the state at the start of each layer and direction."""
        count = self.num_layers * len(self._directions)
        batch, states = x.shape[1], self._recurrence.states
        widths = (self.proj_size or self.hidden_size, self.hidden_size)[:states]
        if hx is None:
            zero = tuple(plait.zeros((batch, n), dtype=x.dtype) for n in widths)
            return [zero] * count
        middle = () if single else (batch,)
        state = given_state(self._name, hx, [(count, *middle, n) for n in widths])
        parts = [one.unsqueeze(1) if single else one for one in state]
        return [tuple(one[i] for one in parts) for i in range(count)]

    def _run(
        self,
        x: Tensor,
        start: list[State],
        counts: Tensor | None,
        key: Tensor | None,
    ) -> tuple[Tensor, State]:
        """Return the states of the last layer, and those of all layers at the end."""
        drops = self.training and self.dropout > 0 and self.num_layers > 1
        keys: Any = [None] * self.num_layers
        if drops and key is not None:
            keys = plait.random.split(key, self.num_layers)
        ends: list[State] = []
        for layer in range(self.num_layers):
            if layer and drops:
                x = plait.dropout(x, self.dropout, key=keys[layer])
            outputs = []
            for direction in self._directions:
                weights = self._weights(layer, direction)
                begin = start[len(ends)]
                end, output = self._loop(x, begin, counts, weights, bool(direction))
                outputs.append(output)
                ends.append(end)
            x = outputs[0] if len(outputs) == 1 else plait.concat(outputs, axis=-1)
        states = range(self._recurrence.states)
        return x, tuple(plait.stack([end[i] for end in ends]) for i in states)

    def _loop(
        self,
        x: Tensor,
        start: State,
        counts: Tensor | None,
        weights: _Weights,
        reverse: bool,
    ) -> tuple[State, Tensor]:
        """Go through a sequence, in one direction.

        Returns:
            The state at the end, and h of each step.
        """
        kind = self._recurrence

        def step(state: State, part: Tensor) -> State:
            return kind.step(part, state, weights)

        return loop(step, start, kind.prepare(x, weights), counts, reverse)

    def flatten_parameters(self) -> None:
        """Do nothing; PyTorch has it, to lay out weights for some devices."""

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + self._unusual(
            proj_size=0, num_layers=1, bias=True, batch_first=False, dropout=0.0,
            bidirectional=False,
        )  # fmt: skip


class RNN(_Recurrent):
    """The simplest recurrence.

    Formula: h = f(weight_ih @ x + bias_ih + weight_hh @ h + bias_hh), with f = tanh or
    relu.

    Args:
        input_size: the size of the input's last axis.
        hidden_size: the size of the state.
        num_layers: each goes through what the one before gives.
        nonlinearity: "tanh" or "relu".
        bias: whether there are offsets.
        batch_first: input and result have the batch before the steps.
        dropout: of what goes from layer to layer, see `Dropout`.
        bidirectional: a second recurrence goes from the end to the start, and results
            stand side by side.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0: of layer 0, shapes
            (hidden_size, input_size), (hidden_size, hidden_size), and twice
            (hidden_size,); at first U(-b, b) with b = 1 / sqrt(hidden_size). Those of
            other layers have their number, those that go backward end in `_reverse`.

    Input: shape (steps, batch, input_size), or (steps, input_size), or a
    `PackedSequence`. Result: the states of the last layer, shape (steps, batch,
    directions * hidden_size), packed if the input is; and those of all layers after the
    last step, shape (layers * directions, batch, hidden_size).

    Source: J. L. Elman, "Finding structure in time", 1990.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: Count,
        num_layers: Depth = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: Probability = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            _mode("RNN", nonlinearity), input_size, hidden_size, num_layers, bias,
            batch_first, dropout, bidirectional, device, dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def extra_repr(self) -> str:
        return super().extra_repr() + self._unusual(nonlinearity="tanh")

    @staticmethod
    def samples() -> list[Sample]:
        return _samples(1)


class LSTM(_Recurrent):
    """A recurrence whose state is kept, changed and shown through gates.

    Formulas: with sums a = weight_ih @ x + bias_ih + weight_hh @ h + bias_hh in four
    parts ai, af, ag, ao:
    c = sigmoid(af) * c + sigmoid(ai) * tanh(ag), h = sigmoid(ao) * tanh(c).

    Args:
        input_size: the size of the input's last axis.
        hidden_size: the size of the state c.
        num_layers: each goes through what the one before gives.
        bias: whether there are offsets.
        batch_first: input and result have the batch before the steps.
        dropout: of what goes from layer to layer, see `Dropout`.
        bidirectional: a second recurrence goes from the end to the start, and results
            stand side by side.
        proj_size: if not 0, the size of the state h, which is weight_hr @ h of above.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0: of layer 0, shapes
            (4 * hidden_size, input_size), (4 * hidden_size, size of h), and twice
            (4 * hidden_size,); at first U(-b, b) with b = 1 / sqrt(hidden_size). Those
            of other layers have their number, those that go backward end in
            `_reverse`.
        weight_hr_l0: shape (proj_size, hidden_size), where there is a projection.

    Input: shape (steps, batch, input_size), or (steps, input_size), or a
    `PackedSequence`. Result: the states h of the last layer, shape (steps, batch,
    directions * size of h), packed if the input is; and the pair (h, c) of all layers
    after the last step, shapes (layers * directions, batch, size).

    Source: S. Hochreiter, J. Schmidhuber, "Long short-term memory", 1997; F. Gers et
    al., "Learning to forget", 2000; proj_size: H. Sak et al., 2014.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: Count,
        num_layers: Depth = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: Probability = 0.0,
        bidirectional: bool = False,
        proj_size: Size = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, device, dtype, proj_size,
        )  # fmt: skip

    @staticmethod
    def samples() -> list[Sample]:
        projected = Sample(
            (uniform(4, 2, 3),), (3, 4), {"proj_size": 2, "bidirectional": True},
            separable=False,
        )  # fmt: skip
        return [*_samples(2), projected]


class GRU(_Recurrent):
    """A recurrence with gates for forgetting and for change.

    Formulas: with sums a = weight_ih @ x + bias_ih and s = weight_hh @ h + bias_hh in
    three parts: r = sigmoid(ar + sr), z = sigmoid(az + sz),
    n = tanh(an + r * sn), h = (1 - z) * n + z * h.

    Args:
        input_size: the size of the input's last axis.
        hidden_size: the size of the state.
        num_layers: each goes through what the one before gives.
        bias: whether there are offsets.
        batch_first: input and result have the batch before the steps.
        dropout: of what goes from layer to layer, see `Dropout`.
        bidirectional: a second recurrence goes from the end to the start, and results
            stand side by side.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0: of layer 0, shapes
            (3 * hidden_size, input_size), (3 * hidden_size, hidden_size), and twice
            (3 * hidden_size,); at first U(-b, b) with b = 1 / sqrt(hidden_size). Those
            of other layers have their number, those that go backward end in
            `_reverse`.

    Input: shape (steps, batch, input_size), or (steps, input_size), or a
    `PackedSequence`. Result: the states of the last layer, shape (steps, batch,
    directions * hidden_size), packed if the input is; and those of all layers after the
    last step, shape (layers * directions, batch, hidden_size).

    Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder
    for statistical machine translation", 2014; r after the product, as in PyTorch.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: Count,
        num_layers: Depth = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: Probability = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, device, dtype,
        )  # fmt: skip

    @staticmethod
    def samples() -> list[Sample]:
        return _samples(1)


def _samples(states: int) -> list[Sample]:
    """Return samples that are alike for all layers."""
    h = uniform(2, 2, 4)
    state: Any = h if states == 1 else (h, uniform(2, 2, 4, low=-1.0))
    both = {"num_layers": 2, "bidirectional": True, "bias": False}
    return [
        Sample((uniform(3, 5, 2),), (2, 3), {"batch_first": True}),
        Sample((uniform(3, 2, 2), state), (2, 4), {"num_layers": 2}, separable=False),
        Sample((uniform(4, 2, 2),), (2, 3), both, separable=False),
        Sample((uniform(4, 2),), (2, 3), separable=False),
        Sample(
            (uniform(4, 2, 2),), (2, 3), {"num_layers": 2, "dropout": 0.5},
            smooth=True, like_torch="eval", separable=False,
        ),
    ]  # fmt: skip


class _Cell(_Owner):
    """One step of a recurrence."""

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        mode: str,
        input_size: Size,
        hidden_size: Size,
        bias: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        self._own(names, input_size, 0, {"device": device, "dtype": dtype})
        self.reset_parameters()

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """Return the next state.

        Args:
            input: shape (batch, input_size), or (input_size,).
            hx: the state. Default: 0.

        Raises:
            ShapeError: the input or the state does not fit.
        """
        _check_features(self._name, input, (1, 2), self.input_size)
        kind = self._recurrence
        shapes = [(*input.shape[:-1], self.hidden_size)] * kind.states
        if hx is None:
            state: State = tuple(plait.zeros(x, dtype=input.dtype) for x in shapes)
        else:
            state = given_state(self._name, hx, shapes)
        weights = _Weights(
            self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, None
        )
        new = kind.step(kind.prepare(input, weights), state, weights)
        return new if kind.states > 1 else new[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + self._unusual(bias=True)


class RNNCell(_Cell):
    """One step of an `RNN`.

    Args:
        input_size, hidden_size: the sizes of input and state.
        bias: whether there are offsets.
        nonlinearity: "tanh" or "relu".
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih, weight_hh, bias_ih, bias_hh: as those of an `RNN`.

    Input: shape (batch, input_size) and a state of shape (batch, hidden_size), by
    default 0; or both without the batch. Result: the next state.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: Count,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        mode = _mode("RNNCell", nonlinearity)
        super().__init__(mode, input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def extra_repr(self) -> str:
        return super().extra_repr() + self._unusual(nonlinearity="tanh")

    @staticmethod
    def samples() -> list[Sample]:
        relu = Sample(
            (uniform(3, 2), uniform(3, 4)), (2, 4), {"nonlinearity": "relu"}, wrt=(0, 1)
        )
        return [*_cell_samples(1), relu]


class LSTMCell(_Cell):
    """One step of an `LSTM`.

    Args:
        input_size, hidden_size: the sizes of input and state.
        bias: whether there are offsets.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih, weight_hh, bias_ih, bias_hh: as those of an `LSTM`.

    Input: shape (batch, input_size) and a pair (h, c) of shapes (batch, hidden_size),
    by default 0; or all without the batch. Result: the next pair.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: Count,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("LSTM", input_size, hidden_size, bias, device, dtype)

    @staticmethod
    def samples() -> list[Sample]:
        return _cell_samples(2)


class GRUCell(_Cell):
    """One step of a `GRU`.

    Args:
        input_size, hidden_size: the sizes of input and state.
        bias: whether there are offsets.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight_ih, weight_hh, bias_ih, bias_hh: as those of a `GRU`.

    Input: shape (batch, input_size) and a state of shape (batch, hidden_size), by
    default 0; or both without the batch. Result: the next state.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: Count,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, bias, device, dtype)

    @staticmethod
    def samples() -> list[Sample]:
        return _cell_samples(1)


def _cell_samples(states: int) -> list[Sample]:
    h = uniform(3, 4)
    state: Any = h if states == 1 else (h, uniform(3, 4, low=-1.0))
    return [
        Sample((uniform(3, 2), state), (2, 4)),
        Sample((uniform(3, 2),), (2, 4), {"bias": False}),
        Sample((uniform(2),), (2, 4), separable=False),
    ]
