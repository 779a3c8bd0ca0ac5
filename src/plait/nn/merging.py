"""Layers of several inputs, and modules side by side.

Read first: `Add`, `Parallel`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError, ArgumentTypeError, ShapeError
from .containers import ModuleList
from .linear import Linear
from .module import Module
from .sample import Sample, linear_map, uniform


class _Merge(Module):
    """A layer of several tensors, given one by one or as one list."""

    # What joins two of them, and two arrays.
    _join: ClassVar[Callable[..., Tensor]]
    _join_arrays: ClassVar[Callable[..., np.ndarray]]

    def forward(self, *inputs: Any) -> Tensor:
        """Return what becomes of the tensors.

        Args:
            inputs: tensors, or one list or tuple of them.

        Raises:
            ArgumentTypeError: there is none, or it is no tensor.
        """
        if len(inputs) == 1 and isinstance(inputs[0], list | tuple):
            inputs = tuple(inputs[0])
        if not inputs or not all(isinstance(x, Tensor) for x in inputs):
            raise ArgumentTypeError(
                f"[{type(self).__name__}] tensors are needed",
                got=", ".join(type(x).__name__ for x in inputs) or "none",
                expected="tensors one by one, or in one list",
            )
        return self._merged(list(inputs))

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return functools.reduce(type(self)._join, inputs)

    @classmethod
    def samples(cls) -> list[Sample]:
        def reference(_: Module, *inputs: Any) -> Any:
            return cls._expected(*(inputs[0] if len(inputs) == 1 else inputs))

        three = (uniform(3, 4), uniform(3, 1) + 0.1, uniform(3, 4) * 0.7)
        pair = (uniform(2, 3, 4), uniform(2, 3, 4) * 0.5)
        return [
            Sample(three, wrt=(0, 1, 2), reference=reference),
            Sample((pair,), wrt=(0, 1), reference=reference),
        ]

    @classmethod
    def _expected(cls, *inputs: np.ndarray) -> np.ndarray:
        """Return the result for arrays."""
        return functools.reduce(cls._join_arrays, inputs)


class Add(_Merge):
    """The sum of its inputs.

    Input: tensors, or one list of them; shapes broadcast. Result: their common shape.

    Example:
        >>> import plait
        >>> from plait import nn
        >>> nn.Add()(plait.ones(2), plait.ones(2), plait.ones(2)).tolist()
        [3.0, 3.0]
    """

    _join = staticmethod(plait.add)
    _join_arrays = staticmethod(np.add)


class Subtract(_Merge):
    """The first of its two inputs less the second.

    Input: two tensors, or one list of them; shapes broadcast. Result: their common
    shape.

    Raises:
        ArgumentError: (calling it) there are not two.
    """

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        if len(inputs) != 2:
            raise ArgumentError(
                "[Subtract] two tensors are needed", got=f"{len(inputs)} of them"
            )
        return inputs[0] - inputs[1]

    @classmethod
    def _expected(cls, *inputs: np.ndarray) -> np.ndarray:
        result: np.ndarray = inputs[0] - inputs[1]
        return result

    @classmethod
    def samples(cls) -> list[Sample]:
        first, second = super().samples()
        return [first._replace(inputs=first.inputs[:2], wrt=(0, 1)), second]


class Multiply(_Merge):
    """The product of its inputs, element by element.

    Input: tensors, or one list of them; shapes broadcast. Result: their common shape.
    """

    _join = staticmethod(plait.multiply)
    _join_arrays = staticmethod(np.multiply)


class Average(_Merge):
    """The mean of its inputs, element by element.

    Input: tensors, or one list of them; shapes broadcast. Result: their common shape.
    """

    _join = staticmethod(plait.add)

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return super()._merged(inputs) / len(inputs)

    @classmethod
    def _expected(cls, *inputs: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.mean(np.broadcast_arrays(*inputs), axis=0)
        return result


class Maximum(_Merge):
    """The greatest of its inputs, element by element.

    Input: tensors, or one list of them; shapes broadcast. Result: their common shape.
    """

    _join = staticmethod(plait.maximum)
    _join_arrays = staticmethod(np.maximum)


class Minimum(_Merge):
    """The least of its inputs, element by element.

    Input: tensors, or one list of them; shapes broadcast. Result: their common shape.
    """

    _join = staticmethod(plait.minimum)
    _join_arrays = staticmethod(np.minimum)


class Concatenate(_Merge):
    """Its inputs one behind the other. See `plait.concat`.

    Args:
        dim: the axis along which they stand. By default that of the channels.

    Input: tensors, or one list of them; shapes differ along `dim` only. Result: the
    same with the sum of the sizes.
    """

    _shown = ("dim",)

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return plait.concat(inputs, axis=self.dim)

    @classmethod
    def samples(cls) -> list[Sample]:
        three = (uniform(3, 4), uniform(3, 1), uniform(3, 2))
        pair = (uniform(2, 3, 4), uniform(2, 3, 4) * 0.5)
        return [
            Sample(three, wrt=(0, 1, 2), reference=lambda _, *x: np.concatenate(x, 1)),
            Sample(
                (pair,), (-1,), wrt=(0, 1),
                reference=lambda _, x: np.concatenate(x, -1),
            ),
        ]  # fmt: skip


class Dot(_Merge):
    """Sums of products of two tensors along one axis of each, example by example.

    Formula: for shapes (n, a, i) and (n, i, b) with dims=(2, 1), y[n] = x1[n] @ x2[n].

    Args:
        dims: the axis of both, or one for each; not 0, that of the batch.
        normalize: divide by the norms along the axis, which gives cosines.

    Input: two tensors, or one list of them, with the same batch, shapes (n, ...) and
    (n, ...). Result: the batch, the other axes of the first and then those of the
    second; shape (n, 1) where there is none.

    Raises:
        ArgumentError: `dims` are no axes of examples; (calling it) there are not two
            tensors.
        ShapeError: (calling it) the shapes do not fit.
    """

    _shown = ("dims", "normalize")

    def __init__(self, dims: int | tuple[int, int], normalize: bool = False) -> None:
        super().__init__()
        pair: Any = dims if isinstance(dims, tuple | list) else (dims, dims)
        if len(pair) != 2 or 0 in pair:
            raise ArgumentError(
                "[Dot] dims must be one axis, or one for each input, behind the batch",
                got=f"dims={dims}",
            )
        self.dims = (pair[0], pair[1])
        self.normalize = normalize

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        if len(inputs) != 2:
            raise ArgumentError(
                "[Dot] two tensors are needed", got=f"{len(inputs)} of them"
            )
        first, second = inputs
        fits = all(
            -x.ndim < dim < x.ndim for x, dim in zip(inputs, self.dims, strict=True)
        )
        fits = fits and first.shape[0] == second.shape[0]
        if not fits or first.shape[self.dims[0]] != second.shape[self.dims[1]]:
            raise ShapeError(
                "[Dot] the shapes do not fit",
                got=f"{first.shape} and {second.shape} for dims={self.dims}",
                expected="the same batch, and the same size of the two axes",
            )
        a, b = (
            plait.moveaxis(x, dim, -1) for x, dim in zip(inputs, self.dims, strict=True)
        )
        if self.normalize:
            a, b = (plait.normalize(x, axis=-1) for x in (a, b))
        rest = (*a.shape[1:-1], *b.shape[1:-1])
        a, b = (x.flatten(1, -2) if x.ndim > 2 else x.unsqueeze(1) for x in (a, b))
        return (a @ b.mT).reshape((a.shape[0], *(rest or (1,))))

    @classmethod
    def samples(cls) -> list[Sample]:
        def cosines(_: Module, x: np.ndarray, y: np.ndarray) -> np.ndarray:
            norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
            result: np.ndarray = ((x * y).sum(1) / norms)[:, None]
            return result

        return [
            Sample(
                (uniform(2, 3, 4), uniform(2, 4, 5, 2)), ((2, 1),), wrt=(0, 1),
                reference=lambda _, x, y: np.einsum("nai,nibc->nabc", x, y),
            ),
            Sample(
                (uniform(3, 4), uniform(3, 4) + 0.3), (1, True), wrt=(0, 1),
                reference=cosines,
            ),
            Sample(
                ((uniform(2, 3, 4), uniform(2, 5, 4)),), (-1,), wrt=(0, 1),
                reference=lambda _, xs: np.einsum("nai,nbi->nab", *xs),
            ),
        ]  # fmt: skip


class Parallel(Module):
    """Modules side by side: all get the same input.

    Args:
        modules: the modules.
        merge: what makes one of the results, such as `nn.Concatenate()` or `nn.Add()`:
            a module or a function that takes them one by one. Default: they stay a
            tuple.

    Attributes:
        branches: a `ModuleList` of the modules.

    Input: what each of the modules takes. Result: that of `merge`, or a tuple.

    Source: C. Szegedy et al., "Going deeper with convolutions", 2015, for example.

    Example:
        >>> import plait
        >>> from plait import nn
        >>> block = nn.Parallel(
        ...     nn.Conv2d(3, 8, 1),
        ...     nn.Conv2d(3, 4, 3, padding=1),
        ...     merge=nn.Concatenate(),
        ... )
        >>> block(plait.zeros(2, 3, 16, 16)).shape
        (2, 12, 16, 16)
    """

    def __init__(
        self, *modules: Module, merge: Callable[..., Any] | None = None
    ) -> None:
        super().__init__()
        self.branches = ModuleList(modules)
        self.merge = merge

    def forward(self, *inputs: Any, **named: Any) -> Any:
        results = tuple(branch(*inputs, **named) for branch in self.branches)
        return results if self.merge is None else self.merge(*results)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Parallel, x: np.ndarray) -> Any:
            results = tuple(linear_map(one, x) for one in layer.branches)
            return results if layer.merge is None else np.concatenate(results, 1)

        two = (Linear(4, 2), Linear(4, 3))
        return [
            Sample(
                (uniform(3, 4),), two, {"merge": Concatenate()}, reference=reference,
            ),
            Sample((uniform(3, 4),), two, reference=reference),
        ]  # fmt: skip


class Residual(Module):
    """What a module returns, added to its input.

    Formula: y = shortcut(x) + module(x).

    Args:
        module: the module.
        shortcut: what the input goes through, where shapes differ. Default: nothing.

    Input: what the module takes. Result: the same shape, or that of the shortcut.

    Raises:
        ShapeError: (calling it) the two shapes differ.

    Source: K. He et al., "Deep residual learning for image recognition", 2016.
    """

    def __init__(self, module: Module, shortcut: Module | None = None) -> None:
        super().__init__()
        self.module = module
        self.shortcut = shortcut

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.module(input)
        past: Tensor = input if self.shortcut is None else self.shortcut(input)
        if past.shape != result.shape:
            raise ShapeError(
                "[Residual] the module changes the shape",
                got=f"{past.shape} and {result.shape}",
                fix="give a shortcut that changes it in the same way",
            )
        return past + result

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Residual, x: np.ndarray) -> Any:
            result = linear_map(layer.module, x)
            past = x if layer.shortcut is None else linear_map(layer.shortcut, x)
            return past + result

        return [
            Sample((uniform(3, 4),), (Linear(4, 4),), reference=reference),
            Sample((uniform(3, 4),), (Linear(4, 2), Linear(4, 2)), reference=reference),
        ]
