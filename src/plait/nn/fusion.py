"""Batch normalisation in evaluation mode, taken into the layer before it.

It then is a factor and an offset for each channel, which the weights can hold.

Read first: `fuse_conv_bn_eval`.
"""

from __future__ import annotations

import copy

import plait
from plait import Tensor

from ..arguments import checked
from ..errors import ArgumentError
from .convolution import Convolution, ConvTranspose
from .linear import Linear
from .normalization import BatchNorm
from .parameter import Parameter


def _factors(
    op: str, layer: Linear | Convolution, bn: BatchNorm, features: int
) -> tuple[Tensor, Tensor]:
    """Return the factor and the offset of each feature.

    Raises:
        ArgumentError: a layer is in training mode, or they do not fit together.
    """
    mean, variance = bn.running_mean, bn.running_var
    if layer.training or bn.training or mean is None or variance is None:
        raise ArgumentError(
            f"[{op}] layers in evaluation mode are needed, with running averages",
            got=f"training={layer.training} and {bn.training}, "
            f"track_running_stats={bn.track_running_stats}",
            fix="call eval() first",
        )
    if features != bn.num_features:
        raise ArgumentError(
            f"[{op}] the layers do not fit together",
            got=f"{features} features out of the first for num_features="
            f"{bn.num_features} of the second",
        )
    factor = plait.rsqrt(variance + bn.eps)
    if bn.weight is not None:
        factor = factor * bn.weight.detach()
    offset = -mean * factor
    if bn.bias is not None:
        offset = offset + bn.bias.detach()
    return factor, offset


def _fused(
    layer: Linear | Convolution, factor: Tensor, offset: Tensor, axis: int
) -> Linear | Convolution:
    new = copy.deepcopy(layer)
    weight = layer.weight.detach()
    shape = [1] * weight.ndim
    if axis == 1:  # of a transposed convolution, whose groups lie along axis 0
        groups = layer.groups if not isinstance(layer, Linear) else 1
        split = weight.reshape(groups, -1, *weight.shape[1:])
        shape = [groups, 1, -1, *(1,) * (weight.ndim - 2)]
        scaled = (split * factor.reshape(shape)).reshape(weight.shape)
    else:
        scaled = weight * factor.reshape(-1, *shape[1:])
    bias = offset if layer.bias is None else layer.bias.detach() * factor + offset
    trained = layer.weight.requires_grad
    new.weight = Parameter(scaled.to(weight.dtype), trained)
    new.bias = Parameter(
        bias.to(weight.dtype),
        trained if layer.bias is None else layer.bias.requires_grad,
    )
    return new


@checked
def fuse_conv_bn_eval(
    conv: Convolution, bn: BatchNorm, transpose: bool = False
) -> Convolution:
    """Return one convolution that does what `conv` and then `bn` do.

    Formula: weight * f and (bias - mean) * f + offset for each channel of the result,
    with f = factor / sqrt(variance + eps) of the normalisation.

    Args:
        conv: a convolution in evaluation mode.
        bn: a batch normalisation in evaluation mode that keeps averages.
        transpose: whether `conv` is a transposed convolution.

    Returns:
        A new layer; `conv` and `bn` stay as they are.

    Raises:
        ArgumentError: a layer is in training mode, or they do not fit together.
    """
    op = "fuse_conv_bn_eval"
    transposed = isinstance(conv, ConvTranspose)
    if transposed != transpose:
        raise ArgumentError(
            f"[{op}] transpose says whether the convolution is a transposed one",
            got=f"transpose={transpose} and a {type(conv).__name__}",
        )
    factor, offset = _factors(op, conv, bn, conv.out_channels)
    new = _fused(conv, factor, offset, 1 if transpose else 0)
    assert not isinstance(new, Linear)
    return new


@checked
def fuse_linear_bn_eval(linear: Linear, bn: BatchNorm) -> Linear:
    """Return one linear layer that does what `linear` and then `bn` do.

    Args:
        linear: a layer in evaluation mode.
        bn: a batch normalisation in evaluation mode that keeps averages.

    Returns:
        A new layer; `linear` and `bn` stay as they are.

    Raises:
        ArgumentError: a layer is in training mode, or they do not fit together.
    """
    op = "fuse_linear_bn_eval"
    factor, offset = _factors(op, linear, bn, linear.out_features)
    new = _fused(linear, factor, offset, 0)
    assert isinstance(new, Linear)
    return new
