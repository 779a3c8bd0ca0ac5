"""Publishes the ops: each as a function of `plait`, and where it fits as a method.

The catalogue of ops in `plait.ops` is the only list; this file adds none. Type checkers
read the stub `plait/__init__.pyi`, which `tools/stubs.py` writes from the same
catalogue.

Read first: `FUNCTIONS`, `METHODS`.
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

for _name in METHODS:
    setattr(Tensor, _name, FUNCTIONS[_name])

globals().update(FUNCTIONS)
__all__ = tuple(FUNCTIONS)
