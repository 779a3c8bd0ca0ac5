"""Layers whose input decides how much of it, or of others, goes on.

Read first: `SwiGLU`, `SqueezeExcitation`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import plait
from plait import Tensor

from ..arguments import Size
from ..errors import ArgumentError, ShapeError
from . import init
from .containers import ModuleList
from .convolution import Conv2d
from .linear import Linear
from .module import Module
from .named_activation import Function, activation_function
from .sample import Sample, linear_map, uniform


def _sigmoid(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-x))
    return result


class SwiGLU(Module):
    """The feed-forward part of many language models: two maps, one gating the other.

    Formula: y = down_proj(silu(gate_proj(x)) * up_proj(x)).

    Args:
        in_features: the size of the input's last axis.
        hidden_features: the size between. In the source, 2/3 of what a part without
            gate would have.
        out_features: the size of the result's last axis. Default: `in_features`.
        bias: whether the maps have offsets.
        dtype: of the parameters. Default: float32.

    Attributes:
        gate_proj, up_proj, down_proj: `Linear` layers.

    Input: shape (..., in_features). Result: shape (..., out_features).

    Source: N. Shazeer, "GLU variants improve transformer", 2020.
    """

    def __init__(
        self,
        in_features: Size,
        hidden_features: int,
        out_features: Size | None = None,
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        out = in_features if out_features is None else out_features
        like = {"device": device, "dtype": dtype}
        self.gate_proj = Linear(in_features, hidden_features, bias, **like)
        self.up_proj = Linear(in_features, hidden_features, bias, **like)
        self.down_proj = Linear(hidden_features, out, bias, **like)

    def forward(self, input: Tensor) -> Tensor:
        gated = plait.silu(self.gate_proj(input)) * self.up_proj(input)
        result: Tensor = self.down_proj(gated)
        return result

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: SwiGLU, x: np.ndarray) -> np.ndarray:
            gate = linear_map(layer.gate_proj, x)
            hidden = gate * _sigmoid(gate) * linear_map(layer.up_proj, x)
            return linear_map(layer.down_proj, hidden)

        return [
            Sample((uniform(3, 4),), (4, 6), reference=reference),
            Sample((uniform(2, 3, 4),), (4, 2, 3, True), reference=reference),
        ]


class Highway(Module):
    """A layer that decides, feature by feature, how much of its input to hand on.

    Formula: t * activation(linear(x)) + (1 - t) * x, with t = sigmoid(gate(x)).

    Args:
        features: the size of the input's last axis, and of the result's.
        activation: a name that `Activation` knows, or a function.
        gate_bias: the offset of the gate at first; below 0, most is handed on.
        dtype: of the parameters. Default: float32.

    Attributes:
        linear, gate: `Linear` layers.

    Input: shape (..., features). Result: the same.

    Source: R. Srivastava et al., "Highway networks", 2015.
    """

    def __init__(
        self,
        features: Size,
        activation: str | Function = "relu",
        gate_bias: float = -1.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self._function = activation_function("Highway", activation)
        self.gate_bias = gate_bias
        self.linear = Linear(features, features, device=device, dtype=dtype)
        self.gate = Linear(features, features, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the parameters to new initial values."""
        self.linear.reset_parameters()
        self.gate.reset_parameters()
        assert self.gate.bias is not None
        init.constant_(self.gate.bias, self.gate_bias)

    def forward(self, input: Tensor) -> Tensor:
        share = plait.sigmoid(self.gate(input))
        return input + share * (self._function(self.linear(input)) - input)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: Highway, x: np.ndarray) -> np.ndarray:
            share = _sigmoid(linear_map(layer.gate, x))
            new = linear_map(layer.linear, x)
            new = np.tanh(new) if layer.activation == "tanh" else np.maximum(new, 0)
            result: np.ndarray = share * new + (1 - share) * x
            return result

        return [
            Sample((uniform(3, 4),), (4, "tanh"), reference=reference),
            Sample((uniform(2, 3, 4),), (4,), reference=reference),
        ]


class SqueezeExcitation(Module):
    """Weighs the channels of images by what is in all of them.

    Formula: x * scale_activation(fc2(activation(fc1(mean of each channel of x)))).

    Args:
        input_channels: the channels of input and result.
        squeeze_channels: the channels between, fewer.
        activation, scale_activation: names that `Activation` knows, or functions.
        dtype: of the parameters. Default: float32.

    Attributes:
        fc1, fc2: `Conv2d` layers with windows of one, as in torchvision's layer of the
            same name.

    Input: shape (n, input_channels, height, width), or without n. Result: the same.

    Source: J. Hu et al., "Squeeze-and-excitation networks", 2018.
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: str | Function = "relu",
        scale_activation: str | Function = "sigmoid",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        like = {"device": device, "dtype": dtype}
        self.fc1 = Conv2d(input_channels, squeeze_channels, 1, **like)
        self.fc2 = Conv2d(squeeze_channels, input_channels, 1, **like)
        self.activation = activation_function("SqueezeExcitation", activation)
        self.scale_activation = activation_function(
            "SqueezeExcitation", scale_activation
        )

    def forward(self, input: Tensor) -> Tensor:
        means = input.mean((-2, -1), keepdims=True)
        scale = self.scale_activation(self.fc2(self.activation(self.fc1(means))))
        return input * scale

    @staticmethod
    def samples() -> list[Sample]:
        def map_of(conv: Conv2d, means: np.ndarray) -> Any:
            assert conv.bias is not None
            return means @ conv.weight.numpy()[:, :, 0, 0].T + conv.bias.numpy()

        def usual(layer: SqueezeExcitation, x: np.ndarray) -> Any:
            inner = np.tanh(map_of(layer.fc1, x.mean((2, 3))))
            return x * _sigmoid(map_of(layer.fc2, inner))[:, :, None, None]

        def hard(layer: SqueezeExcitation, x: np.ndarray) -> Any:
            inner = np.maximum(map_of(layer.fc1, x.mean((2, 3))), 0)
            scale = np.clip(map_of(layer.fc2, inner) / 6 + 0.5, 0, 1)
            return x * scale[:, :, None, None]

        x, named = uniform(2, 4, 3, 5), {"scale_activation": "hardsigmoid"}
        return [
            Sample((x,), (4, 2, "tanh"), reference=usual),
            Sample((x,), (4, 3), named, reference=hard),
        ]


class MixtureOfExperts(Module):
    """Several modules, and a gate that says how much each one counts.

    Formula: y = sum over i of softmax(gate(x))[..., i] * experts[i](x). All experts see
    all examples.

    Args:
        gate: a module that gives one score for each expert, along the last axis.
        experts: modules that take the same input and give results of one shape.

    Attributes:
        gate: the gate.
        experts: a `ModuleList` of the experts.

    Input: shape (..., features). Result: that of the experts.

    Raises:
        ArgumentError: there is no expert.
        ShapeError: (calling it) the gate gives another number of scores.

    Source: R. Jacobs et al., "Adaptive mixtures of local experts", 1991.
    """

    def __init__(self, gate: Module, *experts: Module) -> None:
        super().__init__()
        if not experts:
            raise ArgumentError("[MixtureOfExperts] there is no expert", got="none")
        self.gate = gate
        self.experts = ModuleList(experts)

    def forward(self, input: Tensor) -> Tensor:
        scores: Tensor = self.gate(input)
        if scores.shape[-1] != len(self.experts):
            raise ShapeError(
                "[MixtureOfExperts] the gate must give one score for each expert",
                got=f"scores of shape {scores.shape}",
                expected=f"(..., {len(self.experts)})",
            )
        shares = plait.unstack(plait.softmax(scores, -1).unsqueeze(-2), axis=-1)
        parts: list[Tensor] = [
            share * expert(input)
            for share, expert in zip(shares, self.experts, strict=True)
        ]
        return functools.reduce(plait.add, parts)

    @staticmethod
    def samples() -> list[Sample]:
        def reference(layer: MixtureOfExperts, x: np.ndarray) -> Any:
            scores = np.exp(linear_map(layer.gate, x))
            shares = scores / scores.sum(-1, keepdims=True)
            results = [linear_map(one, x) for one in layer.experts]
            return np.einsum("...e,e...o->...o", shares, np.stack(results))

        layers = (Linear(4, 3), Linear(4, 2), Linear(4, 2), Linear(4, 2, bias=False))
        return [
            Sample((uniform(3, 4),), layers, reference=reference),
        ]
