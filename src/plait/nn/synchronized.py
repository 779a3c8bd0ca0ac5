"""Batch normalisation over what several processes see together.

Read first: `SyncBatchNorm`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plait
from plait import Tensor

from ..arguments import NotNegative, Probability, Size
from .module import Module
from .normalization import BatchNorm


class SyncBatchNorm(BatchNorm):
    """Normalises each channel by its mean and variance over all processes' batches.

    In one process it is a `BatchNorm1d`, `BatchNorm2d` or `BatchNorm3d`. For several
    processes, each with its part of the batch, `process_group` is the bridge between
    them: a function of a tensor that every process calls at the same time, and that
    returns to all of them the sum of their tensors. Gradients go through it, so its own
    derivative is to be the sum of all cotangents (see `plait.custom_vjp`). In training
    it is called twice: with sums and the number of elements, and with sums of squares.

    Args:
        num_features: the number of channels, the size of axis 1.
        eps: keeps the divisor from 0.
        momentum: the share of a new batch in the averages. None: all batches share
            alike.
        affine: whether there is a weight, and an offset if `bias`.
        track_running_stats: whether averages are kept; without, evaluation mode is like
            training.
        process_group: the sum over all processes. Default: there is only this one.
        device, dtype: of parameters and averages. Default: the CPU, float32.
        bias: whether there is an offset, if `affine`.

    Attributes:
        weight, bias: shape (num_features,), at first 1 and 0; or None.
        running_mean, running_var: the averages, at first 0 and 1; or None.
        num_batches_tracked: how many batches they are of; or None.

    Input and result: shape (n, num_features, ...), of two to five axes.

    Source: H. Zhang et al., "Context encoding for semantic segmentation", 2018.
    """

    _ranks = (2, 3, 4, 5)

    def __init__(
        self,
        num_features: Size,
        eps: NotNegative = 1e-5,
        momentum: Probability | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Callable[[Tensor], Tensor] | None = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype,
            bias=bias,
        )  # fmt: skip
        self.process_group = process_group

    def forward(self, input: Tensor) -> Tensor:
        total = self.process_group
        if total is None or not (self.training or self.running_mean is None):
            return super().forward(input)
        self._check(input.shape, self.num_features)
        x = input.to(plait.result_type(input.dtype, plait.float32))
        axes = (0, *range(2, input.ndim))
        own = plait.full(1, input.size / max(self.num_features, 1), dtype=x.dtype)
        sums = total(plait.concat([x.sum(axes), own]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        middle = mean.reshape(-1, *(1,) * (input.ndim - 2))
        variance = total(((x - middle) ** 2).sum(axes)) / count
        if self.training:
            unbiased = variance.detach() * (count / (count - 1))
            self._track(mean.detach(), unbiased)
        return plait.batch_norm(
            input, mean, variance, self.weight, self.bias, eps=self.eps
        )

    @classmethod
    def convert_sync_batchnorm(
        cls,
        module: Module,
        process_group: Callable[[Tensor], Tensor] | None = None,
    ) -> Module:
        """Return `module` with a `SyncBatchNorm` in place of each batch normalisation.

        Parameters and averages are those that there were; other layers stay.

        Args:
            module: it is changed, unless it is a batch normalisation itself.
            process_group: that of the new layers.
        """
        if isinstance(module, BatchNorm):
            new = cls(
                module.num_features, module.eps, module.momentum, module.affine,
                module.track_running_stats, process_group,
            )  # fmt: skip
            vars(new).update(vars(module), process_group=process_group)
            return new
        for name, child in list(vars(module).items()):
            if isinstance(child, Module):
                setattr(module, name, cls.convert_sync_batchnorm(child, process_group))
        return module
