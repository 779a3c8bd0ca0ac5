"""Layers that find out at their first call how large their input is.

A lazy layer is its ordinary layer without one argument, a size. It holds placeholders
for parameters and buffers. The first call reads the size off the input, makes the
ordinary layer, fills the placeholders with what that one has, and becomes of its class.

    class LazyLinear(LazyModule, Linear):
        learned = "in_features"

Read first: `LazyModule`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import plait
from plait import Tensor

from ..arguments import bare, misbound
from ..errors import ArgumentError, ShapeError, TracingError
from .convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from .instance import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .linear import Linear
from .module import Module
from .normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .parameter import (
    Buffer,
    Parameter,
    Uninitialized,
    UninitializedBuffer,
    UninitializedParameter,
)
from .sample import Sample
from .spatial import check_shape


class LazyModule(Module):
    """A layer that finds out one of its sizes at its first call.

    A subclass names it first among its bases, and the ordinary layer second. That layer
    is to own its parameters and buffers directly, and to be settled by a call with the
    tensor first.

    Attributes:
        learned: the argument of the ordinary layer that is found out.
        axis: where in the shape of the first input it stands.
        defaults: what other arguments are if they are left out, where that differs from
            the ordinary layer.
    """

    learned: ClassVar[str]
    axis: ClassVar[int] = -1
    defaults: ClassVar[Mapping[str, Any]] = {}
    ordinary: ClassVar[type[Module]]
    __signature__: ClassVar[inspect.Signature]
    _given: Mapping[str, Any]
    _waiting: tuple[str, ...] = ()  # the names of its placeholders

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        ordinary = cls.__bases__[1] if len(cls.__bases__) > 1 else None
        if ordinary is not None and hasattr(cls, "learned"):
            cls.ordinary = ordinary
            whole = inspect.signature(ordinary)
            kept = [p for n, p in whole.parameters.items() if n != cls.learned]
            cls.__signature__ = whole.replace(
                parameters=[
                    p.replace(default=cls.defaults.get(p.name, p.default)) for p in kept
                ]
            )

    def __init__(self, *args: Any, **named: Any) -> None:
        Module.__init__(self)
        signature = self.__signature__
        wrong = misbound(type(self).__name__, bare(signature), args, named)
        if wrong is not None:
            raise wrong
        given = {**self.defaults, **signature.bind(*args, **named).arguments}
        # The ordinary layer with some size checks the arguments, and shows what there
        # is to own. It draws no numbers that anyone else would have drawn.
        with plait.random.keyed(plait.random.key(0)):
            sketch = self._made(given, self._unit(given))
        vars(self).update(vars(sketch))
        self._given = given
        setattr(self, self.learned, 0)
        for name, owned in list(vars(self).items()):
            if isinstance(owned, Parameter):
                place: Uninitialized = UninitializedParameter(
                    owned.requires_grad, owned.dtype
                )
            elif isinstance(owned, Buffer) and owned.ndim:
                place = UninitializedBuffer(owned.persistent, owned.dtype)
            else:
                continue
            setattr(self, name, place)
            self._waiting = (*self._waiting, name)

    def _unit(self, given: Mapping[str, Any]) -> int:
        """Return a size that the ordinary layer can have; so can its multiples."""
        groups = given.get("groups", 1)
        # One that is no number is for the ordinary layer to refuse.
        return groups if isinstance(groups, int) else 1

    def _made(self, given: Mapping[str, Any], size: int) -> Module:
        """Return the ordinary layer with a size."""
        return self.ordinary(**given, **{self.learned: size})

    def size_of(self, input: Tensor) -> int:
        """Return the size that is found out, from the first input.

        Raises:
            ShapeError: the input does not fit.
        """
        try:
            return input.shape[self.axis]
        except IndexError:
            raise ShapeError(
                f"[{type(self).__name__}] the input has no axis {self.axis}",
                got=f"shape {input.shape}",
            ) from None

    def has_uninitialized_params(self) -> bool:
        """Return whether this layer has not been called yet."""
        return bool(self._waiting)

    def forward(self, input: Tensor, *args: Any, **named: Any) -> Any:
        """Become the ordinary layer, and return what that one computes."""
        name = type(self).__name__
        if not all(isinstance(vars(self)[n], Uninitialized) for n in self._waiting):
            raise ArgumentError(
                f"[{name}] the first call of a lazy layer makes its parameters, so "
                "none can be given",
                fix="call the model once, on an example, before functional_call",
            )
        size = self.size_of(input)
        try:
            plait.zeros(()).numpy()
        except TracingError:
            raise TracingError(
                f"[{name}] the first call of a lazy layer makes its parameters, which "
                "cannot be recorded",
                fix="call the model once, on an example, outside of jit and vmap",
            ) from None
        with plait.no_grad():
            self._settle(self._made(self._given, size))
        return self.forward(input, *args, **named)

    def _twin_for(self, values: Mapping[str, Any]) -> Module | None:
        """Return the ordinary layer that values by name are of; None if none shows."""
        unit = self._unit(self._given)
        with plait.random.keyed(plait.random.key(0)):
            one, two = (vars(self._made(self._given, n)) for n in (unit, 2 * unit))
        for name, value in values.items():
            sizes = zip(
                plait.asarray(value).shape, one[name].shape, two[name].shape,
                strict=False,
            )  # fmt: skip
            for found, single, double in sizes:
                if single != double:  # it grows with the size
                    return self._made(self._given, unit * found // single)
        return None

    def _settle(self, made: Module) -> None:
        """Become the ordinary layer, with the values that `made` has."""
        for name in self._waiting:
            place = vars(self)[name]
            place.data = vars(made)[name].detach().to(place.dtype)
        setattr(self, self.learned, getattr(made, self.learned))
        del self._given
        if self._waiting:
            del self._waiting
        self.__class__ = self.ordinary  # type: ignore[assignment]

    @classmethod
    def samples(cls) -> list[Sample]:
        """Return the first samples of the ordinary layer, without the size."""
        whole = inspect.signature(cls.ordinary)
        found = []
        for sample in cast("Any", cls.ordinary).samples()[:2]:
            given = dict(whole.bind(*sample.args, **sample.named).arguments)
            del given[cls.learned]
            found.append(sample._replace(args=(), named=given))
        return found


class LazyLinear(LazyModule, Linear):
    """A `Linear` that takes `in_features` from its first input.

    Until its first call, `weight` and `bias` are `UninitializedParameter`s; the call
    gives them shape and values, and makes the layer a `Linear`. So does
    `load_state_dict`, by the shapes of the values. An optimizer made before takes the
    parameters as they become.

    Args:
        out_features: the size of the result's last axis.
        bias: whether there is an offset.
        device, dtype: of the parameters. Default: the CPU, float32.

    Attributes:
        weight: shape (out_features, in_features); bias: shape (out_features,), or None.
            At first as those of `Linear`.

    Input: shape (..., in_features). Result: shape (..., out_features).

    Raises:
        TracingError: (calling it) the first call is inside `jit` or `vmap`.
    """

    learned = "in_features"


class _LazySpatial(LazyModule):
    """A lazy layer over (n, channels, *spatial) or (channels, *spatial)."""

    rank: ClassVar[int]

    def size_of(self, input: Tensor) -> int:
        check_shape(type(self).__name__, input.shape, self.rank, None)
        return input.shape[-self.rank - 1]


class LazyConv1d(_LazySpatial, Conv1d):
    """A `Conv1d` that takes `in_channels` from its first input.

    Until its first call, `weight` and `bias` are `UninitializedParameter`s; then it is
    a `Conv1d`. See `LazyLinear`.

    Args:
        out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype: those of `Conv1d`.

    Attributes:
        weight, bias: those of `Conv1d`.

    Input: shape (n, in_channels, length), or without n. Result: that of `Conv1d`.
    """

    learned = "in_channels"


class LazyConv2d(_LazySpatial, Conv2d):
    """A `Conv2d` that takes `in_channels` from its first input; see `LazyConv1d`.

    Args:
        out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype: those of `Conv2d`.

    Attributes:
        weight, bias: those of `Conv2d`.

    Input: shape (n, in_channels, height, width), or without n. Result: that of
    `Conv2d`.
    """

    learned = "in_channels"


class LazyConv3d(_LazySpatial, Conv3d):
    """A `Conv3d` that takes `in_channels` from its first input; see `LazyConv1d`.

    Args:
        out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype: those of `Conv3d`.

    Attributes:
        weight, bias: those of `Conv3d`.

    Input: shape (n, in_channels, depth, height, width), or without n. Result: that of
    `Conv3d`.
    """

    learned = "in_channels"


class LazyConvTranspose1d(_LazySpatial, ConvTranspose1d):
    """A `ConvTranspose1d` that takes `in_channels` from its first input.

    Until its first call, `weight` and `bias` are `UninitializedParameter`s; then it is
    a `ConvTranspose1d`. See `LazyLinear`.

    Args:
        out_channels, kernel_size, stride, padding, output_padding, groups, bias,
            dilation, padding_mode, device, dtype: those of `ConvTranspose1d`.

    Attributes:
        weight, bias: those of `ConvTranspose1d`.

    Input: shape (n, in_channels, length), or without n. Result: that of
    `ConvTranspose1d`.
    """

    learned = "in_channels"


class LazyConvTranspose2d(_LazySpatial, ConvTranspose2d):
    """A `ConvTranspose2d` that takes `in_channels` from its first input.

    Args:
        out_channels, kernel_size, stride, padding, output_padding, groups, bias,
            dilation, padding_mode, device, dtype: those of `ConvTranspose2d`.

    Attributes:
        weight, bias: those of `ConvTranspose2d`.

    Input: shape (n, in_channels, height, width), or without n. Result: that of
    `ConvTranspose2d`.

    See `LazyConvTranspose1d`.
    """

    learned = "in_channels"


class LazyConvTranspose3d(_LazySpatial, ConvTranspose3d):
    """A `ConvTranspose3d` that takes `in_channels` from its first input.

    Args:
        out_channels, kernel_size, stride, padding, output_padding, groups, bias,
            dilation, padding_mode, device, dtype: those of `ConvTranspose3d`.

    Attributes:
        weight, bias: those of `ConvTranspose3d`.

    Input: shape (n, in_channels, depth, height, width), or without n. Result: that of
    `ConvTranspose3d`.

    See `LazyConvTranspose1d`.
    """

    learned = "in_channels"


class _LazyBatch(LazyModule):
    """A lazy layer over (n, channels, ...)."""

    _check: Callable[..., None]  # of the ordinary layer

    def size_of(self, input: Tensor) -> int:
        self._check(input.shape, None)
        return input.shape[1]


class LazyBatchNorm1d(_LazyBatch, BatchNorm1d):
    """A `BatchNorm1d` that takes `num_features` from its first input.

    Until its first call, parameters and averages are `UninitializedParameter`s and
    `UninitializedBuffer`s; then it is a `BatchNorm1d`. See `LazyLinear`.

    Args:
        eps, momentum, affine, track_running_stats, device, dtype, bias: those of
            `BatchNorm1d`.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: those of
            `BatchNorm1d`.

    Input and result: shape (n, num_features) or (n, num_features, length).
    """

    learned = "num_features"


class LazyBatchNorm2d(_LazyBatch, BatchNorm2d):
    """A `BatchNorm2d` that takes `num_features` from its first input.

    Args:
        eps, momentum, affine, track_running_stats, device, dtype, bias: those of
            `BatchNorm2d`.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: those of
            `BatchNorm2d`.

    Input and result: shape (n, num_features, height, width).

    See `LazyBatchNorm1d`.
    """

    learned = "num_features"


class LazyBatchNorm3d(_LazyBatch, BatchNorm3d):
    """A `BatchNorm3d` that takes `num_features` from its first input.

    Args:
        eps, momentum, affine, track_running_stats, device, dtype, bias: those of
            `BatchNorm3d`.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: those of
            `BatchNorm3d`.

    Input and result: shape (n, num_features, depth, height, width).

    See `LazyBatchNorm1d`.
    """

    learned = "num_features"


class _LazyInstance(_LazySpatial):
    # As in PyTorch, other than those of the ordinary layers.
    defaults: ClassVar[Mapping[str, Any]] = {
        "affine": True, "track_running_stats": True,
    }  # fmt: skip


class LazyInstanceNorm1d(_LazyInstance, InstanceNorm1d):
    """An `InstanceNorm1d` that takes `num_features` from its first input.

    Until its first call, parameters and averages, if it has any, are
    `UninitializedParameter`s and `UninitializedBuffer`s; then it is an
    `InstanceNorm1d`. See `LazyLinear`.

    Args:
        eps, momentum, affine, track_running_stats, device, dtype, bias: those of
            `InstanceNorm1d`; but, as in PyTorch, `affine` and `track_running_stats` are
            true if left out.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: those of
            `InstanceNorm1d`.

    Input and result: shape (n, num_features, length), or without n.
    """

    learned = "num_features"


class LazyInstanceNorm2d(_LazyInstance, InstanceNorm2d):
    """An `InstanceNorm2d` that takes `num_features` from its first input.

    Args:
        eps, momentum, affine, track_running_stats, device, dtype, bias: those of
            `LazyInstanceNorm1d`.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: those of
            `InstanceNorm2d`.

    Input and result: shape (n, num_features, height, width), or without n.

    See `LazyInstanceNorm1d`.
    """

    learned = "num_features"


class LazyInstanceNorm3d(_LazyInstance, InstanceNorm3d):
    """An `InstanceNorm3d` that takes `num_features` from its first input.

    Args:
        eps, momentum, affine, track_running_stats, device, dtype, bias: those of
            `LazyInstanceNorm1d`.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: those of
            `InstanceNorm3d`.

    Input and result: shape (n, num_features, depth, height, width), or without n.

    See `LazyInstanceNorm1d`.
    """

    learned = "num_features"
