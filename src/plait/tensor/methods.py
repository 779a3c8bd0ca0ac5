"""Publishes the ops: each as a function of `plait`, and where it fits as a method.

The catalogue of ops in `plait.ops` is the only list; this file adds none, but for the
names that PyTorch's users type for the same methods. Type checkers read the stub
`plait/__init__.pyi`, which `tools/stubs.py` writes from the same catalogue.

Read first: `FUNCTIONS`, `METHODS`, `ALIASES`.
"""

from __future__ import annotations

from typing import Any

from ..ops import OPS
from .lift import lift
from .random import published
from .tensor import Tensor

FUNCTIONS: dict[str, Any] = {}
METHODS: list[str] = []
for _op in OPS:
    _lifted = lift(_op)
    FUNCTIONS[_op.__name__] = published(_lifted) if _lifted.spec.draws else _lifted
    # A function whose first operand is a list is no method, and none may hide a method
    # or property that Tensor defines itself.
    if _lifted.spec.leading and not hasattr(Tensor, _op.__name__):
        METHODS.append(_op.__name__)

# PyTorch's names of methods that take the same arguments under ours.
ALIASES = {
    "bmm": "matmul", "clamp": "clip", "div": "divide", "eq": "equal",
    "ge": "greater_equal", "gt": "greater", "le": "less_equal", "lt": "less",
    "mm": "matmul", "movedim": "moveaxis", "mul": "multiply", "ne": "not_equal",
    "neg": "negative", "sub": "subtract", "swapaxes": "transpose",
}  # fmt: skip

# Methods that replace the tensor's value by that of another method.
IN_PLACE = {
    "abs_": "abs", "add_": "add", "clamp_": "clip", "clip_": "clip", "div_": "divide",
    "mul_": "multiply", "neg_": "negative", "pow_": "pow", "sub_": "subtract",
}  # fmt: skip


def _in_place(name: str, function: Any) -> Any:
    def method(self: Tensor, *args: Any, **named: Any) -> Tensor:
        self._assign(function(self, *args, **named), name)
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Set this tensor to `{function.__name__}` of itself; return it."
    return method


for _name in METHODS:
    setattr(Tensor, _name, FUNCTIONS[_name])
for _name, _known in ALIASES.items():
    setattr(Tensor, _name, FUNCTIONS[_known])
for _name, _known in IN_PLACE.items():
    setattr(Tensor, _name, _in_place(_name, FUNCTIONS[_known]))

globals().update(FUNCTIONS)
__all__ = tuple(FUNCTIONS)
