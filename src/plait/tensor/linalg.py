"""Linear algebra: the `linalg` extension of the Array API standard 2024.12.

Factorisations run through LAPACK as NumPy has it, and are differentiable.

Read first: `FUNCTIONS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..ops import contract, movement
from ..ops.linalg import LINALG_OPS, RESULTS
from .lift import lift

__all__ = ["FUNCTIONS"]


def _published(op: Callable[..., Any]) -> Any:
    """Return `op` over tensors; several results come as a named tuple."""
    lifted = lift(op)
    result = RESULTS.get(op)
    if result is None:
        return lifted

    @functools.wraps(lifted)
    def named(*args: Any, **keywords: Any) -> Any:
        return result(*lifted(*args, **keywords))

    return named


FUNCTIONS: dict[str, Any] = {
    op.__name__: _published(op)
    for op in (
        *LINALG_OPS,
        contract.matmul,
        contract.outer,
        contract.tensordot,
        contract.vecdot,
        movement.matrix_transpose,
    )
}

globals().update(FUNCTIONS)
