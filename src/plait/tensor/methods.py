"""Publishes the ops: each as a function of `plait`, and where it fits as a method.

The catalogue of ops in `plait.ops` is the only list; this file adds none. Type checkers
read the stub `plait/__init__.pyi`, which `tools/stubs.py` writes from the same catalogue.

Read first: `FUNCTIONS`, `METHODS`.
"""

from __future__ import annotations

from typing import Any

from ..ops import OPS
from .lift import Lifted, lift
from .tensor import Tensor

FUNCTIONS: dict[str, Any] = {op.__name__: lift(op) for op in OPS}

# Ops that take a tensor first and are yet no methods: their first operand is a list, or
# the name would hide a different method or property of Tensor.
METHODS = tuple(
    op.__name__
    for op in OPS
    if Lifted(op).leading >= 1 and op.__name__ not in vars(Tensor)
)

for _name in METHODS:
    setattr(Tensor, _name, FUNCTIONS[_name])

globals().update(FUNCTIONS)
__all__ = tuple(FUNCTIONS)
