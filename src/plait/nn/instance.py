"""Layers that bring each channel of each example to mean 0 and variance 1.

Read first: `InstanceNorm1d`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import plait
from plait import Tensor

from ..arguments import NotNegative, Probability, Size
from ..errors import ShapeError
from .normalization import Tracked, move
from .sample import Sample, uniform
from .spatial import check_shape


class _InstanceNorm(Tracked):
    rank: ClassVar[int]

    def __init__(
        self,
        num_features: Size,
        eps: NotNegative = 1e-5,
        momentum: Probability | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype,
            bias=bias,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        name = type(self).__name__
        check_shape(name, input.shape, self.rank, self.num_features)
        if input.ndim == self.rank + 1:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None:
            return plait.batch_norm(
                input, mean, var, self.weight, self.bias, eps=self.eps
            )
        axes = tuple(range(2, input.ndim))
        count = 1
        for n in input.shape[2:]:
            count *= n
        if count == 1:
            raise ShapeError(
                f"[{name}] one value for each channel has no variance to divide by",
                got=f"shape {input.shape}",
                fix="use larger inputs",
            )
        if self.training and mean is not None and var is not None and input.size:
            fixed = input.detach().to(plait.result_type(input.dtype, plait.float32))
            share = 0.0 if self.momentum is None else self.momentum
            move(mean, fixed.mean((0, *axes)), share)
            move(var, fixed.var(axes, correction=1).mean(0), share)
        return plait.instance_norm(input, self.weight, self.bias, eps=self.eps)

    @classmethod
    def samples(cls) -> list[Sample]:
        sizes = {1: (5,), 2: (2, 3), 3: (2, 1, 3)}[cls.rank]
        x = uniform(2, 3, *sizes)
        return [
            Sample((x,), (3,)),
            Sample((x,), (3, 0.1), {"affine": True}),
            Sample((x,), (3,), {"track_running_stats": True, "affine": True}),
            Sample((x,), (3, 1e-5, None), {"track_running_stats": True}),
            Sample((x,), (3,), {"affine": True, "bias": False}),
            Sample((x[0],), (3,), {"affine": True}, separable=False),
        ]


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each example by itself.

    Formula: (x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance
    over the spatial axes. In evaluation mode, if averages are kept, by these.

    Args:
        num_features: the number of channels.
        eps: keeps the divisor from 0.
        momentum: the share of a new batch in the averages. None: 0, as in PyTorch.
        affine: whether there is a weight, and an offset if `bias`.
        track_running_stats: whether averages of mean and variance are kept in training,
            to be used in evaluation mode.
        device, dtype: of parameters and averages. Default: the CPU, float32.
        bias: whether there is an offset, if `affine`.

    Attributes:
        weight, bias: shape (num_features,), at first 1 and 0; or None.
        running_mean, running_var: shape (num_features,), the averages, at first 0 and
            1; or None.
        num_batches_tracked: 0, as in PyTorch, which does not count them; or None.

    Input and result: shape (n, num_features, length), or without n.

    Raises:
        ShapeError: (calling it) the input has other axes or features, or only one
            element for each channel.

    Source: D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the missing
    ingredient for fast stylization", 2016.
    """

    rank = 1


class InstanceNorm2d(_InstanceNorm):
    """As `InstanceNorm1d`, for images.

    Args:
        num_features, eps, momentum, affine, track_running_stats, device, dtype, bias:
            those of `InstanceNorm1d`.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: those of
            `InstanceNorm1d`.

    Input and result: shape (n, num_features, height, width), or without n.
    """

    rank = 2


class InstanceNorm3d(_InstanceNorm):
    """As `InstanceNorm1d`, for volumes.

    Args:
        num_features, eps, momentum, affine, track_running_stats, device, dtype, bias:
            those of `InstanceNorm1d`.

    Attributes:
        weight, bias, running_mean, running_var, num_batches_tracked: those of
            `InstanceNorm1d`.

    Input and result: shape (n, num_features, depth, height, width), or without n.
    """

    rank = 3
