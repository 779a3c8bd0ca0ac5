"""Layers that look at data before training: means, boundaries, vocabularies.

What they find out by `adapt` are buffers, not parameters. Until then these have no
shape, as in lazy layers, and `load_state_dict` gives them theirs.

Read first: `Adapted`, `Normalization`.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ShapeError
from .module import Module
from .parameter import Buffer, Uninitialized, UninitializedBuffer
from .sample import Sample, uniform


def batches_of(data: Any) -> Iterator[np.ndarray]:
    """Yield the arrays in `data`: an array, a tensor, lists, or batches of them."""
    if isinstance(data, Tensor):
        yield data.numpy()
    elif isinstance(data, (np.ndarray, list, tuple)):
        yield np.asarray(data)
    else:
        for batch in data:
            yield from batches_of(batch)


class Adapted(Module):
    """A layer some of whose buffers are found out by `adapt`."""

    def adapt(self, data: Any) -> Self:
        """Find out from data what the layer needs to know; return this layer.

        Args:
            data: an array, a tensor, or an iterable of batches of them, such as a data
                loader of inputs alone.

        Raises:
            ArgumentError: there are no data.
        """
        batches = [batch for batch in batches_of(data) if batch.size]
        if not batches:
            raise ArgumentError(
                f"[{type(self).__name__}] there are no data to adapt to"
            )
        for name, value in self._found(batches).items():
            self._put(name, plait.asarray(value))
        return self

    def _found(self, batches: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the buffers for data by name."""
        raise NotImplementedError(f"{type(self).__name__} finds nothing out")

    def _own(self, name: str, value: Any, dtype: Any = None) -> None:
        """Make a buffer; None: `adapt` finds it out."""
        buffer = (
            UninitializedBuffer(True, dtype) if value is None
            else Buffer(plait.asarray(value, dtype=dtype))
        )  # fmt: skip
        setattr(self, name, buffer)

    def _put(self, name: str, value: Tensor) -> None:
        place = vars(self)[name]
        value = value.to(place.dtype)
        if isinstance(place, Uninitialized):
            place.data = value
        else:
            setattr(self, name, Buffer(value))

    def _check_adapted(self) -> None:
        """Raise unless all buffers are known.

        Raises:
            ArgumentError: one is not.
        """
        if any(isinstance(x, Uninitialized) for x in vars(self).values()):
            name = type(self).__name__
            raise ArgumentError(
                f"[{name}] the layer has not seen any data",
                fix="call adapt(data) once, or give what it finds out as arguments",
            )

    # What `load_state_dict` asks of layers that wait for their shapes.

    def _twin_for(self, values: Mapping[str, Any]) -> Module | None:
        """Return this layer with buffers of the shapes of values; None if some lack."""
        twin = copy.deepcopy(self)
        for name, place in list(vars(self).items()):
            if isinstance(place, Uninitialized):
                if name not in values:
                    return None
                shape = plait.asarray(values[name]).shape
                twin._put(name, plait.zeros(shape, dtype=place.dtype))
        return twin

    def _settle(self, made: Module) -> None:
        """Take over the buffers of a twin."""
        for name, place in list(vars(self).items()):
            if isinstance(place, Uninitialized):
                self._put(name, vars(made)[name].detach())


class Normalization(Adapted):
    """Shifts and scales features to mean 0 and variance 1, by what data were like.

    Formula: (x - mean) / max(sqrt(variance), 1e-7); the other way round with `invert`.

    Args:
        axis: of the features, or several axes; each has a mean of its own, over all
            other axes. None: one mean for all.
        mean, variance: of the features, if they are known: numbers, or the shape of the
            input along `axis`. None: `adapt` finds them out.
        invert: make of normalized features what they were.

    Attributes:
        mean: shape: the sizes of `axis`. Buffer.
        variance: the same shape. Buffer.

    Input: shape (n, ..., features, ...). Result: the same.

    Raises:
        ArgumentError: only one of mean and variance; (calling it) there were no data.
        ShapeError: (calling it) the input has other sizes along `axis`.
    """

    mean: Tensor
    variance: Tensor

    _shown = ("axis", "invert")

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
    ) -> None:
        super().__init__()
        if (mean is None) != (variance is None):
            raise ArgumentError(
                "[Normalization] give both mean and variance, or none",
                got="mean" if variance is None else "variance",
            )
        axes = () if axis is None else axis if isinstance(axis, Sequence) else (axis,)
        self.axis = tuple(operator.index(a) for a in axes)
        self.invert = invert
        dtype = plait.float32
        self._own("mean", mean, dtype)
        self._own("variance", variance, dtype)

    def _axes(self, shape: tuple[int, ...]) -> list[int]:
        """Return the axes of the features, counted from the front."""
        ndim = len(shape)
        if not all(-ndim <= a < ndim for a in self.axis):
            raise ShapeError(
                "[Normalization] the input has no such axis",
                got=f"axis={self.axis} for shape {shape}",
            )
        return sorted(a % ndim for a in self.axis)

    def _found(self, batches: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        # Sums of the differences from a first mean, so that large means cost no digits.
        count, first, total, squares = 0, None, 0.0, 0.0
        for batch in batches:
            kept = self._axes(batch.shape)
            moved = np.moveaxis(batch.astype(np.float64), kept, range(-len(kept), 0))
            sizes = [batch.shape[a] for a in kept]
            rows = moved.reshape(-1, *sizes)
            first = rows.mean(0) if first is None else first
            count += len(rows)
            total = total + (rows - first).sum(0)
            squares = squares + ((rows - first) ** 2).sum(0)
        shift = np.asarray(total) / count
        mean = np.asarray(first) + shift
        variance = np.maximum(np.asarray(squares) / count - shift**2, 0)
        return {"mean": mean, "variance": variance}

    def forward(self, input: Tensor) -> Tensor:
        self._check_adapted()
        kept = self._axes(input.shape)
        sizes = [n if a in kept else 1 for a, n in enumerate(input.shape)]
        shape = tuple(input.shape[a] for a in kept)
        if self.mean.shape not in ((), shape):
            raise ShapeError(
                "[Normalization] the input does not fit",
                got=f"sizes {shape} along axis {self.axis}",
                expected=str(self.mean.shape),
            )

        def spread(x: Tensor) -> Tensor:
            return x.reshape(sizes) if x.ndim else x

        deviation = plait.sqrt(spread(self.variance)).clip(1e-7)
        mean = spread(self.mean)
        dtype = input.dtype
        wide = plait.result_type(dtype, plait.float32)
        x = input.to(wide)
        result = x * deviation + mean if self.invert else (x - mean) / deviation
        return result.to(dtype if dtype.is_float else result.dtype)

    @staticmethod
    def samples() -> list[Sample]:
        x, mean, variance = uniform(4, 3), uniform(3), uniform(3, low=0.5)
        given = {"mean": mean, "variance": variance}
        images = {"axis": 1, "mean": uniform(2), "variance": uniform(2, low=0.5)}

        def reference(layer: Normalization, x: np.ndarray) -> np.ndarray:
            shape = (-1, 1, 1) if x.ndim == 4 else (-1,)
            mean = layer.mean.numpy().reshape(shape)
            deviation = np.sqrt(layer.variance.numpy().reshape(shape))
            result: np.ndarray = (x - mean) / deviation
            return x * deviation + mean if layer.invert else result

        return [
            Sample((x,), (), given, reference=reference),
            Sample((x,), (), {**given, "invert": True}, reference=reference),
            Sample((uniform(2, 2, 3, 3),), (), images, reference=reference),
            Sample((x,), (None, 1.5, 4.0), reference=lambda _, x: (x - 1.5) / 2),
        ]
