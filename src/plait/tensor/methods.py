"""Publishes the ops: each as a function of `plait`, and where it fits as a method.

The ops of `plait.ops` and `plait.transform` are the only list; this file adds none, but
for the names that PyTorch's users type for the same methods. Type checkers read the
stub `plait/__init__.pyi`, which `tools/stubs.py` writes from the same list.

Read first: `FUNCTIONS`, `METHODS`, `ALIASES`.
"""

from __future__ import annotations

from typing import Any

from ..names import missing
from ..transform import ALL_OPS
from . import linalg
from .lift import lift
from .random import published
from .tensor import Tensor

FUNCTIONS: dict[str, Any] = {}
METHODS: list[str] = []
for _op in ALL_OPS:
    _lifted = lift(_op)
    FUNCTIONS[_op.__name__] = published(_lifted) if _lifted.spec.draws else _lifted
    # A function whose first operand is a list is no method, and none may hide a method
    # or property that Tensor defines itself.
    if _lifted.spec.leading and not hasattr(Tensor, _op.__name__):
        METHODS.append(_op.__name__)

# PyTorch's names of methods that take the same arguments under ours.
ALIASES = {
    "amax": "max", "amin": "min", "bmm": "matmul", "clamp": "clip", "div": "divide",
    "eq": "equal", "ge": "greater_equal", "gt": "greater", "le": "less_equal",
    "lt": "less", "mm": "matmul", "movedim": "moveaxis", "mul": "multiply",
    "mv": "matmul", "ne": "not_equal", "neg": "negative", "sub": "subtract",
    "swapaxes": "transpose", "topk": "top_k",
}  # fmt: skip

# The same, where PyTorch takes the axis, or dim, as the first argument.
AXIS_FIRST = {
    "cumprod": "cumulative_prod", "cumsum": "cumulative_sum", "unbind": "unstack",
}  # fmt: skip

# Methods that replace the tensor's value by that of another method.
IN_PLACE = {
    "abs_": "abs", "add_": "add", "clamp_": "clip", "clip_": "clip", "div_": "divide",
    "exp_": "exp", "masked_fill_": "masked_fill", "mul_": "multiply",
    "neg_": "negative", "pow_": "pow", "sqrt_": "sqrt", "sub_": "subtract",
}  # fmt: skip


def _in_place(name: str, function: Any) -> Any:
    def method(self: Tensor, *args: Any, **named: Any) -> Tensor:
        self._assign(function(self, *args, **named), name)
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Set this tensor to `{function.__name__}` of itself; return it."
    return method


def _axis_first(name: str, function: Any) -> Any:
    def method(self: Tensor, *axis: Any, **named: Any) -> Any:
        if axis:
            # An axis given twice is the function's to refuse.
            rest = {"dim" if key == "axis" else key: x for key, x in named.items()}
            named = {"axis": axis[0], **rest}
        return function(self, *axis[1:], **named)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Return `{function.__name__}` of this tensor along an axis."
    return method


def norm(self: Tensor, ord: float = 2, axis: Any = None, **named: Any) -> Tensor:
    """Return the norm of all elements, or of those along `axis`.

    See `plait.linalg.vector_norm`.
    """
    if axis is not None:
        named = {"axis": axis, **named}
    return linalg.FUNCTIONS["vector_norm"](self, ord=ord, **named)  # type: ignore[no-any-return]


for _name in METHODS:
    setattr(Tensor, _name, FUNCTIONS[_name])
for _name, _known in ALIASES.items():
    setattr(Tensor, _name, FUNCTIONS[_known])
for _name, _known in AXIS_FIRST.items():
    setattr(Tensor, _name, _axis_first(_name, FUNCTIONS[_known]))
for _name, _known in IN_PLACE.items():
    setattr(Tensor, _name, _in_place(_name, FUNCTIONS[_known]))

Tensor.norm = norm  # type: ignore[attr-defined]
# Python asks it only for names that a tensor does not have.
Tensor.__getattr__ = missing("plait.Tensor")  # type: ignore[attr-defined]

globals().update(FUNCTIONS)
__all__ = tuple(FUNCTIONS)
