"""Nodes that have kernels of their own, fused with nothing.

Read first: `lower_opaque`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ...ir.graph import Node
from .cumulative import lower_cumulative
from .eliminate import lower_determinant, lower_solve
from .lowered import Lanes, Lowered, Lowering
from .scatter import lower_scatter
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
}


def lower_opaque(
    node: Node, results: Sequence[Hashable], lanes: Lanes, name: str
) -> Lowered | None:
    """Return how a node is computed, or None if only its reference can.

    Args:
        results: what stands for each result, in the kernels' contents.
        lanes: how many numbers of a dtype a vector register holds.
        name: of the kernels, for people.
    """
    lower = _TABLE.get(node.primitive.name)
    return None if lower is None else lower(node, results, lanes, name)
