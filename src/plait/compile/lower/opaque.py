"""Nodes that have kernels of their own, fused with nothing.

Read first: `lower_opaque`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from ...ir.graph import Node
from .cumulative import lower_cumulative
from .eliminate import lower_determinant, lower_solve
from .lowered import Lanes, Lowered, Lowering
from .reflect import lower_qr
from .rotate import lower_eigh, lower_svd
from .scatter import filling, lower_scatter
from .sort import lower_sort, lower_top_k
from .triangular import lower_cholesky, lower_triangular_solve

_TABLE: dict[str, Lowering] = {
    "cumulative_sum": lower_cumulative,
    "cumulative_product": lower_cumulative,
    "cumulative_max": lower_cumulative,
    "scatter": lower_scatter,
    "sort": lower_sort,
    "top_k": lower_top_k,
    "solve": lower_solve,
    "triangular_solve": lower_triangular_solve,
    "cholesky": lower_cholesky,
    "det": lower_determinant,
    "slogdet": lower_determinant,
    "qr": lower_qr,
    "svd": lower_svd,
    "eigh": lower_eigh,
}
# LAPACK, which the references call, is better at larger matrices than these.
_MOST_ROWS = {
    "solve": 64, "triangular_solve": 64, "cholesky": 64, "det": 64, "slogdet": 64,
    "qr": 48, "svd": 24, "eigh": 24,
}  # fmt: skip
_MOST_COLUMNS = {"solve": 512}  # of right-hand sides


def lower_opaque(
    node: Node,
    results: Sequence[Hashable],
    lanes: Lanes,
    name: str,
    alone: bool = False,
) -> Lowered | None:
    """Return how a node is computed, or None if only its reference can.

    Args:
        results: what stands for each result, in the kernels' contents.
        lanes: how many numbers of a dtype a vector register holds.
        name: of the kernels, for people.
        alone: there is no reference where the program runs, however good.
    """
    lower = _TABLE.get(node.primitive.name)
    if lower is None or not (alone or _is_small(node)):
        return None
    return lower(node, results, lanes, name)


def operands_of(node: Node) -> tuple[Node, ...]:
    """Return the operands that must lie in memory for a node of its own kernels."""
    if node.primitive.name == "scatter" and filling(node) is not None:
        return node.operands[1:]
    return node.operands


def _is_small(node: Node) -> bool:
    """Return whether a kernel is better at matrices of this size than LAPACK."""
    name, (matrix, *others) = node.primitive.name, node.operands
    if name not in _MOST_ROWS:
        return True
    columns = _MOST_COLUMNS.get(name, math.inf)
    return max(matrix.shape[-2:]) <= _MOST_ROWS[name] and all(
        other.shape[-1] <= columns for other in others
    )
