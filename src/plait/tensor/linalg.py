"""Linear algebra: the `linalg` extension of the Array API standard 2024.12.

Factorisations run through LAPACK as NumPy has it, and are differentiable.

Read first: `FUNCTIONS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..names import missing
from ..ops import contract, movement
from ..ops.linalg import LINALG_OPS, RESULTS
from .lift import lift


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
__all__ = tuple(FUNCTIONS)

if not TYPE_CHECKING:  # else every name would pass for one of ours
    __getattr__ = missing("plait.linalg")
