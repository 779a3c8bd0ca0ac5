"""Layers that bring their input to mean 0 and variance 1, over one axis or another.

Read first: `LayerNorm`, `BatchNorm1d`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import plait
from plait import Tensor

from ..arguments import NotNegative, Probability, Size, Sizes
from ..errors import ArgumentError, ShapeError
from . import init
from .module import Module
from .parameter import Buffer, Parameter, own_parameter
from .sample import Sample, uniform


def _shape_of(layer: str, normalized_shape: Sizes) -> tuple[int, ...]:
    if isinstance(normalized_shape, int):
        normalized_shape = (normalized_shape,)
    if not normalized_shape:
        raise ArgumentError(f"[{layer}] normalized_shape names no axis", got="()")
    return tuple(normalized_shape)


class _Affine(Module):
    """A layer with a factor and an offset for each feature, or without.

    Attributes:
        weight, bias: at first 1 and 0; None if the layer has none.
    """

    weight: Parameter | None
    bias: Parameter | None

    def _own(
        self, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any
    ) -> None:
        for name, wanted in (("weight", weight), ("bias", bias)):
            own_parameter(self, name, shape if wanted else None, device, dtype)
        self.reset_parameters()

    def _offset_text(self) -> str:
        """Return ", bias=False" if there are factors but no offsets."""
        return ", bias=False" if self.weight is not None and self.bias is None else ""

    def reset_parameters(self) -> None:
        """Set factors to 1 and offsets to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class LayerNorm(_Affine):
    """Normalises each example by itself.

    Formula: (x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance
    over the last axes.

    Args:
        normalized_shape: the sizes of those axes.
        eps: keeps the divisor from 0.
        elementwise_affine: whether there is a weight, and an offset if `bias`.
        bias: whether there is an offset, if `elementwise_affine`.
        dtype: of the parameters. Default: float32.

    Attributes:
        weight, bias: of `normalized_shape`, at first 1 and 0; or None.

    Input and result: shape (..., *normalized_shape).

    Raises:
        ShapeError: (calling it) the last axes of the input have other sizes.

    Source: J. L. Ba et al., "Layer normalization", 2016.
    """

    def __init__(
        self,
        normalized_shape: Sizes,
        eps: NotNegative = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape_of("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        affine = elementwise_affine
        self._own(self.normalized_shape, affine, affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return plait.layer_norm(
            input, self.normalized_shape, self.weight, self.bias, eps=self.eps
        )

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}{self._offset_text()}"
        )

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), (4,)),
            Sample((uniform(2, 3, 4),), ((3, 4),), {"bias": False}),
            Sample((uniform(3, 4),), ([4],), {"elementwise_affine": False, "eps": 0.1}),
        ]


class RMSNorm(_Affine):
    """Divides each example by its root mean square.

    Formula: x / sqrt(mean(x ** 2) + eps) * weight, with the mean over the last axes.

    Args:
        normalized_shape: the sizes of those axes.
        eps: keeps the divisor from 0. Default: the distance from 1 to the next number
            of the input's dtype.
        elementwise_affine: whether there is a weight.
        dtype: of the weight. Default: float32.

    Attributes:
        weight: of `normalized_shape`, at first 1; or None.

    Input and result: shape (..., *normalized_shape).

    Raises:
        ShapeError: (calling it) the last axes of the input have other sizes.

    Source: B. Zhang, R. Sennrich, "Root mean square layer normalization", 2019.
    """

    def __init__(
        self,
        normalized_shape: Sizes,
        eps: NotNegative | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape_of("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._own(self.normalized_shape, elementwise_affine, False, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return plait.rms_norm(input, self.normalized_shape, self.weight, eps=self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}"
        )

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(3, 4),), (4,)),
            Sample((uniform(2, 3, 4),), ((3, 4),), {"eps": 0.1}),
            Sample((uniform(3, 4),), (4,), {"elementwise_affine": False}),
        ]


class GroupNorm(_Affine):
    """Normalises groups of channels of each example.

    Formula: (x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance
    over the channels of a group and all axes behind them.

    Args:
        num_groups: divides the number of channels.
        num_channels: the size of axis 1.
        eps: keeps the divisor from 0.
        affine: whether there is a weight, and an offset if `bias`.
        dtype: of the parameters. Default: float32.
        bias: whether there is an offset, if `affine`.

    Attributes:
        weight, bias: shape (num_channels,), at first 1 and 0; or None.

    Input and result: shape (n, num_channels, ...).

    Raises:
        ArgumentError: the channels cannot be divided into so many groups.
        ShapeError: (calling it) the shapes do not fit.

    Source: Y. Wu, K. He, "Group normalization", 2018.
    """

    def __init__(
        self,
        num_groups: Size,
        num_channels: Size,
        eps: NotNegative = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups == 0 or num_channels % num_groups:
            raise ArgumentError(
                "[GroupNorm] the channels cannot be divided into so many groups",
                got=f"num_groups={num_groups}, num_channels={num_channels}",
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._own((num_channels,), affine, affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return plait.group_norm(
            input, self.num_groups, self.weight, self.bias, eps=self.eps
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, "
            f"affine={self.affine}{self._offset_text()}"
        )

    @staticmethod
    def samples() -> list[Sample]:
        return [
            Sample((uniform(2, 4, 3),), (2, 4)),
            Sample((uniform(2, 4, 3, 2),), (4, 4), {"affine": False}),
            Sample((uniform(2, 6, 5),), (3, 6), {"bias": False, "eps": 0.1}),
            Sample((uniform(3, 4),), (2, 4)),
            Sample((uniform(0, 4, 3),), (2, 4)),
        ]


class Tracked(_Affine):
    """A layer that normalises channels, and may keep averages of how it did so.

    Attributes:
        running_mean, running_var: shape (num_features,), averages of the batches seen
            in training; num_batches_tracked: how many. None without
            `track_running_stats`.
    """

    running_mean: Buffer | None
    running_var: Buffer | None
    num_batches_tracked: Buffer | None

    def __init__(
        self,
        num_features: Size,
        eps: NotNegative = 1e-5,
        momentum: Probability | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, None)
        if track_running_stats:
            shape = (num_features,)
            empty = plait.empty(shape, device=device, dtype=dtype)
            count = plait.zeros((), device=device, dtype=plait.int64)
            self.running_mean = Buffer(empty)
            self.running_var = Buffer(empty)
            self.num_batches_tracked = Buffer(count)
        self._own((num_features,), affine, affine and bias, device, dtype)

    def reset_running_stats(self) -> None:
        """Forget the batches seen."""
        if self.running_mean is not None:
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Set factors to 1, offsets to 0, and forget the batches seen."""
        self.reset_running_stats()
        super().reset_parameters()

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
            f"{self._offset_text()}"
        )


def move(average: Buffer, new: Tensor, share: Any) -> None:
    """Let an average take in a share of a new value."""
    average.data = (average + (new - average) * share).to(average.dtype)


class BatchNorm(Tracked):
    """Normalises each channel by its mean and variance over the batch."""

    _ranks: ClassVar[tuple[int, ...]]

    def _check(self, shape: tuple[int, ...], features: int | None) -> None:
        """Raise unless a shape has a fitting number of axes, and of `features`."""
        if len(shape) not in self._ranks or features not in (None, shape[1]):
            rest = " or ".join(
                str(("n", "num_features", *("...",) * (rank - 2))).replace("'", "")
                for rank in self._ranks
            )
            raise ShapeError(
                f"[{type(self).__name__}] the input does not fit",
                got=f"shape {shape} for num_features={features}",
                expected=rest,
            )

    def forward(self, input: Tensor) -> Tensor:
        name = type(self).__name__
        self._check(input.shape, self.num_features)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None:
            return plait.batch_norm(
                input, mean, var, self.weight, self.bias, eps=self.eps
            )
        if not input.size:  # nothing to normalise by, and nothing to keep
            zeros = plait.zeros(self.num_features, dtype=input.dtype)
            return plait.batch_norm(
                input, zeros, zeros, self.weight, self.bias, eps=self.eps
            )
        count = input.size // max(self.num_features, 1)
        if self.training and count == 1:
            raise ShapeError(
                f"[{name}] one value for each channel has no variance to train with",
                got=f"shape {input.shape}",
                fix="use more examples, or eval()",
            )
        result, batch_mean, batch_var = plait.batch_norm_training(
            input, self.weight, self.bias, eps=self.eps
        )
        if self.training:
            self._track(batch_mean.detach(), batch_var.detach() * (count / (count - 1)))
        return result

    def _track(self, mean: Tensor, var: Tensor) -> None:
        """Let the running averages take in the mean and the variance of a batch."""
        old_mean, old_var, seen = (
            self.running_mean, self.running_var, self.num_batches_tracked,
        )  # fmt: skip
        if old_mean is None or old_var is None or seen is None:
            return
        seen.data = seen + 1
        share = 1.0 / seen.to(mean.dtype) if self.momentum is None else self.momentum
        move(old_mean, mean, share)
        move(old_var, var, share)

    @classmethod
    def samples(cls) -> list[Sample]:
        shapes = {2: (4, 3), 3: (2, 3, 4), 4: (2, 3, 2, 2), 5: (2, 3, 2, 1, 2)}
        found = [
            Sample((uniform(*shapes[rank]),), (3,), separable=False)
            for rank in cls._ranks
        ]
        x = uniform(*shapes[cls._ranks[-1]])
        empty = uniform(0, *shapes[cls._ranks[-1]][1:])
        return [
            *found,
            Sample((empty,), (3,), {"track_running_stats": False}),
            Sample(
                (x,), (3, 0.1), {"momentum": None, "affine": False}, separable=False
            ),
            Sample((x,), (3,), {"track_running_stats": False}, separable=False),
            Sample((x,), (3,), {"bias": False}, separable=False),
        ]


class BatchNorm1d(BatchNorm):
    """Normalises each channel by its mean and variance over the batch.

    Formula: (x - mean) / sqrt(variance + eps) * weight + bias.

    In training, by those of the input, of which averages are kept; the variance that is
    kept is divided by one less than the number of elements. In evaluation mode, by the
    averages. Inside `jit` use evaluation mode, or pass the averages through
    `functional_call`: keeping averages changes the layer.

    Args:
        num_features: the number of channels, the size of axis 1.
        eps: keeps the divisor from 0.
        momentum: the share of a new batch in the averages. None: all batches share
            alike.
        affine: whether there is a weight, and an offset if `bias`.
        track_running_stats: whether averages are kept; without, evaluation mode is like
            training.
        dtype: of parameters and averages. Default: float32.
        bias: whether there is an offset, if `affine`.

    Attributes:
        weight, bias: shape (num_features,), at first 1 and 0; or None.
        running_mean, running_var: shape (num_features,), the averages, at first 0 and
            1; or None.
        num_batches_tracked: how many batches they are of, int64, shape (); or None.

    Input and result: shape (n, num_features) or (n, num_features, length).

    Raises:
        ShapeError: (calling it) the input has other axes or channels, or in training
            only one value for each channel.

    Source: S. Ioffe, C. Szegedy, "Batch normalization", 2015.
    """

    _ranks = (2, 3)


class BatchNorm2d(BatchNorm):
    """As `BatchNorm1d`, for images: over the batch, height and width.

    Args:
        num_features: the number of channels, the size of axis 1.
        eps: keeps the divisor from 0.
        momentum: the share of a new batch in the averages. None: all batches share
            alike.
        affine: whether there is a weight, and an offset if `bias`.
        track_running_stats: whether averages are kept; without, evaluation mode is like
            training.
        dtype: of parameters and averages. Default: float32.
        bias: whether there is an offset, if `affine`.

    Attributes:
        weight, bias: shape (num_features,), at first 1 and 0; or None.
        running_mean, running_var: shape (num_features,), the averages, at first 0 and
            1; or None.
        num_batches_tracked: how many batches they are of, int64, shape (); or None.

    Input and result: shape (n, num_features, height, width).

    Raises:
        ShapeError: (calling it) the input has other axes or channels, or in training
            only one value for each channel.

    Source: S. Ioffe, C. Szegedy, "Batch normalization", 2015.
    """

    _ranks = (4,)


class BatchNorm3d(BatchNorm):
    """As `BatchNorm1d`, for volumes: over the batch, depth, height and width.

    Args:
        num_features: the number of channels, the size of axis 1.
        eps: keeps the divisor from 0.
        momentum: the share of a new batch in the averages. None: all batches share
            alike.
        affine: whether there is a weight, and an offset if `bias`.
        track_running_stats: whether averages are kept; without, evaluation mode is like
            training.
        dtype: of parameters and averages. Default: float32.
        bias: whether there is an offset, if `affine`.

    Attributes:
        weight, bias: shape (num_features,), at first 1 and 0; or None.
        running_mean, running_var: shape (num_features,), the averages, at first 0 and
            1; or None.
        num_batches_tracked: how many batches they are of, int64, shape (); or None.

    Input and result: shape (n, num_features, depth, height, width).

    Raises:
        ShapeError: (calling it) the input has other axes or channels, or in training
            only one value for each channel.

    Source: S. Ioffe, C. Szegedy, "Batch normalization", 2015.
    """

    _ranks = (5,)
