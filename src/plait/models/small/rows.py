"""What the small nets that learn by themselves are given: examples as rows.

Read first: `rows`.
"""

from __future__ import annotations

from typing import Any

import plait
from plait import Tensor

from ... import nn
from ...errors import ShapeError


def rows(
    net: nn.Module, x: Any, like: Tensor, columns: int, what: str = "examples"
) -> Tensor:
    """Return what a net is given as a tensor of the type that it computes in.

    Args:
        net: for whom, for errors.
        x: a tensor, an array or nested lists.
        like: a tensor of the net.
        columns: how many there must be.
        what: what the rows are, in words.

    Raises:
        ShapeError: there are not rows of so many columns.
    """
    found = plait.asarray(x)
    if found.ndim != 2 or found.shape[1] != columns:
        raise ShapeError(
            f"[{type(net).__name__}] the {what} do not fit",
            got=str(found.shape),
            expected=f"(n, {columns})",
        )
    result: Tensor = found.to(like.dtype)
    return result
