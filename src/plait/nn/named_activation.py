"""Activation functions by their names, for layers that take one as a setting.

Read first: `activation_function`, `Activation`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import plait
from plait import Tensor

from ..errors import ArgumentError
from .module import Module
from .sample import Sample, uniform

Function = Callable[[Tensor], Tensor]

# By their names as functions; others are handed over as functions.
_NAMED: dict[str, Function] = {
    function.__name__: function
    for function in (
        plait.celu, plait.elu, plait.exp, plait.gelu, plait.hardshrink,
        plait.hardsigmoid, plait.hardswish, plait.hardtanh, plait.leaky_relu,
        plait.log_sigmoid, plait.log_softmax, plait.mish, plait.relu, plait.relu6,
        plait.selu, plait.sigmoid, plait.silu, plait.softmax, plait.softplus,
        plait.softshrink, plait.softsign, plait.sparse_plus, plait.sparse_sigmoid,
        plait.sparsemax, plait.squareplus, plait.tanh, plait.tanhshrink,
    )
}  # fmt: skip


def activation_function(layer: str, activation: str | Function) -> Function:
    """Return the function of that name, or the function itself.

    Raises:
        ArgumentError: there is none of that name.
    """
    if callable(activation):
        return activation
    if activation not in _NAMED:
        raise ArgumentError(
            f"[{layer}] there is no activation of this name",
            got=repr(activation),
            expected=", ".join(_NAMED),
            fix="give a function of one tensor",
        )
    return _NAMED[activation]


class Activation(Module):
    """Any function of a tensor, or one of plait's by its name.

    Args:
        activation: "celu", "elu", "exp", "gelu", "hardshrink", "hardsigmoid",
            "hardswish", "hardtanh", "leaky_relu", "log_sigmoid", "log_softmax",
            "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus",
            "softshrink", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax",
            "squareplus", "tanh" or "tanhshrink", with the settings that the function
            of that name has by default; or a function of one tensor.

    Input: any shape. Result: what the function returns.

    Raises:
        ArgumentError: there is no activation of that name.
    """

    def __init__(self, activation: str | Function) -> None:
        super().__init__()
        self.activation = activation
        self._function = activation_function("Activation", activation)

    def forward(self, input: Tensor) -> Tensor:
        return self._function(input)

    def extra_repr(self) -> str:
        if isinstance(self.activation, str):
            return repr(self.activation)
        return getattr(self.activation, "__name__", repr(self.activation))

    @staticmethod
    def samples() -> list[Sample]:
        x = uniform(3, 4)
        return [
            Sample((x,), ("tanh",), reference=lambda _, x: np.tanh(x)),
            Sample((x,), (plait.sin,), reference=lambda _, x: np.sin(x)),
        ]
